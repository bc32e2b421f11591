"""Error rates against published values and independent routes: regions, densities, limits."""

import numpy as np
import pytest
from scipy import integrate, stats

from wfm_jax.signal import theory

ORDERS = (2, 4, 6, 8, 10)

# Eb/N0 = 10 dB, K = 7 dB: bits per symbol, BER in white noise, BER Rician, SER Rician.
VECTORS = (
    (2, 3.87210822e-6, 3.28394844e-3, 6.22776799e-3),
    (4, 1.75415062e-3, 1.24293017e-2, 4.55132473e-2),
    (6, 2.65327088e-2, 4.25337083e-2, 2.21444205e-1),
    (8, 7.85962755e-2, 9.29150862e-2, 5.54524354e-1),
)


def gray_levels(m):
    """Levels in rising order and their reflected binary labels, of one axis, unit symbol energy."""
    k = m // 2
    index = np.arange(2**k)
    gray = index ^ (index >> 1)
    labels = (gray[:, None] >> np.arange(k)[::-1]) & 1
    return (2 * index - (2**k - 1)) / np.sqrt(2 * (2**m - 1) / 3), labels


def direct_error_rates(m, esn0):
    """BER and SER in white noise: probability of every decision region of an axis."""
    levels, labels = gray_levels(m)
    borders = np.concatenate([[-np.inf], (levels[1:] + levels[:-1]) / 2, [np.inf]])
    cdf = stats.norm.cdf((borders - levels[:, None]) * np.sqrt(2 * esn0))
    decided = np.diff(cdf, axis=1)
    wrong = np.mean(labels[:, None] != labels, axis=-1)
    correct = np.mean(np.diag(decided))
    return np.mean(np.sum(decided * wrong, axis=1)), 1 - correct**2


@pytest.mark.parametrize("m, awgn, rician, symbols", VECTORS)
def test_published_vectors(m, awgn, rician, symbols):
    np.testing.assert_allclose(theory.ber_awgn(m, 10), awgn, rtol=5e-9)
    np.testing.assert_allclose(theory.ber_rician(m, 10, 7), rician, rtol=5e-9)
    np.testing.assert_allclose(theory.ser_rician(m, 10, 7), symbols, rtol=5e-9)


@pytest.mark.parametrize("m", ORDERS)
@pytest.mark.parametrize("ebn0_db", [-10, 0, 8, 15])
def test_white_noise_equals_the_sum_over_decision_regions(m, ebn0_db):
    ber, ser = direct_error_rates(m, m * 10 ** (ebn0_db / 10))
    # 1e-13: the direct route's differences of distribution functions round there.
    np.testing.assert_allclose(theory.ber_awgn(m, ebn0_db), ber, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(theory.ser_awgn(m, ebn0_db), ser, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("m", [2, 6, 10])
@pytest.mark.parametrize("k_db", [-6, 7, 20])
@pytest.mark.parametrize("ebn0_db", [-3, 10, 25])
def test_rician_equals_the_integral_over_the_density_of_the_fade(m, k_db, ebn0_db):
    k = 10 ** (k_db / 10)
    power = stats.ncx2(df=2, nc=2 * k, scale=1 / (2 * (1 + k)))

    def average(rate):
        def integrand(gain):  # gain = |h|^2; in its root, where the integrand has no corner
            return rate(m, ebn0_db + 20 * np.log10(gain)) * power.pdf(gain**2) * 2 * gain

        parts = [(1e-9, 0.1), (0.1, 0.3), (0.3, 1), (1, 2), (2, 8)]
        return sum(integrate.quad(integrand, *part, epsabs=1e-13, limit=200)[0] for part in parts)

    expected = average(theory.ber_awgn), average(theory.ser_awgn)
    got = theory.ber_rician(m, ebn0_db, k_db), theory.ser_rician(m, ebn0_db, k_db)
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("m", ORDERS)
def test_limits_of_k_are_rayleigh_and_white_noise(m):
    ebn0_db = np.linspace(-30, 40, 15)
    rayleigh = theory.ber_rayleigh(m, ebn0_db)
    np.testing.assert_allclose(theory.ber_rician(m, ebn0_db, -np.inf), rayleigh, rtol=1e-11)
    np.testing.assert_allclose(theory.ber_rician(m, ebn0_db, -120), rayleigh, rtol=1e-9)
    rayleigh = theory.ser_rayleigh(m, ebn0_db)
    np.testing.assert_allclose(theory.ser_rician(m, ebn0_db, -np.inf), rayleigh, rtol=1e-11)
    low = ebn0_db[ebn0_db < 12]
    for rician, awgn in (
        (theory.ber_rician, theory.ber_awgn),
        (theory.ser_rician, theory.ser_awgn),
    ):
        np.testing.assert_allclose(rician(m, low, np.inf), awgn(m, low), rtol=1e-11)


def test_rates_fall_with_snr_and_with_k():
    snr_db = np.linspace(0, 30, 31)
    for m in ORDERS:
        table = theory.ber_rician(m, snr_db[:, None], np.array([-6.0, 0, 7, 15]))
        assert np.all(np.diff(table, axis=0) < 0)
        # At high SNR (at 0 dB, 1024-QAM gains from fades upwards).
        assert np.all(np.diff(table[-1]) < 0)


def test_rayleigh_equals_the_textbook_formulas():
    gamma = 10 ** (np.array([0.0, 10, 20]) / 10)
    expected = (1 - np.sqrt(gamma / (1 + gamma))) / 2
    np.testing.assert_allclose(theory.ber_rayleigh(2, [0, 10, 20]), expected, rtol=1e-12)
    for m in ORDERS:
        u = np.sqrt(1.5 * m * gamma / (2**m - 1 + 1.5 * m * gamma))
        p = 1 - 2 ** (-m / 2)
        expected = 2 * p * (1 - u) - p**2 * (1 - 4 / np.pi * u * np.arctan(1 / u))
        np.testing.assert_allclose(theory.ser_rayleigh(m, [0, 10, 20]), expected, rtol=1e-11)


@pytest.mark.parametrize("m", ORDERS)
def test_rayleigh_falls_with_snr_without_cancellation(m):
    """Far up both rates are c/snr, and what is left of it is of the order 1/snr."""
    ebn0_db = np.array([80.0, 120, 200, 300])
    for function in (theory.ber_rayleigh, theory.ser_rayleigh):
        scaled = function(m, ebn0_db) * 10 ** (ebn0_db / 10)
        np.testing.assert_allclose(scaled[1:], scaled[0], rtol=2e-5)
        np.testing.assert_allclose(scaled[2:], scaled[1], rtol=2e-9)


@pytest.mark.parametrize("m", ORDERS)
def test_infinite_snrs_are_certainty_and_guessing(m):
    for function, guess in (
        (theory.ber_awgn, 0.5),
        (theory.ber_rayleigh, 0.5),
        (theory.ser_awgn, 1 - 2.0**-m),
        (theory.ser_rayleigh, 1 - 2.0**-m),
    ):
        np.testing.assert_allclose(function(m, [-np.inf, np.inf]), [guess, 0], atol=1e-14)
    k_db = np.array([-np.inf, 0, 7, np.inf])
    for function, guess in ((theory.ber_rician, 0.5), (theory.ser_rician, 1 - 2.0**-m)):
        np.testing.assert_allclose(function(m, -np.inf, k_db), guess, rtol=1e-13)
        np.testing.assert_allclose(function(m, np.inf, k_db), 0, atol=1e-14)


def test_arguments_broadcast_in_float64():
    ebn0_db, k_db = np.array([0.0, 10, 20])[:, None], np.array([-3.0, 7])
    for function in (theory.ber_rician, theory.ser_rician):
        table = function(4, ebn0_db, k_db)
        assert table.shape == (3, 2)
        assert table.dtype == np.float64
        single = [[function(4, e, k) for k in k_db] for e in ebn0_db[:, 0]]
        np.testing.assert_allclose(table, single, rtol=1e-12)
        assert np.ndim(function(4, 3, 7.0)) == 0
    for function in (theory.ber_awgn, theory.ser_awgn, theory.ber_rayleigh, theory.ser_rayleigh):
        column = function(4, ebn0_db)
        assert column.shape == (3, 1)
        assert column.dtype == np.float64
        np.testing.assert_allclose(column[1, 0], function(4, 10.0), rtol=1e-12)


@pytest.mark.parametrize("m", [1, 3, 0, 12])
def test_unsupported_order_is_named(m):
    for function in (theory.ber_awgn, theory.ser_awgn, theory.ber_rayleigh, theory.ser_rayleigh):
        with pytest.raises(ValueError, match="bits_per_symbol"):
            function(m, 10.0)
    for function in (theory.ber_rician, theory.ser_rician):
        with pytest.raises(ValueError, match="bits_per_symbol"):
            function(m, 10.0, 7.0)


def test_nan_is_named():
    for function in (theory.ber_awgn, theory.ser_awgn, theory.ber_rayleigh, theory.ser_rayleigh):
        with pytest.raises(ValueError, match="ebn0_db"):
            function(4, [10.0, np.nan])
    for function in (theory.ber_rician, theory.ser_rician):
        with pytest.raises(ValueError, match="ebn0_db"):
            function(4, np.nan, 7.0)
        with pytest.raises(ValueError, match="k_db"):
            function(4, 10.0, [7.0, np.nan])
