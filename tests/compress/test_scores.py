import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.compress import LeafStats, magnitude, random_score, taylor, wanda

KEY = jax.random.key(11)
RNG = np.random.default_rng(11)
W = jnp.asarray(RNG.normal(size=(6, 5)), jnp.float32)
X = RNG.normal(size=(40, 6)).astype(np.float32) * np.array([1, 5, 0.1, 2, 0, 1], np.float32)


def seen(x, gradient=None):
    x = jnp.asarray(x)
    return LeafStats(jnp.float32(len(x)), x.T @ x, jnp.abs(x).sum(0), gradient)


def test_magnitude_is_the_absolute_value_in_the_dtype_of_the_weights():
    np.testing.assert_array_equal(magnitude(W, None, KEY), np.abs(W))
    assert magnitude(W.astype(jnp.bfloat16), None, KEY).dtype == jnp.bfloat16


def test_taylor_is_the_loss_change_of_a_linear_loss_weight_by_weight():
    slope = RNG.normal(size=W.shape).astype(np.float32)

    def loss(w):
        return jnp.sum(slope * w)

    scores = taylor(W, seen(X, jax.grad(loss)(W)), KEY)
    for i, j in np.ndindex(*W.shape):
        change = abs(float(loss(W.at[i, j].set(0.0))) - float(loss(W)))
        assert float(scores[i, j]) == pytest.approx(change, abs=2e-5)


def test_wanda_weighs_every_weight_by_the_rms_of_its_input():
    scores = np.asarray(wanda(W, seen(X), KEY))
    for i, j in np.ndindex(*W.shape):
        expected = abs(float(W[i, j])) * np.sqrt(np.mean(X[:, i].astype(np.float64) ** 2))
        assert scores[i, j] == pytest.approx(expected, rel=1e-5)
    assert not scores[4].any()


def test_wanda_counts_rows_out_and_flattens_leading_axes():
    np.testing.assert_allclose(
        wanda(W, seen(np.tile(X, (3, 1))), KEY), wanda(W, seen(X), KEY), rtol=1e-5
    )
    heads_first, heads_last = W.reshape(2, 3, 5), W.reshape(6, 5, 1)
    for kernel in (heads_first, heads_last):
        scores = wanda(kernel, seen(X), KEY)
        np.testing.assert_array_equal(scores, wanda(W, seen(X), KEY).reshape(kernel.shape))


def test_wanda_equals_magnitude_on_inputs_of_equal_power():
    white = np.where(RNG.integers(0, 2, (8, 6)) == 0, -1.0, 1.0).astype(np.float32)
    np.testing.assert_allclose(wanda(W, seen(white), KEY), np.abs(W), rtol=1e-6)


def test_random_scores_are_uniform_and_the_key_s():
    draws = np.asarray(random_score(jnp.zeros((100, 100)), None, KEY))
    assert draws.min() >= 0
    assert draws.max() < 1
    z = (draws.mean() - 0.5) / np.sqrt(1 / 12 / draws.size)
    assert abs(z) < 4
    other = random_score(jnp.zeros((100, 100)), None, jax.random.key(12))
    assert (draws != np.asarray(other)).mean() > 0.99


@pytest.mark.parametrize("score", [magnitude, taylor, wanda, random_score])
def test_jit_and_vmap_equal_the_loop(score):
    stats, weights = seen(X, jnp.ones_like(W)), jnp.stack([W, 2 * W, -W])
    loop = jnp.stack([score(w, stats, KEY) for w in weights])
    many = jax.jit(jax.vmap(score, (0, None, None)))(weights, stats, KEY)
    np.testing.assert_allclose(many, loop, rtol=1e-6)
    assert bool((loop >= 0).all())


@pytest.mark.parametrize(
    "score, stats, message",
    [
        (taylor, None, "taylor needs statistics: gather them with gather_statistics"),
        (taylor, seen(X), "taylor needs statistics: .* and a loss"),
        (taylor, seen(X, jnp.ones((2, 2))), r"gradient of shape \(2, 2\) for weights of shape"),
        (wanda, None, "wanda needs statistics: gather them with gather_statistics"),
        (wanda, seen(X[:, :3]), r"statistics of 3 inputs for a kernel of shape \(6, 5\)"),
        (wanda, seen(X[:0]), "rows of the statistics must be 1 or more, got 0"),
    ],
)
def test_rejects_missing_and_foreign_statistics(score, stats, message):
    with pytest.raises(ValueError, match=message):
        score(W, stats, KEY)
