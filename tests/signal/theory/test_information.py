"""Information rates against published values, Monte Carlo, adaptive integrals, and each other."""

import itertools

import numpy as np
import pytest
from scipy import integrate, special, stats

from wfm_jax.signal import theory

ORDERS = (2, 4, 6, 8, 10)
AWGN = (theory.gmi_awgn, theory.mi_awgn)
RICIAN = ((theory.gmi_rician, theory.gmi_awgn), (theory.mi_rician, theory.mi_awgn))


def gray_levels(m):
    """Levels in rising order and their reflected binary labels, of one axis, unit symbol energy."""
    k = m // 2
    index = np.arange(2**k)
    gray = index ^ (index >> 1)
    labels = (gray[:, None] >> np.arange(k)[::-1]) & 1
    return (2 * index - (2**k - 1)) / np.sqrt(2 * (2**m - 1) / 3), labels


def sampled_losses(m, n0, rng):
    """m minus the information that each of n symbols carried, bitwise and symbolwise, from the
    likelihoods of all 2^m points. ``n0`` is [n]."""
    levels, labels = gray_levels(m)
    points = np.array([a + 1j * b for a, b in itertools.product(levels, levels)])
    bits = np.array([np.concatenate(pair) for pair in itertools.product(labels, labels)])
    n = n0.size
    sent = rng.integers(0, 2**m, n)
    y = points[sent] + np.sqrt(n0 / 2) * (rng.standard_normal(n) + 1j * rng.standard_normal(n))
    metric = -(np.abs(y[:, None] - points) ** 2) / n0[:, None]
    total = special.logsumexp(metric, axis=1)
    bitwise = np.zeros(n)
    for i in range(m):
        same = bits[:, i] == bits[sent, i][:, None]
        bitwise += total - special.logsumexp(metric, axis=1, b=same)
    symbolwise = total - metric[np.arange(n), sent]
    return bitwise / np.log(2), symbolwise / np.log(2)


def rician_mean(function, k_db):
    """E function(|h|^2), by adaptive quadrature over the envelope."""
    k = 10 ** (k_db / 10)
    power = stats.ncx2(df=2, nc=2 * k, scale=1 / (2 * (1 + k)))
    parts = [(1e-9, 0.05), (0.05, 0.2), (0.2, 0.6), (0.6, 1), (1, 1.5), (1.5, 3), (3, 8)]

    def integrand(r):
        return function(r**2) * power.pdf(r**2) * 2 * r

    return sum(integrate.quad(integrand, *part, epsabs=1e-12, limit=200)[0] for part in parts)


def test_published_values():
    gmi = [theory.gmi_awgn(m, snr_db) for m, snr_db in ((4, 10), (6, 20), (2, 5))]
    np.testing.assert_allclose(gmi, [3.163579, 5.801462, 1.718388], atol=6e-7)


@pytest.mark.parametrize("m", [2, 4, 6])
def test_white_noise_equals_a_monte_carlo_mean_over_all_points(m):
    n, esn0_db = 60_000, 3 * m - 2
    losses = sampled_losses(m, np.full(n, 10 ** (-esn0_db / 10)), np.random.default_rng(m))
    for loss, rate in zip(losses, AWGN, strict=True):
        z = (m - loss.mean() - rate(m, esn0_db)) / (loss.std() / np.sqrt(n))
        assert abs(z) < 5


@pytest.mark.parametrize("m, k_db", [(2, -np.inf), (4, 3.0), (6, 10.0)])
def test_fading_equals_a_monte_carlo_mean_over_gains(m, k_db):
    rng = np.random.default_rng(m)
    n, esn0_db, k = 60_000, 3 * m, 10 ** (k_db / 10)
    scattered = (rng.standard_normal(n) + 1j * rng.standard_normal(n)) / np.sqrt(2)
    h = np.sqrt(k / (1 + k)) + scattered / np.sqrt(1 + k)
    losses = sampled_losses(m, 10 ** (-esn0_db / 10) / np.abs(h) ** 2, rng)
    for loss, rate in zip(losses, (theory.gmi_rician, theory.mi_rician), strict=True):
        z = (m - loss.mean() - rate(m, esn0_db, k_db)) / (loss.std() / np.sqrt(n))
        assert abs(z) < 5


@pytest.mark.parametrize("m", [2, 4, 8])
@pytest.mark.parametrize("esn0_db", [-10, 3, 15])
def test_mutual_information_is_the_entropy_of_the_output_less_that_of_the_noise(m, esn0_db):
    """Twice h(y) - h(noise) of an axis, by adaptive quadrature over its mixture of Gaussians."""
    levels, _ = gray_levels(m)
    sigma = np.sqrt(10 ** (-esn0_db / 10) / 2)

    def integrand(y):
        density = np.mean(stats.norm.pdf(y, levels, sigma))
        return -special.xlogy(density, density)

    ends = np.concatenate([[levels[0] - 10 * sigma], levels, [levels[-1] + 10 * sigma]])
    parts = itertools.pairwise(ends)
    entropy = sum(integrate.quad(integrand, *part, epsabs=1e-12)[0] for part in parts)
    expected = 2 * (entropy - np.log(2 * np.pi * np.e * sigma**2) / 2) / np.log(2)
    np.testing.assert_allclose(theory.mi_awgn(m, esn0_db), expected, atol=1e-10)


@pytest.mark.parametrize("m, esn0_db, k_db", [(2, -5, 0.0), (4, 12, -6.0), (6, 20, 7.0)])
def test_fading_equals_the_integral_over_the_density_of_the_fade(m, esn0_db, k_db):
    for rician, awgn in RICIAN:

        def at(gain, awgn=awgn):
            return awgn(m, esn0_db + 10 * np.log10(gain))

        expected = rician_mean(at, k_db)
        np.testing.assert_allclose(rician(m, esn0_db, k_db), expected, atol=1e-10)


@pytest.mark.parametrize("m", ORDERS)
def test_limits_of_k_are_no_fading_and_rayleigh(m):
    esn0_db = np.linspace(-30, 60, 19)
    for rician, awgn in RICIAN:
        np.testing.assert_allclose(rician(m, esn0_db, np.inf), awgn(m, esn0_db), atol=2e-11)
        np.testing.assert_allclose(rician(m, esn0_db, 1e6), awgn(m, esn0_db), atol=2e-11)
        # The first term in 1/K: half the variance, 2/K, times the curvature.
        np.testing.assert_allclose(rician(m, esn0_db, 80), awgn(m, esn0_db), atol=1e-7)
        rayleigh = rician(m, esn0_db, -np.inf)
        np.testing.assert_allclose(rician(m, esn0_db, -130), rayleigh, atol=1e-11)


def test_rayleigh_qpsk_equals_a_sum_by_gauss_laguerre():
    """The power is exponential, and at -10 dB the rate is smooth over it."""
    gains, weights = np.polynomial.laguerre.laggauss(120)
    for esn0_db in (-20.0, -10.0):
        rates = theory.mi_awgn(2, esn0_db + 10 * np.log10(gains))
        got = theory.mi_rician(2, esn0_db, -np.inf)
        np.testing.assert_allclose(got, weights @ rates, atol=1e-9)


@pytest.mark.parametrize("k_db", [-np.inf, 0.0, 7.0])
def test_rates_are_ordered(k_db):
    """GMI <= MI <= the capacity of Gaussian symbols, and at most m; fading only loses."""
    esn0_db = np.array([-20.0, 0, 8, 15, 25, 40])
    capacity = [
        rician_mean(lambda g, snr=10 ** (x / 10): np.log2(1 + snr * g), k_db) for x in esn0_db
    ]
    for m in ORDERS:
        gmi, mi = theory.gmi_rician(m, esn0_db, k_db), theory.mi_rician(m, esn0_db, k_db)
        assert np.all(gmi <= mi + 1e-12)
        assert np.all(mi <= np.minimum(capacity, m) + 1e-10)
        assert np.all(np.diff(gmi) > 0)
        assert np.all(theory.mi_awgn(m, esn0_db) >= mi - 1e-12)
    np.testing.assert_allclose(theory.mi_rician(10, -20, k_db), capacity[0], rtol=1e-4)


def test_qpsk_loses_nothing_bit_by_bit_and_larger_orders_do():
    esn0_db = np.linspace(-30, 30, 61)
    np.testing.assert_allclose(theory.gmi_awgn(2, esn0_db), theory.mi_awgn(2, esn0_db), atol=1e-13)
    for k_db in (-np.inf, 3.0):
        gmi, mi = theory.gmi_rician(2, esn0_db, k_db), theory.mi_rician(2, esn0_db, k_db)
        np.testing.assert_allclose(gmi, mi, atol=1e-12)
    for m in ORDERS[1:]:
        gap = theory.mi_awgn(m, esn0_db) - theory.gmi_awgn(m, esn0_db)
        assert gap.min() > -1e-12
        assert gap.max() > 0.01


def test_rates_reach_their_limits():
    for m, rate in itertools.product(ORDERS, AWGN):
        values = rate(m, np.array([-np.inf, -50.0, 0, 8, 12, 60, 150, np.inf]))
        assert np.all(np.diff(values[:5]) > 0)
        np.testing.assert_allclose(values[0], 0, atol=1e-13)
        np.testing.assert_allclose(values[5:], m, rtol=1e-12)
        assert np.all(values[1:5] < np.log2(1 + 10 ** np.array([-5.0, 0, 0.8, 1.2])) + 1e-12)
    for (rate, _), k_db in itertools.product(RICIAN, (-np.inf, 0.0, np.inf)):
        np.testing.assert_allclose(rate(4, [-np.inf, np.inf], k_db), [0, 4], atol=1e-13)
    # Weak QPSK loses nothing to Gaussian signals: log2(1 + snr), in the mean snr/ln 2.
    np.testing.assert_allclose(theory.gmi_awgn(2, -40), np.log2(1 + 1e-4), rtol=1e-3)
    weak = theory.mi_rician(2, -90.0, np.array([-np.inf, 0, 20]))
    np.testing.assert_allclose(weak, 1e-9 / np.log(2), rtol=1e-5)


def test_arguments_broadcast_in_float64():
    esn0_db, k_db = np.array([0.0, 10, 20])[:, None], np.array([-3.0, 7])
    for rician, awgn in RICIAN:
        table = rician(4, esn0_db, k_db)
        assert table.shape == (3, 2)
        assert table.dtype == np.float64
        single = [[rician(4, e, k) for k in k_db] for e in esn0_db[:, 0]]
        np.testing.assert_allclose(table, single, rtol=1e-12)
        assert np.ndim(rician(4, 3, 7)) == 0
        column = awgn(4, esn0_db)
        assert column.shape == (3, 1)
        assert column.dtype == np.float64
        np.testing.assert_allclose(column[1, 0], awgn(4, 10.0), rtol=1e-12)
        assert np.ndim(awgn(4, 3)) == 0


def test_bad_arguments_are_named():
    for rician, awgn in RICIAN:
        for m in (0, 1, 3, 12):
            with pytest.raises(ValueError, match="bits_per_symbol"):
                awgn(m, 10.0)
            with pytest.raises(ValueError, match="bits_per_symbol"):
                rician(m, 10.0, 7.0)
        with pytest.raises(ValueError, match="esn0_db"):
            awgn(4, [1.0, np.nan])
        with pytest.raises(ValueError, match="esn0_db"):
            rician(4, np.nan, 7.0)
        with pytest.raises(ValueError, match="k_db"):
            rician(4, 10.0, np.nan)
