"""Laws of a Rician gain h with E|h|^2 = 1, and the mean of anything over its power.

h is a LOS ray of power 1 - q and a circular Gaussian of power q = 1/(1 + K) (Rice, Bell System
Technical Journal 1945). In units of the standard deviation of one component, sqrt(q/2), the
envelope x and the ray nu = sqrt(2 K) have the density

    p(x) = x exp(-(x - nu)^2 / 2) i0e(x nu),    i0e(z) = exp(-z) I0(z),

which neither overflows nor underflows where there is probability, at any K.
"""

import functools

import numpy as np
from scipy import special, stats

from wfm_jax.signal.theory import decibels

_NORMAL_K = 1e9
_HIGHEST_K = 1e12  # stands for +inf in averages: they differ by less than 1e-11
_REACH = 9.0  # standard deviations that an average spans: 3e-18 of the probability is beyond
_N_NODES = 256


def envelope_cdf(r: np.ndarray | float, k_db: np.ndarray | float) -> np.ndarray:
    """P(|h| <= r): 1 - Q1(sqrt(2 K), r sqrt(2 (1 + K))).

    Marcum's Q1 is the tail of a noncentral chi-square of two degrees of freedom. Above 90 dB, where
    SciPy's loses its way, a normal distribution stands in, within 1e-10; a step at +inf.

    Args:
        r: envelope, linear.
        k_db: LOS power over all scattered power.

    Returns:
        float64 of the shape that the arguments broadcast to.

    Raises:
        ValueError: an argument is NaN.
    """
    k = decibels.power_ratio("k_db", k_db)
    r = np.maximum(decibels.finite_or_infinite("r", r), 0.0)
    weak, ray = np.minimum(k, _NORMAL_K), np.sqrt(2.0 * np.maximum(k, _NORMAL_K))
    exact = stats.ncx2.cdf(2.0 * (1.0 + weak) * r**2, df=2, nc=2.0 * weak)
    normal = special.ndtr((r - 1.0) * (ray + 1.0 / ray) + 0.5 / ray)  # the mean of x is nu + 1/2nu
    no_fading = (r >= 1.0).astype(np.float64)
    return np.where(np.isposinf(k_db), no_fading, np.where(k > _NORMAL_K, normal, exact))


def rician_power_variance(k_db: np.ndarray | float) -> np.ndarray:
    """Var |h|^2 = (1 + 2 K)/(1 + K)^2.

    Args:
        k_db: LOS power over all scattered power.

    Returns:
        float64 of the shape of ``k_db``.

    Raises:
        ValueError: ``k_db`` is NaN.
    """
    q = decibels.scattered_share(k_db)
    return q * (2.0 - q)


def tap_autocorrelation(
    delay_s: np.ndarray | float,
    doppler_hz: np.ndarray | float,
    k_db: np.ndarray | float,
    arrival_rad: np.ndarray | float,
) -> np.ndarray:
    """E conj(h(t)) h(t + delay) = [K exp(j 2 pi f_D delay cos theta) + J0(2 pi f_D delay)]/(K + 1).

    Clarke's scattering (Bell System Technical Journal 1968) with a LOS ray of known direction.
    Arguments broadcast; the result is complex128.

    Args:
        delay_s: lag in time.
        doppler_hz: largest Doppler shift f_D, speed over wavelength.
        k_db: LOS power over the scattered power of this tap.
        arrival_rad: theta, angle between the ray and the direction of travel.

    Raises:
        ValueError: an argument is NaN.
    """
    q = decibels.scattered_share(k_db)
    lag, doppler, arrival = (
        decibels.finite_or_infinite(name, value)
        for name, value in (
            ("delay_s", delay_s),
            ("doppler_hz", doppler_hz),
            ("arrival_rad", arrival_rad),
        )
    )
    phase = 2.0 * np.pi * doppler * lag
    return (1.0 - q) * np.exp(1j * phase * np.cos(arrival)) + q * special.j0(phase)


def power_quadrature(k_db: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of means over |h|^2: E f(|h|^2) = sum_i weights_i f(gains_i).

    Gauss-Legendre over the envelope, within 9 standard deviations of the ray and dense at the
    lower end, where f of a high mean SNR is steep. Moments of |h|^2 come out within 1e-14.

    Args:
        k_db: [...] LOS power over all scattered power.

    Returns:
        ``gains`` and ``weights`` as float64[..., 256], gains above 0.

    Raises:
        ValueError: ``k_db`` is NaN.
    """
    k = np.minimum(decibels.power_ratio("k_db", k_db), _HIGHEST_K)[..., None]
    ray = np.sqrt(2.0 * k)
    u, weights = _legendre()
    lowest = -np.minimum(ray, _REACH)
    width = _REACH - lowest
    offset = lowest + width * u**2  # from the ray, in standard deviations
    x = ray + offset
    density = x * np.exp(-(offset**2) / 2.0) * special.i0e(x * ray)
    return x**2 / (2.0 * (1.0 + k)), density * weights * 2.0 * u * width


@functools.cache
def _legendre() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on 0...1."""
    nodes, weights = np.polynomial.legendre.leggauss(_N_NODES)
    return (nodes + 1.0) / 2.0, weights / 2.0
