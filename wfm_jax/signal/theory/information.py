"""Information rates of uniform square QAM: what a decoder behind an ideal demapper can be told.

Both axes are independent, so a rate is twice that of the levels of one axis. Given a sent level
and its noise z in standard deviations, a candidate whose level is a = gap/sqrt(n0) below has the
likelihood exp(-a (a + sqrt(2) z)) relative to the sent one's, at most exp(z^2/2). Rates are

    m - 2 sum_q E log2(1 + likelihood of q's rivals / likelihood of the others),

where the rivals of bit q are the candidates in which this bit differs: the generalised mutual
information (GMI) of exact bit metrics, the rate of bit-interleaved coded modulation (Caire, Taricco
and Biglieri 1998; Alvarado et al. 2015), the same as m - sum_i E log2(1 + exp((1 - 2 b_i) llr_i)).
Where every other level is a rival, it is the mutual information (MI) of the symbol, the capacity of
coded modulation (Ungerboeck 1982). The mean over z is by the trapezoidal rule, which converges
exponentially here: rates in white noise are accurate to 1e-14 bits.

In flat fading known to the receiver, rates are means over the fading SNR. The rate over SNR is
tabulated once for each order and interpolated; these means are accurate to 1e-11 bits, measured
against finer tables and rules at any K and mean SNRs of -40 to 100 dB.
"""

import functools

import numpy as np
from scipy import interpolate

from wfm_jax.signal import qam
from wfm_jax.signal.theory import decibels, fading

_NOISE = np.linspace(-9.0, 9.0, 241)  # in standard deviations
_TABLE_DB = np.arange(-60.0, 60.1, 0.25)


def gmi_awgn(bits_per_symbol: int, esn0_db: np.ndarray | float) -> np.ndarray:
    """Generalised mutual information of exact bit metrics in white noise, bits per symbol.

    >>> gmi_awgn(4, np.array([0.0, 10.0, 20.0])).round(3).tolist()  # 16-QAM
    [0.899, 3.164, 4.0]

    Args:
        bits_per_symbol: m of the 2^m-QAM.
        esn0_db: Es/N0.

    Returns:
        float64 of the shape of ``esn0_db``.

    Raises:
        ValueError: unsupported ``bits_per_symbol``, or ``esn0_db`` is NaN.
    """
    return _rate(bits_per_symbol, esn0_db, _bit_rivals(bits_per_symbol))


def mi_awgn(bits_per_symbol: int, esn0_db: np.ndarray | float) -> np.ndarray:
    """Mutual information of the symbol in white noise, bits per symbol; at least the GMI.

    Args:
        bits_per_symbol: m of the 2^m-QAM.
        esn0_db: Es/N0.

    Returns:
        float64 of the shape of ``esn0_db``.

    Raises:
        ValueError: unsupported ``bits_per_symbol``, or ``esn0_db`` is NaN.
    """
    return _rate(bits_per_symbol, esn0_db, _symbol_rivals(bits_per_symbol))


def gmi_rician(
    bits_per_symbol: int, esn0_db: np.ndarray | float, k_db: np.ndarray | float
) -> np.ndarray:
    """GMI in flat Rician fading, the channel known to the receiver, bits per symbol.

    Args:
        bits_per_symbol: m of the 2^m-QAM.
        esn0_db: mean Es/N0.
        k_db: LOS power over all scattered power.

    Returns:
        float64 of the shape that ``esn0_db`` and ``k_db`` broadcast to.

    Raises:
        ValueError: unsupported ``bits_per_symbol``, or another argument is NaN.
    """
    return _fading_mean(_gmi_table(qam.check_bits_per_symbol(bits_per_symbol)), esn0_db, k_db)


def mi_rician(
    bits_per_symbol: int, esn0_db: np.ndarray | float, k_db: np.ndarray | float
) -> np.ndarray:
    """Mutual information of the symbol in flat Rician fading, the channel known to the receiver.

    Args:
        bits_per_symbol: m of the 2^m-QAM.
        esn0_db: mean Es/N0.
        k_db: LOS power over all scattered power.

    Returns:
        float64 of the shape that ``esn0_db`` and ``k_db`` broadcast to.

    Raises:
        ValueError: unsupported ``bits_per_symbol``, or another argument is NaN.
    """
    return _fading_mean(_mi_table(qam.check_bits_per_symbol(bits_per_symbol)), esn0_db, k_db)


@functools.cache
def _bit_rivals(bits_per_symbol: int) -> np.ndarray:
    """{0, 1} float64[sent, candidate, bit]: the bit differs."""
    _, labels = qam.axis_levels(qam.check_bits_per_symbol(bits_per_symbol))
    return (labels[:, None] != labels).astype(np.float64)


@functools.cache
def _symbol_rivals(bits_per_symbol: int) -> np.ndarray:
    """{0, 1} float64[sent, candidate, 1]: another level."""
    levels, _ = qam.axis_levels(qam.check_bits_per_symbol(bits_per_symbol))
    return (levels[:, None] != levels).astype(np.float64)[..., None]


def _axis_levels_float64(bits_per_symbol: int) -> np.ndarray:
    """Levels of ``qam.axis_levels`` without their rounding to float32."""
    norm = np.sqrt(2.0 * (2.0**bits_per_symbol - 1.0) / 3.0)
    return np.round(qam.axis_levels(bits_per_symbol)[0] * norm) / norm


def _rate(bits_per_symbol: int, esn0_db: np.ndarray | float, rivals: np.ndarray) -> np.ndarray:
    """One SNR after the other: an array over all would take 2 MB for each at 1024-QAM."""
    snr = decibels.power_ratio("esn0_db", esn0_db)
    levels = _axis_levels_float64(bits_per_symbol)
    gap = (levels[:, None] - levels)[:, None, :]
    density = np.exp(-(_NOISE**2) / 2.0)
    density = density / density.sum()
    losses = []
    for root in np.sqrt(snr.ravel()):
        a = root * gap
        likelihood = np.exp(-a * (a + np.sqrt(2.0) * _NOISE[:, None]))  # [sent, noise, candidate]
        odds = (likelihood @ rivals) / (likelihood @ (1.0 - rivals))
        losses.append(np.mean(density @ np.log2(1.0 + odds), axis=0).sum())
    return bits_per_symbol - 2.0 * np.reshape(losses, snr.shape)


@functools.cache
def _gmi_table(bits_per_symbol: int) -> interpolate.BSpline:
    return interpolate.make_interp_spline(_TABLE_DB, gmi_awgn(bits_per_symbol, _TABLE_DB), k=7)


@functools.cache
def _mi_table(bits_per_symbol: int) -> interpolate.BSpline:
    return interpolate.make_interp_spline(_TABLE_DB, mi_awgn(bits_per_symbol, _TABLE_DB), k=7)


def _fading_mean(
    table: interpolate.BSpline, esn0_db: np.ndarray | float, k_db: np.ndarray | float
) -> np.ndarray:
    """Mean over the fade of a rate tabulated over dB: proportional to the SNR below the table, and
    saturated above it."""
    mean_db = decibels.finite_or_infinite("esn0_db", esn0_db)[..., None]
    gains, weights = fading.power_quadrature(k_db)
    snr_db = mean_db + 10.0 * np.log10(gains)
    rate = table(np.clip(snr_db, _TABLE_DB[0], _TABLE_DB[-1]))
    rate = rate * 10.0 ** (np.minimum(snr_db - _TABLE_DB[0], 0.0) / 10.0)
    return np.sum(rate * weights, axis=-1)
