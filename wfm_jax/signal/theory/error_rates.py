"""Error rates of square QAM with hard decisions, in white noise and in flat fading.

The bit error rate of Gray-mapped square QAM in white noise is a weighted sum of complementary
error functions of the symbol SNR g (Cho and Yoon, IEEE Trans. Commun. 50(7), 2002),

    BER = sum_j w_j erfc(sqrt(a_j g)),    a_j = 3 (2 j + 1)^2 / (2 (M - 1)).

In flat Rician fading each erfc is averaged by Craig's form (MILCOM 1991), a finite integral over
the moment generating function of the fading SNR (Simon and Alouini, Digital Communication over
Fading Channels, 2005),

    E erfc(sqrt(a g)) = 2/pi integral_0^{pi/2} E exp(-a g / sin^2 x) dx,
    E exp(-s g) = (1+K)/(1+K+s G) exp(-K s G/(1+K+s G)),    G = E g.
"""

import functools

import numpy as np
from scipy import special

from wfm_jax.signal import qam
from wfm_jax.signal.theory import decibels

_N_NODES = 256  # of Gauss-Legendre in Craig's integrals: 1e-12 relative accuracy from -40 to 60 dB


def ber_awgn(bits_per_symbol: int, ebn0_db: np.ndarray | float) -> np.ndarray:
    """Bit error rate in white noise: exact for Gray-mapped square QAM and hard decisions.

    >>> f"{ber_awgn(2, 9.6):.1e}"  # QPSK
    '9.7e-06'

    Args:
        bits_per_symbol: m of the 2^m-QAM.
        ebn0_db: Eb/N0; the symbol SNR is m times as large.

    Returns:
        float64 of the shape of ``ebn0_db``.

    Raises:
        ValueError: unsupported ``bits_per_symbol``, or ``ebn0_db`` is NaN.
    """
    snr = _symbol_snr(bits_per_symbol, ebn0_db)
    terms = zip(*_erfc_terms(bits_per_symbol), strict=True)
    return np.sum([w * special.erfc(np.sqrt(scale * snr)) for w, scale in terms], axis=0)


def ber_rician(
    bits_per_symbol: int, ebn0_db: np.ndarray | float, k_db: np.ndarray | float
) -> np.ndarray:
    """Bit error rate in flat Rician fading, the channel known to the receiver.

    >>> f"{ber_rician(4, 15.0, k_db=7.0):.2e}", f"{ber_rician(4, 15.0, k_db=np.inf):.2e}"
    ('1.68e-03', '1.84e-07')

    Args:
        bits_per_symbol: m of the 2^m-QAM.
        ebn0_db: mean Eb/N0.
        k_db: LOS power over all scattered power.

    Returns:
        float64 of the shape that ``ebn0_db`` and ``k_db`` broadcast to.

    Raises:
        ValueError: unsupported ``bits_per_symbol``, or another argument is NaN.
    """
    snr = _symbol_snr(bits_per_symbol, ebn0_db)
    terms = zip(*_erfc_terms(bits_per_symbol), strict=True)
    return np.sum([w * _mean_craig(scale * snr, k_db, np.pi / 2) for w, scale in terms], axis=0)


def ber_rayleigh(bits_per_symbol: int, ebn0_db: np.ndarray | float) -> np.ndarray:
    """Bit error rate in flat Rayleigh fading: E erfc(sqrt(a g)) = 1 - sqrt(a G/(1 + a G)).

    Args:
        bits_per_symbol: m of the 2^m-QAM.
        ebn0_db: mean Eb/N0.

    Returns:
        float64 of the shape of ``ebn0_db``.

    Raises:
        ValueError: unsupported ``bits_per_symbol``, or ``ebn0_db`` is NaN.
    """
    snr = _symbol_snr(bits_per_symbol, ebn0_db)
    total = np.zeros_like(snr)
    for weight, scale in zip(*_erfc_terms(bits_per_symbol), strict=True):
        total = total + weight * _rayleigh_root(scale * snr)[1]
    return total


def ser_awgn(bits_per_symbol: int, ebn0_db: np.ndarray | float) -> np.ndarray:
    """Symbol error rate of square QAM in white noise, 4 p Q - 4 p^2 Q^2.

    Here p = 1 - 1/sqrt(M) and Q is the Gaussian tail at sqrt(3 g/(M - 1)) (Proakis).

    Args:
        bits_per_symbol: m of the 2^m-QAM.
        ebn0_db: Eb/N0.

    Returns:
        float64 of the shape of ``ebn0_db``.

    Raises:
        ValueError: unsupported ``bits_per_symbol``, or ``ebn0_db`` is NaN.
    """
    snr = _symbol_snr(bits_per_symbol, ebn0_db)
    p, scale = _square(bits_per_symbol)
    erfc = special.erfc(np.sqrt(scale * snr))
    return 2.0 * p * erfc - (p * erfc) ** 2


def ser_rician(
    bits_per_symbol: int, ebn0_db: np.ndarray | float, k_db: np.ndarray | float
) -> np.ndarray:
    """Symbol error rate in flat Rician fading, the channel known to the receiver.

    Q^2 has Craig's form over a quarter circle (Simon and Divsalar, 1998).

    >>> f"{ser_rician(4, 15.0, k_db=-np.inf):.4f}", f"{ser_rayleigh(4, 15.0):.4f}"
    ('0.0481', '0.0481')

    Args:
        bits_per_symbol: m of the 2^m-QAM.
        ebn0_db: mean Eb/N0.
        k_db: LOS power over all scattered power.

    Returns:
        float64 of the shape that ``ebn0_db`` and ``k_db`` broadcast to.

    Raises:
        ValueError: unsupported ``bits_per_symbol``, or another argument is NaN.
    """
    snr = _symbol_snr(bits_per_symbol, ebn0_db)
    p, scale = _square(bits_per_symbol)
    half, quarter = (_mean_craig(scale * snr, k_db, angle) for angle in (np.pi / 2, np.pi / 4))
    return 2.0 * p * half - 2.0 * p**2 * quarter


def ser_rayleigh(bits_per_symbol: int, ebn0_db: np.ndarray | float) -> np.ndarray:
    """Symbol error rate in flat Rayleigh fading, the channel known to the receiver.

    With u = sqrt(a G/(1 + a G)) for a = 3/(2 (M - 1)), E erfc = 1 - u and E erfc^2 = 1 - 4 u/pi
    arctan(1/u) (Simon and Alouini 2005). arctan(1/u) = pi/4 + arctan((1 - u)/(1 + u)) leaves a sum
    of positive terms: exact to rounding at any SNR.

    Args:
        bits_per_symbol: m of the 2^m-QAM.
        ebn0_db: mean Eb/N0.

    Returns:
        float64 of the shape of ``ebn0_db``.

    Raises:
        ValueError: unsupported ``bits_per_symbol``, or ``ebn0_db`` is NaN.
    """
    snr = _symbol_snr(bits_per_symbol, ebn0_db)
    p, scale = _square(bits_per_symbol)
    root, complement = _rayleigh_root(scale * snr)
    squared = 4.0 / np.pi * root * np.arctan(complement / (1.0 + root))
    return p * (2.0 - p) * complement + p**2 * squared


def _symbol_snr(bits_per_symbol: int, ebn0_db: np.ndarray | float) -> np.ndarray:
    m = qam.check_bits_per_symbol(bits_per_symbol)
    return m * decibels.power_ratio("ebn0_db", ebn0_db)


@functools.cache
def _erfc_terms(bits_per_symbol: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights w_j and scales a_j of Cho and Yoon's sum, averaged over the bits of an axis."""
    bits = bits_per_symbol // 2
    side = 2**bits
    weights = np.zeros(side - 1)
    for k in range(1, bits + 1):
        for j in range(side - side // 2**k):
            step = j * 2 ** (k - 1)
            sign = -1.0 if (step // side) % 2 else 1.0
            nearest = (2 * step + side) // (2 * side)  # step / side, rounded half up
            weights[j] += sign * (2 ** (k - 1) - nearest) / (side * bits)
    return weights, 1.5 * (2 * np.arange(side - 1) + 1) ** 2 / (side**2 - 1)


def _square(bits_per_symbol: int) -> tuple[float, float]:
    """p = 1 - 1/sqrt(M), and a_0 = 3/(2 (M - 1)): half the distance of neighbours, squared."""
    return 1.0 - 2.0 ** (-bits_per_symbol / 2), 1.5 / (2.0**bits_per_symbol - 1.0)


def _rayleigh_root(snr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """u = sqrt(g/(1 + g)) and 1 - u, without cancellation."""
    root = np.sqrt(snr / (1.0 + snr))
    return root, 1.0 / ((1.0 + snr) * (1.0 + root))


@functools.cache
def _legendre() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on 0...1, dense near 0 (x = u^2), where low SNRs are steep."""
    u, weights = np.polynomial.legendre.leggauss(_N_NODES)
    u = (u + 1.0) / 2.0
    return u**2, weights * u


def _mean_craig(mean_snr: np.ndarray, k_db: np.ndarray | float, angle: float) -> np.ndarray:
    """2/pi times the integral over 0...angle of E exp(-g / sin^2 x), g Rician with this mean.

    pi/2 gives E erfc(sqrt(g)), pi/4 gives half of E erfc(sqrt(g))^2. The moment generating function
    is written in q = 1/(1 + K), which stays finite from Rayleigh (q = 1) to no fading (q = 0).
    """
    nodes, weights = _legendre()
    q = decibels.scattered_share(k_db)[..., None]
    s = np.asarray(mean_snr)[..., None] / np.sin(angle * nodes) ** 2
    fading = np.exp(-(1.0 - q) * s / (1.0 + q * s)) / (1.0 + q * s)
    return (2.0 * angle / np.pi) * (fading @ weights)
