"""Complex noise against the laws of CN(0, 1); z-scores and Kolmogorov-Smirnov distances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests import optimized
from wfm_jax.signal.noise import awgn, complex_normal

N = 2_000_000


@pytest.fixture(scope="module")
def noise():
    draw = optimized.jit(complex_normal, static_argnums=1)
    return np.asarray(draw(jax.random.key(1), (N,))).astype(np.complex128)


def z_score(samples, expected):
    return (samples.mean() - expected) / (samples.std() / samples.size**0.5)


def test_moments(noise):
    x, y = noise.real, noise.imag
    moments = {
        "x": (x, 0), "y": (y, 0), "x2": (x**2, 1 / 2), "y2": (y**2, 1 / 2), "xy": (x * y, 0),
        "x3": (x**3, 0), "y3": (y**3, 0), "x2y": (x**2 * y, 0), "xy2": (x * y**2, 0),
        "x4": (x**4, 3 / 4), "y4": (y**4, 3 / 4), "x2y2": (x**2 * y**2, 1 / 4),
        "x3y": (x**3 * y, 0), "xy3": (x * y**3, 0),
    }  # fmt: skip
    scores = {name: z_score(*pair) for name, pair in moments.items()}
    assert max(map(abs, scores.values())) < 5, scores


def test_neighbours_are_independent(noise):
    for lag in (1, 2, 1024):
        product = noise[lag:] * np.conj(noise[:-lag])
        powers = (np.abs(noise[lag:]) ** 2 - 1) * (np.abs(noise[:-lag]) ** 2 - 1)
        for samples in (product.real, product.imag, powers):
            assert abs(z_score(samples, 0)) < 5, lag


def test_distributions(noise):
    """p-values of the exact law above 1e-6, each part and in polar form."""
    for samples, law in (
        (noise.real, stats.norm(scale=0.5**0.5)),
        (noise.imag, stats.norm(scale=0.5**0.5)),
        (np.abs(noise) ** 2, stats.expon()),
        (np.angle(noise), stats.uniform(-np.pi, 2 * np.pi)),
    ):
        assert stats.kstest(samples, law.cdf).pvalue > 1e-6, law.dist.name


def test_tails(noise):
    """Counts beyond a threshold against the binomial law: |z| < 5."""
    counts = [(noise.real > t * 0.5**0.5, stats.norm.sf(t)) for t in (1, 2, 3, 4)]
    counts += [(noise.imag < -t * 0.5**0.5, stats.norm.sf(t)) for t in (1, 2, 3, 4)]
    counts += [(np.abs(noise) ** 2 > t, np.exp(-t)) for t in (1, 4, 8, 11)]
    counts += [(np.abs(noise) ** 2 < t, -np.expm1(-t)) for t in (0.1, 1e-2, 1e-3, 1e-4)]
    for beyond, p in counts:
        z = (beyond.sum() - N * p) / (N * p * (1 - p)) ** 0.5
        assert abs(z) < 5, (p, z)


def test_extreme_words_give_finite_samples(monkeypatch):
    """Smallest and largest power, phases at the edges of the quadrants."""
    edges = np.array([0, 1, 2**30 - 1, 2**30, 2**31 - 1, 2**31, 2**32 - 1], np.uint32)
    power, phase = (jnp.asarray(x) for x in np.meshgrid(edges, edges))
    monkeypatch.setattr("wfm_jax.signal.noise.random_words", lambda key, shape: (power, phase))
    samples = np.asarray(complex_normal(jax.random.key(0), power.shape)).astype(np.complex128)
    assert np.all(np.isfinite(samples))
    u = np.float32(np.float64(power)) * 2.0**-32 + 2.0**-33
    radius = np.sqrt(-np.log(np.minimum(u, 1)))
    turn = (np.float64(phase & (2**30 - 1))) / 2**32
    signs = np.where(phase >> 31, -1, 1), np.where((phase >> 30) & 1, -1, 1)
    expected = radius * (
        signs[0] * np.cos(2 * np.pi * turn) + 1j * signs[1] * np.sin(2 * np.pi * turn)
    )
    np.testing.assert_allclose(samples, expected, atol=3e-6)
    assert np.max(np.abs(samples) ** 2) == pytest.approx(33 * np.log(2), rel=1e-5)


def test_vmap_and_jit_equal_a_loop():
    keys = jax.random.split(jax.random.key(0), 4)
    loop = np.stack([complex_normal(key, (5, 9)) for key in keys])
    assert loop.dtype == np.complex64
    together = jax.jit(jax.vmap(lambda key: complex_normal(key, (5, 9))))(keys)
    np.testing.assert_allclose(together, loop, atol=1e-6)
    assert complex_normal(keys[0]).shape == ()


def test_noise_has_the_variance_asked_for():
    signal = jnp.full((3, 200_000), 2.0 - 1.0j)
    n0 = jnp.asarray([[0.0], [0.1], [4.0]])
    received = np.asarray(jax.jit(awgn)(jax.random.key(3), signal, n0)).astype(np.complex128)
    np.testing.assert_array_equal(received[0], np.asarray(signal[0]))
    for row in (1, 2):
        assert abs(z_score(np.abs(received[row] - np.asarray(signal[row])) ** 2, n0[row, 0])) < 5
