"""The expected rise of a loss: closed forms of losses whose curvature is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.compress import (
    expected_increase,
    expected_increases,
    fake_quant,
    gather_statistics,
    gradient_statistics,
    prune_by,
    quantize_by,
)

RNG = np.random.default_rng(8)
N, INPUTS = 20_000, 5
W = jnp.asarray(RNG.normal(size=(INPUTS, 1)), jnp.float32)
PARAMS = {"w": W, "other": jnp.ones((2, 2))}
X = jnp.asarray(RNG.normal(size=(N, INPUTS)) * np.arange(1, INPUTS + 1), jnp.float32)


def nll(params, batch):
    """Half the mean squared error: the code length of Gaussian noise of variance one, in nats."""
    x, y = batch
    return 0.5 * jnp.mean(jnp.square(x @ params["w"] - y)) + 0.0 * jnp.sum(params["other"])


def data(noise_seed=0):
    noise = np.random.default_rng(noise_seed).normal(size=(N, 1))
    return X, X @ W + jnp.asarray(noise, jnp.float32)


@pytest.fixture(scope="module")
def stats():
    return gradient_statistics(nll, PARAMS, data(), per_example=True, chunk=1000)


def test_linear_regression_at_its_truth_rises_as_expected(stats):
    """Inputs are independent: the Hessian is diagonal, E x_i^2, and the loss a parabola. The
    Fisher entry x_i^2 e^2 has 8 times its square's variance: 2 % over 20,000 draws."""
    fisher = np.asarray(stats["w"].gradient_square[:, 0]) / N
    np.testing.assert_allclose(fisher, np.arange(1, INPUTS + 1) ** 2, rtol=5 * np.sqrt(8 / N))
    for bits in (2, 3):
        moved = {**PARAMS, "w": fake_quant(W, bits)}
        rise = 0.5 * np.mean(np.square(X @ (moved["w"] - W)))  # of the loss, free of the noise
        found = float(expected_increase(PARAMS, moved, stats, "w"))
        assert found == pytest.approx(rise, rel=0.06)


def test_the_sum_is_exact_for_given_gradients():
    x = jnp.array([[1.0, 0.0], [3.0, 2.0]])
    params = {"w": jnp.array([[0.5], [2.0]])}
    stats = gradient_statistics(lambda p, x: jnp.sum(x @ p["w"]), params, x, per_example=True)
    moved = {"w": jnp.array([[0.0], [3.0]])}
    # mean squares of x: (1 + 9) / 2 and (0 + 4) / 2
    expected = 0.5 * (5.0 * 0.25 + 2.0 * 1.0)
    assert float(expected_increase(params, moved, stats, "w")) == pytest.approx(expected)


def test_the_grid_is_that_of_each_tensor_at_each_level(stats):
    paths, levels = ["w", "other"], [2.0, 4.0, 8.0, 32.0]
    grid = jax.jit(
        lambda stats: expected_increases(
            PARAMS, stats, paths, lambda p, row: quantize_by(p, paths, row), levels
        )
    )(stats)
    assert grid.shape == (2, 4)
    for level, column in zip(levels, grid.T, strict=True):
        moved = quantize_by(PARAMS, paths, [level, level])
        for path, value in zip(paths, column, strict=True):
            alone = expected_increase(PARAMS, moved, stats, path)
            assert float(value) == pytest.approx(float(alone), rel=1e-5)
    assert np.all(np.diff(grid[0]) < 0)
    np.testing.assert_array_equal(grid[:, -1], 0)
    np.testing.assert_array_equal(grid[1], 0)  # ones are on every grid


def test_statistics_gathered_over_batches_give_the_same(stats):
    x, y = data()
    batches = [(x[:5000], y[:5000]), (x[5000:], y[5000:])]
    gathered = gather_statistics(
        lambda p, batch: batch[0] @ p["w"], PARAMS, batches, loss=nll, per_example=True
    )
    moved = prune_by(PARAMS, ["w"], [0.4])
    found, expected = (expected_increase(PARAMS, moved, s, "w") for s in (gathered, stats))
    assert float(found) == pytest.approx(float(expected), rel=1e-4)


def test_statistics_that_are_missing_or_lack_gradients_are_named(stats):
    with pytest.raises(ValueError, match="Fisher estimate of 'u' needs statistics"):
        expected_increase(PARAMS, PARAMS, stats, "u")
    without = {"w": stats["w"]._replace(gradient=None, gradient_square=None, examples=None)}
    with pytest.raises(ValueError, match="of 'w' needs gradients"):
        expected_increase(PARAMS, PARAMS, without, "w")
