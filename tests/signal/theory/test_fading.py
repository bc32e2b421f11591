"""Laws of a Rician gain against densities, limits, and gains drawn as sums of waves."""

import numpy as np
import pytest
from scipy import integrate, special, stats

from wfm_jax.signal import theory
from wfm_jax.signal.theory import fading

K_DB = (-np.inf, -20.0, -3.0, 0.0, 7.0, 20.0, 45.0, 80.0, 119.0)


def test_published_values_of_the_envelope():
    cdf = theory.envelope_cdf(np.array([0.25, 0.5, 1, 1.5]), 7)
    np.testing.assert_allclose(cdf, [0.00458049, 0.04945952, 0.55893104, 0.97206937], atol=6e-9)


def test_envelope_cdf_is_marcums_q_and_rayleigh_in_the_limit():
    r = np.linspace(0, 3, 31)
    rayleigh = 1 - np.exp(-(r**2))
    np.testing.assert_allclose(theory.envelope_cdf(r, -np.inf), rayleigh, atol=1e-14)
    k = 10**0.7

    def density(x):
        argument = 2 * x * np.sqrt(k * (1 + k))
        return 2 * x * (1 + k) * special.ive(0, argument) * np.exp(argument - k - (1 + k) * x * x)

    for end in (0.2, 0.7, 1.3):
        expected = integrate.quad(density, 0, end, epsabs=1e-13)[0]
        np.testing.assert_allclose(theory.envelope_cdf(end, 7), expected, rtol=1e-10)
    assert theory.envelope_cdf(-1.0, 7) == 0


def test_envelope_cdf_becomes_a_step_without_a_seam():
    for distance in (-3.0, -0.5, 0.0, 2.0):
        r = 1 + distance / np.sqrt(2e9)
        below, above = theory.envelope_cdf(r, 90 - 1e-9), theory.envelope_cdf(r, 90 + 1e-9)
        np.testing.assert_allclose(above, below, atol=1e-9)
    for k_db in (100, 130, 300, 5000):
        np.testing.assert_allclose(theory.envelope_cdf([0.99, 1.0, 1.01], k_db), [0, 0.5, 1], 2e-5)
    np.testing.assert_array_equal(theory.envelope_cdf([0, 0.999, 1, np.inf], np.inf), [0, 0, 1, 1])
    np.testing.assert_array_equal(theory.envelope_cdf(np.inf, [-np.inf, 7, 200]), 1)
    assert theory.envelope_cdf(np.ones((5, 1)), np.array([-3.0, 7])).shape == (5, 2)


@pytest.mark.parametrize("k_db", K_DB)
def test_quadrature_has_the_moments_of_the_power(k_db):
    gains, weights = fading.power_quadrature(k_db)
    k = 10 ** (k_db / 10)
    assert np.all(gains > 0)
    third = (6 + 18 * k + 9 * k**2 + k**3) / (1 + k) ** 3
    for power, expected in enumerate([1, 1, (2 + 4 * k + k**2) / (1 + k) ** 2, third]):
        np.testing.assert_allclose(weights @ gains**power, expected, rtol=1e-13)
    variance = weights @ (gains - 1) ** 2
    np.testing.assert_allclose(theory.rician_power_variance(k_db), variance, rtol=1e-9)


@pytest.mark.parametrize("k_db", [-np.inf, 0.0, 7.0, 20.0])
def test_quadrature_has_the_distribution_of_the_power(k_db):
    """A Laplace transform at small and large s, against that of the noncentral chi-square."""
    gains, weights = fading.power_quadrature(k_db)
    k = 10 ** (k_db / 10)
    for s in (0.1, 10.0, 1e4):
        d = 1 + k + s
        expected = (1 + k) / d * np.exp(-k * s / d)
        np.testing.assert_allclose(weights @ np.exp(-s * gains), expected, rtol=1e-10, atol=1e-14)


def test_power_variance_is_that_of_the_textbook():
    k = 10 ** (np.array([-10.0, 0, 7, 30]) / 10)
    expected = (1 + 2 * k) / (1 + k) ** 2
    np.testing.assert_allclose(theory.rician_power_variance([-10, 0, 7, 30]), expected, rtol=1e-13)
    np.testing.assert_array_equal(theory.rician_power_variance([-np.inf, np.inf]), [1, 0])


def test_autocorrelation_equals_the_mean_over_directions_of_arrival():
    doppler_hz, arrival_rad, k_db = 30.0, 0.7, 3.0
    k = 10 ** (k_db / 10)
    lag_s = np.linspace(0, 0.1, 7)
    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    phase = 2 * np.pi * doppler_hz * lag_s
    scattered = np.mean(np.exp(1j * phase[:, None] * np.cos(angles)), axis=1)
    expected = (k * np.exp(1j * phase * np.cos(arrival_rad)) + scattered) / (k + 1)
    got = theory.tap_autocorrelation(lag_s, doppler_hz, k_db, arrival_rad)
    np.testing.assert_allclose(got, expected, atol=1e-13)
    assert got.dtype == np.complex128
    assert got[0] == 1
    back = theory.tap_autocorrelation(-lag_s, doppler_hz, k_db, arrival_rad)
    np.testing.assert_allclose(back, np.conj(got), atol=1e-15)


def test_autocorrelation_of_drawn_gains():
    """20,000 sums of 30 waves of random phase and direction, and a ray of random phase."""
    rng = np.random.default_rng(3)
    n, waves, doppler_hz, lag_s, k_db, arrival_rad = 20_000, 30, 20.0, 0.013, 2.0, 1.1
    k = 10 ** (k_db / 10)
    angles = np.column_stack([rng.uniform(0, 2 * np.pi, (n, waves)), np.full(n, arrival_rad)])
    powers = np.append(np.full(waves, 1 / waves), k) / (1 + k)
    start = np.sqrt(powers) * np.exp(1j * rng.uniform(0, 2 * np.pi, angles.shape))
    moved = start * np.exp(2j * np.pi * doppler_hz * lag_s * np.cos(angles))
    product = np.conj(start.sum(axis=1)) * moved.sum(axis=1)
    expected = theory.tap_autocorrelation(lag_s, doppler_hz, k_db, arrival_rad)
    for part, value in ((product.real, expected.real), (product.imag, expected.imag)):
        assert abs(part.mean() - value) < 5 * part.std() / np.sqrt(n)


def test_autocorrelation_at_the_limits_of_k_and_broadcast():
    lag_s = np.linspace(0, 0.2, 5)[:, None]
    table = theory.tap_autocorrelation(lag_s, 10.0, np.array([-np.inf, np.inf]), 0.5)
    phase = 20 * np.pi * lag_s[:, 0]
    np.testing.assert_allclose(table[:, 0], special.j0(phase), atol=1e-15)
    np.testing.assert_allclose(table[:, 1], np.exp(1j * phase * np.cos(0.5)), atol=1e-14)


def test_envelope_of_drawn_gains():
    rng = np.random.default_rng(4)
    n, k = 100_000, 10**0.3
    gains = rng.standard_normal(n) + 1j * rng.standard_normal(n)
    envelope = np.abs(np.sqrt(k / (1 + k)) + gains / np.sqrt(2 * (1 + k)))
    distance = stats.kstest(envelope, lambda r: theory.envelope_cdf(r, 3.0)).statistic
    # Kolmogorov-Smirnov: sqrt(n) D > 2.6 has probability 3e-6.
    assert np.sqrt(n) * distance < 2.6


def test_nan_is_named():
    with pytest.raises(ValueError, match="k_db"):
        theory.envelope_cdf(1.0, np.nan)
    with pytest.raises(ValueError, match=r"\br must"):
        theory.envelope_cdf([1.0, np.nan], 7.0)
    with pytest.raises(ValueError, match="k_db"):
        theory.rician_power_variance(np.nan)
    arguments = {"delay_s": 0.1, "doppler_hz": 5.0, "k_db": 7.0, "arrival_rad": 0.0}
    for name in arguments:
        with pytest.raises(ValueError, match=name):
            theory.tap_autocorrelation(**{**arguments, name: np.nan})
