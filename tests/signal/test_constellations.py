"""The generic demapper against the one for square QAM and against float64 sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from wfm_jax.signal import constellations, qam

METHODS = ("exact", "maxlog")

demap = jax.jit(constellations.demap, static_argnums=3)


def complex_normal(seed, shape):
    rng = np.random.default_rng(seed)
    return ((rng.normal(size=shape) + 1j * rng.normal(size=shape)) / 2**0.5).astype(np.complex64)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("m", [2, 6])
def test_square_qam_agrees_with_its_own_demapper(m, method):
    y = np.complex64(1.2) * complex_normal(m, (4, 250))
    for n0 in (1.0, jnp.asarray([0.3, 0.1, 0.03, 0.01])[:, None]):
        llr = demap(y, n0, qam.constellation(m), method)
        assert llr.dtype == jnp.float32
        assert llr.shape == (4, 250, m)
        np.testing.assert_allclose(llr, qam.demap(y, n0, m, method), rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_points", [2, 8, 32])
def test_any_points_equal_float64_sums(n_points, method):
    points, y = complex_normal(n_points, (n_points,)), complex_normal(n_points + 1, (500,))
    m, n0 = n_points.bit_length() - 1, 0.1
    llr = demap(y, n0, points, method)
    distance = np.abs(np.asarray(y, np.complex128)[:, None] - np.asarray(points, np.complex128))
    labels = (np.arange(n_points)[:, None] >> np.arange(m)[::-1]) & 1
    reduce = special.logsumexp if method == "exact" else np.max
    metric = -(distance**2) / n0
    expected = [
        reduce(metric[:, b == 1], axis=1) - reduce(metric[:, b == 0], axis=1) for b in labels.T
    ]
    np.testing.assert_allclose(llr, np.stack(expected, -1), rtol=1e-5, atol=1e-4)


def test_points_can_be_learned():
    y, points = complex_normal(0, (50,)), qam.constellation(4)

    def loss(scale):
        return jnp.mean(jnp.square(constellations.demap(y, 0.1, scale * points)))

    step = 1e-2
    slope = jax.jit(jax.value_and_grad(loss))
    expected = (slope(1 + step)[0] - slope(1 - step)[0]) / (2 * step)
    assert slope(1.0)[1] == pytest.approx(float(expected), rel=2e-2)


def test_transforms_agree():
    y = complex_normal(0, (3, 20))
    n0, points = jnp.asarray([0.1, 0.2, 0.3]), qam.constellation(4)
    together = jax.jit(jax.vmap(lambda y, n0: constellations.demap(y, n0, points)))(y, n0)
    for row in range(3):
        alone = constellations.demap(y[row], n0[row], points)  # eager
        np.testing.assert_allclose(together[row], alone, rtol=2e-5, atol=2e-5)


def test_bad_arguments_are_named():
    y, points = jnp.zeros(2, jnp.complex64), qam.constellation(2)
    for bad in (points[:3], points[:1], points.reshape(2, 2), points[0]):
        with pytest.raises(ValueError, match="points"):
            constellations.demap(y, 1.0, bad)
    with pytest.raises(ValueError, match="y must be complex"):
        constellations.demap(y.real, 1.0, points)
    with pytest.raises(ValueError, match="n0"):
        constellations.demap(y, jnp.ones(3), points)
    with pytest.raises(ValueError, match="method"):
        constellations.demap(y, 1.0, points, "approximate")
