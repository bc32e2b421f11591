"""Intervals from resampled frames, and paired differences.

Bits within a frame fade together: a binomial interval over bits covers the truth 26 % of the time
where 95 % is asked. So frames are resampled, within their strata, whose sizes are fixed by design:
n - 1 of a stratum's n frames with replacement, each then counting n / (n - 1) times (Rao and Wu,
"Resampling inference with complex survey data", 1988). Resampling n of n, the plain bootstrap,
understates the variance by (n - 1) / n: 6 % of the interval in strata of eight frames.

An interval here says how a score would move with other test frames, not with another seed of
training.
"""

import numpy as np

from wfm_jax.evaluate.metrics import Metric
from wfm_jax.evaluate.scores import Scored


def resample_weights(strata: np.ndarray, n_resamples: int = 400, *, seed: int) -> np.ndarray:
    """How often each frame counts, first as drawn, then resampled within its stratum.

    Use the same weights for everything measured on the same frames: differences are then paired.

    Args:
        strata: int[n_frames].
        n_resamples: bootstrap resamples.
        seed: of the resampling.

    Returns:
        float64[1 + n_resamples, n_frames]; row 0 is all ones, the point estimate.
    """
    rng = np.random.default_rng(seed)
    weights = np.ones((1 + n_resamples, strata.size))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        drawn, share = max(members.size - 1, 1), np.full(members.size, 1.0 / members.size)
        counts = rng.multinomial(drawn, share, size=n_resamples)
        weights[1:, members] = counts * (members.size / drawn)
    return weights


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of a metric's values over :func:`resample_weights`."""
    if not np.all(np.isfinite(values)):
        return float("nan"), float("nan")
    low, high = np.quantile(values[1:], [0.5 - level / 2.0, 0.5 + level / 2.0])
    return float(low), float(high)


def half_width(values: np.ndarray, level: float = 0.95) -> float:
    """Half the width of :func:`interval`."""
    low, high = interval(values, level)
    return 0.5 * (high - low)


def paired_difference(
    metric: Metric, a: Scored, b: Scored, weights: np.ndarray
) -> tuple[float, float, float]:
    """``metric`` of ``a`` minus that of ``b``, with the 95 % interval of the difference.

    Both must be scored on the same frames: what moves both alike cancels. ``weights`` are those of
    :func:`resample_weights`.

    Returns:
        difference, low, high.
    """
    difference = metric(a, weights) - metric(b, weights)
    return float(difference[0]), *interval(difference)


def independent_difference(
    a: tuple[float, float, float], b: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Difference of two estimates of independent frames, with the interval of the difference.

    By the ends of both intervals (Zou and Donner, "Construction of confidence limits about effect
    measures", 2008): nothing needs to be resampled, and skew intervals stay skew. Of estimates that
    go up and down together the interval is too wide, not too narrow.

    Args:
        a, b: estimate, low, high.

    Returns:
        ``a - b``, low, high.
    """
    (x, x_low, x_high), (y, y_low, y_high) = a, b
    low = x - y - np.hypot(x - x_low, y_high - y)
    high = x - y + np.hypot(x_high - x, y - y_low)
    return x - y, float(low), float(high)
