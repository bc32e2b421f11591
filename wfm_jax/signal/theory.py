"""Closed forms in float64 NumPy and SciPy: what the simulator is held against.

The bit error rate of Gray-mapped square QAM in white noise is a weighted sum of complementary
error functions of the symbol SNR g (Cho and Yoon, IEEE Trans. Commun. 50(7), 2002),

    BER = sum_j w_j erfc(sqrt(a_j g)),    a_j = 3 (2 j + 1)^2 / (2 (M - 1)).

In flat Rician fading each erfc is averaged by Craig's form (MILCOM 1991), a finite integral over
the moment generating function of the fading SNR (Simon and Alouini, Digital Communication over
Fading Channels, 2005),

    E erfc(sqrt(a g)) = 2/pi integral_0^{pi/2} E exp(-a g / sin^2 x) dx,
    E exp(-s g) = (1+K)/(1+K+s G) exp(-K s G/(1+K+s G)),    G = E g.

Every resource element of OFDM over a Rician tapped delay line with one LOS ray is flat Rician, so
this is also the bit error rate of a receiver that knows the channel. SNRs and K are in dB and
broadcast against each other; results are float64. ``k_db`` = -inf is Rayleigh, +inf no fading.
"""

import functools

import numpy as np
from scipy import special, stats

from wfm_jax.signal import qam

_N_NODES = 256  # of Gauss-Legendre in Craig's integrals: 1e-12 relative accuracy from -40 to 60 dB


def ber_awgn(bits_per_symbol: int, ebn0_db: np.ndarray | float) -> np.ndarray:
    """Bit error rate in white noise: exact for Gray-mapped square QAM and hard decisions.

    Args:
        bits_per_symbol: m of the 2^m-QAM.
        ebn0_db: Eb/N0; the symbol SNR is m times as large.

    Raises:
        ValueError: unsupported ``bits_per_symbol``.
    """
    snr = _symbol_snr(bits_per_symbol, ebn0_db)
    terms = zip(*_erfc_terms(bits_per_symbol), strict=True)
    return np.sum([w * special.erfc(np.sqrt(scale * snr)) for w, scale in terms], axis=0)


def ber_rician(
    bits_per_symbol: int, ebn0_db: np.ndarray | float, k_db: np.ndarray | float
) -> np.ndarray:
    """Bit error rate in flat Rician fading, the channel known to the receiver.

    Args:
        bits_per_symbol: m of the 2^m-QAM.
        ebn0_db: mean Eb/N0.
        k_db: LOS power over all scattered power.

    Raises:
        ValueError: unsupported ``bits_per_symbol``.
    """
    snr = _symbol_snr(bits_per_symbol, ebn0_db)
    terms = zip(*_erfc_terms(bits_per_symbol), strict=True)
    return np.sum([w * _mean_craig(scale * snr, k_db, np.pi / 2) for w, scale in terms], axis=0)


def ber_rayleigh(bits_per_symbol: int, ebn0_db: np.ndarray | float) -> np.ndarray:
    """Bit error rate in flat Rayleigh fading: E erfc(sqrt(a g)) = 1 - sqrt(a G/(1 + a G)).

    Args:
        bits_per_symbol: m of the 2^m-QAM.
        ebn0_db: mean Eb/N0.

    Raises:
        ValueError: unsupported ``bits_per_symbol``.
    """
    snr = _symbol_snr(bits_per_symbol, ebn0_db)
    total = np.zeros_like(snr)
    for weight, scale in zip(*_erfc_terms(bits_per_symbol), strict=True):
        root = np.sqrt(scale * snr / (1.0 + scale * snr))
        total = total + weight / ((1.0 + scale * snr) * (1.0 + root))  # 1 - root, no cancellation
    return total


def ser_awgn(bits_per_symbol: int, ebn0_db: np.ndarray | float) -> np.ndarray:
    """Symbol error rate of square QAM in white noise, 4 p Q - 4 p^2 Q^2.

    Here p = 1 - 1/sqrt(M) and Q is the Gaussian tail at sqrt(3 g/(M - 1)) (Proakis).

    Args:
        bits_per_symbol: m of the 2^m-QAM.
        ebn0_db: Eb/N0.

    Raises:
        ValueError: unsupported ``bits_per_symbol``.
    """
    snr = _symbol_snr(bits_per_symbol, ebn0_db)
    p, scale = 1.0 - 2.0 ** (-bits_per_symbol / 2), 1.5 / (2.0**bits_per_symbol - 1.0)
    erfc = special.erfc(np.sqrt(scale * snr))
    return 2.0 * p * erfc - (p * erfc) ** 2


def ser_rician(
    bits_per_symbol: int, ebn0_db: np.ndarray | float, k_db: np.ndarray | float
) -> np.ndarray:
    """Symbol error rate in flat Rician fading, the channel known to the receiver.

    Q^2 has Craig's form over a quarter circle (Simon and Divsalar, 1998).

    Args:
        bits_per_symbol: m of the 2^m-QAM.
        ebn0_db: mean Eb/N0.
        k_db: LOS power over all scattered power.

    Raises:
        ValueError: unsupported ``bits_per_symbol``.
    """
    snr = _symbol_snr(bits_per_symbol, ebn0_db)
    p, scale = 1.0 - 2.0 ** (-bits_per_symbol / 2), 1.5 / (2.0**bits_per_symbol - 1.0)
    half, quarter = (_mean_craig(scale * snr, k_db, angle) for angle in (np.pi / 2, np.pi / 4))
    return 2.0 * p * half - 2.0 * p**2 * quarter


def gmi_awgn(bits_per_symbol: int, esn0_db: np.ndarray | float) -> np.ndarray:
    """Generalised mutual information of exact bit metrics in white noise, bits per symbol.

    GMI = m - sum_i E log2(1 + exp((1 - 2 b_i) llr_i)), llr = ln P(1)/P(0): the rate of
    bit-interleaved coded modulation (Caire, Taricco and Biglieri 1998; Alvarado et al. 2015). The
    axes are independent, so this is twice a sum over the levels of one axis of an integral over
    its Gaussian noise, by the trapezoidal rule, which is accurate to rounding there.

    Args:
        bits_per_symbol: m of the 2^m-QAM.
        esn0_db: Es/N0.

    Raises:
        ValueError: unsupported ``bits_per_symbol``.
    """
    m = qam.check_bits_per_symbol(bits_per_symbol)
    _, labels = qam.axis_levels(m)
    levels = _axis_levels_float64(m)
    n0 = 10.0 ** (-np.asarray(esn0_db, np.float64) / 10.0)[..., None, None, None]
    noise = np.linspace(-9.0, 9.0, 901)  # in standard deviations
    density = np.exp(-(noise**2) / 2.0)
    density = density / density.sum()
    # Axes: [..., sent level, noise, candidate level]; distances relative to the sent level's.
    gap = (levels[:, None] - levels)[:, None, :]
    metric = -gap * (gap + np.sqrt(2.0 * n0) * noise[:, None]) / n0
    loss = np.zeros(n0.shape[:-3])
    for i in range(m // 2):
        one = special.logsumexp(metric[..., labels[:, i] == 1], axis=-1)
        zero = special.logsumexp(metric[..., labels[:, i] == 0], axis=-1)
        wrong = (1 - 2 * labels[:, i])[:, None] * (one - zero)
        loss = loss + np.mean(np.logaddexp(0.0, wrong) @ density, axis=-1)
    return m - 2.0 * loss / np.log(2.0)


def envelope_cdf(r: np.ndarray | float, k_db: np.ndarray | float) -> np.ndarray:
    """P(|h| <= r) of a Rician gain with E|h|^2 = 1: 1 - Q1(sqrt(2 K), r sqrt(2 (1 + K))).

    Marcum's Q1 is the tail of a noncentral chi-square of two degrees of freedom (Rice 1945).

    Args:
        r: envelope, linear.
        k_db: LOS power over all scattered power, below +inf.
    """
    k = 10.0 ** (np.asarray(k_db, np.float64) / 10.0)
    r = np.maximum(np.asarray(r, np.float64), 0.0)
    return stats.ncx2.cdf(2.0 * (1.0 + k) * r**2, df=2, nc=2.0 * k)


def _symbol_snr(bits_per_symbol: int, ebn0_db: np.ndarray | float) -> np.ndarray:
    m = qam.check_bits_per_symbol(bits_per_symbol)
    return m * 10.0 ** (np.asarray(ebn0_db, np.float64) / 10.0)


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


def _axis_levels_float64(bits_per_symbol: int) -> np.ndarray:
    """Levels of ``qam.axis_levels`` without their rounding to float32."""
    norm = np.sqrt(2.0 * (2.0**bits_per_symbol - 1.0) / 3.0)
    return np.round(qam.axis_levels(bits_per_symbol)[0] * norm) / norm


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
    q = special.expit(-np.asarray(k_db, np.float64) * np.log(10.0) / 10.0)[..., None]
    s = np.asarray(mean_snr)[..., None] / np.sin(angle * nodes) ** 2
    fading = np.exp(-(1.0 - q) * s / (1.0 + q * s)) / (1.0 + q * s)
    return (2.0 * angle / np.pi) * (fading @ weights)
