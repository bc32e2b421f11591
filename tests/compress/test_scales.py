import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.compress import absmax_scale, auto_scale, fake_quant, mse_scale, percentile_scale

W = jnp.asarray(np.random.default_rng(5).normal(size=(256, 8)), jnp.float32)
BOUNDS = ("restricted", "half_step")


def errors(w, bits, scale, bound):
    """Squared error of each channel."""
    return jnp.sum((fake_quant(w, bits, bound=bound, scale=scale) - w) ** 2, axis=0)


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_mse_is_never_worse_than_absmax(bits, bound):
    best = errors(W, bits, mse_scale(W, bits, bound=bound), bound)
    plain = errors(W, bits, absmax_scale(W, bits, bound=bound), bound)
    assert bool((best <= plain * (1 + 1e-6)).all())
    if bits <= 3:
        assert float(best.sum()) < 0.8 * float(plain.sum())


def test_mse_finds_the_minimum_of_a_fine_search():
    scale = absmax_scale(W, 3)
    fine = jnp.stack([errors(W, 3, r * scale, "restricted") for r in jnp.linspace(0.1, 1, 400)])
    found = errors(W, 3, mse_scale(W, 3), "restricted")
    assert bool((found <= 1.02 * fine.min(0)).all())


def test_absmax_at_two_bits_zeroes_most_of_a_gaussian_and_mse_does_not():
    def zeros(scale):
        return float((fake_quant(W, 2, scale=scale) == 0).mean())

    assert zeros(absmax_scale(W, 2)) > 0.75
    assert 0.3 < zeros(mse_scale(W, 2)) < 0.6


def test_a_representable_tensor_keeps_its_absmax_scale():
    snapped = fake_quant(W, 4)
    np.testing.assert_array_equal(mse_scale(snapped, 4), absmax_scale(snapped, 4))


def test_percentile_is_that_of_the_survivors():
    w = jnp.where(jnp.abs(W) < 0.8, 0.0, W)
    expected = [np.percentile(np.abs(c[c != 0]), 90) / 7 for c in np.asarray(w).T]
    np.testing.assert_allclose(percentile_scale(w, 4, percentile=90)[0], expected, rtol=1e-5)
    np.testing.assert_array_equal(percentile_scale(w, 4, percentile=100), absmax_scale(w, 4))


@pytest.mark.parametrize("rule", [mse_scale, percentile_scale, auto_scale, absmax_scale])
@pytest.mark.parametrize(
    "settings", [{}, {"axis": 0, "group_size": 4, "bound": "half_step"}], ids=["plain", "grouped"]
)
def test_every_rule_has_absmax_shapes_traces_bits_and_survives_zeros(rule, settings):
    w = W[:32].at[:4].set(0.0).at[:, :4].set(0.0)
    traced = jax.jit(jax.vmap(lambda b: rule(w, b, **settings)))(jnp.array([2, 3, 4, 8]))
    for bits, scale in zip((2, 3, 4, 8), traced, strict=True):
        plain = absmax_scale(w, bits, **settings)
        assert scale.shape == plain.shape
        np.testing.assert_allclose(scale, rule(w, bits, **settings), rtol=1e-6)
        np.testing.assert_array_equal(scale == 0, plain == 0)
    assert bool((traced == 0).any())
    assert bool(jnp.isnan(rule(w.at[0, 0].set(jnp.nan), 4, **settings))[0, 0])


def test_auto_is_mse_up_to_three_bits():
    for bits in (2, 3, 4, 8):
        rule = mse_scale if bits <= 3 else absmax_scale
        np.testing.assert_array_equal(auto_scale(W, bits), rule(W, bits))


@pytest.mark.parametrize("percentile", [0, 101, float("nan")])
def test_rejects_a_bad_percentile(percentile):
    with pytest.raises(ValueError, match="percentile must be in"):
        percentile_scale(W, 4, percentile=percentile)
