"""Samples of one rate as samples of another, for recordings; runs on the host, in float64.

A polyphase filter up by one whole number and down by another: a Kaiser window's low-pass (Kaiser,
"Nonrecursive digital filter design using the I0-sinh window function", 1974) with its half-gain
point at half of the lower rate, so that what fills the whole band, as the default link does, keeps
its outermost subcarriers. Up to 1 - :data:`TRANSITION` of half the lower rate all passes with a
ripple of about 10^(-STOP_DB / 20), which is 1e-4; from 1 + :data:`TRANSITION` on, images and
aliases are :data:`STOP_DB` down.
"""

import math
from fractions import Fraction

import numpy as np

STOP_DB = 80.0
TRANSITION = 0.05
LARGEST_TERM = 50_000
"""Of the ratio: the nearest such fraction is within 1e-5 of any ratio, which is less than crystals
differ by."""


def rate_ratio(from_hz: float, to_hz: float) -> Fraction:
    """New rate over old: the nearest fraction whose terms are at most :data:`LARGEST_TERM`.

    Args:
        from_hz: the rate there is.
        to_hz: the rate that is wanted.

    Raises:
        ValueError: a rate that is not positive and finite, or rates more than a factor of
            :data:`LARGEST_TERM` apart.

    >>> rate_ratio(25e6, 20e6)
    Fraction(4, 5)
    """
    for name, rate in (("from_hz", from_hz), ("to_hz", to_hz)):
        if not (math.isfinite(rate) and rate > 0.0):
            raise ValueError(f"{name} must be positive and finite, got {rate}")
    exact = Fraction(to_hz) / Fraction(from_hz)
    if not 1 / LARGEST_TERM <= exact <= LARGEST_TERM:
        raise ValueError(f"{from_hz:g} Hz and {to_hz:g} Hz are too far apart to resample")
    if exact > 1:
        return 1 / (1 / exact).limit_denominator(LARGEST_TERM)
    return exact.limit_denominator(LARGEST_TERM)


def resample(samples: np.ndarray, ratio: Fraction) -> np.ndarray:
    """Samples at ``ratio`` times their rate; sample i of the old is at ``i * ratio`` of the new.

    Beyond both ends the signal counts as zero. A ratio of one gives the samples as they are.

    Args:
        samples: complex64[n].
        ratio: of :func:`rate_ratio`.

    Returns:
        complex64[ceil(n * ratio)].

    Raises:
        ValueError: samples that are not one complex axis, or none.
    """
    from scipy import signal

    samples = np.asarray(samples)
    if samples.ndim != 1 or not np.iscomplexobj(samples) or not samples.size:
        raise ValueError(f"samples must be complex [n], got {samples.dtype}{list(samples.shape)}")
    if ratio == 1:
        return samples
    up, down = ratio.numerator, ratio.denominator
    found = signal.resample_poly(samples, up, down, window=low_pass(max(up, down)))
    return np.asarray(found, np.complex64)


def low_pass(factor: int) -> np.ndarray:
    """The filter at ``factor``, at least 2, times the lower rate: float64[n], symmetric, gain 1.

    Its length follows from attenuation and width of transition by Kaiser's formula: it spans some
    hundred samples of the lower rate.

    >>> low_pass(2).size, low_pass(10).size
    (203, 1005)
    """
    from scipy import signal

    n_taps, beta = signal.kaiserord(STOP_DB, 2.0 * TRANSITION / factor)
    half = int(n_taps) // 2
    taps = np.sinc(np.arange(-half, half + 1) / factor) * np.kaiser(2 * half + 1, beta)
    return taps / np.sum(taps)
