"""Sums over ever more frames, as drawn and resampled: means, ratios and their intervals.

Frames come in batches and are forgotten once summed. Every frame counts as often as a Poisson
variable of mean one says, another one in each resample: the bootstrap without a fixed number of
draws, which needs no second pass (Hanley and MacGibbon 2006; Chamandy et al. 2012). All columns and
all receivers share the weights, so that differences are paired.

Bits within a frame fade together, frames do not: intervals that resample frames hold what they say,
binomial intervals over bits do not.
"""

from typing import NamedTuple

import numpy as np

from wfm_jax.evaluate import intervals
from wfm_jax.evaluate.metrics import ratio

N_RESAMPLES = 1000
_Z95 = 1.959964


class Estimate(NamedTuple):
    """A value, its 95 % interval and its standard error."""

    value: float
    low: float
    high: float
    error: float


class FrameSums(NamedTuple):
    """Sums over frames.

    Attributes:
        n_frames: frames so far.
        weights: float64[1 + n_resamples], summed weights; the first is ``n_frames``.
        sums: float64[1 + n_resamples, n_columns], weighted sums; row 0 as drawn.
        squares: float64[n_columns], sums of squares, as drawn.
    """

    n_frames: int
    weights: np.ndarray
    sums: np.ndarray
    squares: np.ndarray


def no_frames(n_columns: int, n_resamples: int = N_RESAMPLES) -> FrameSums:
    """The sums of nothing."""
    rows = 1 + n_resamples
    return FrameSums(0, np.zeros(rows), np.zeros((rows, n_columns)), np.zeros(n_columns))


def draw_weights(n_frames: int, rng: np.random.Generator, n_resamples: int = N_RESAMPLES):
    """How often each of some more frames counts, float64[1 + n_resamples, n_frames]; row 0 once."""
    counts = rng.poisson(1.0, (n_resamples, n_frames))
    return np.concatenate([np.ones((1, n_frames)), counts])


def add_frames(sums: FrameSums, values: np.ndarray, weights: np.ndarray) -> FrameSums:
    """The sums with more frames.

    Args:
        sums: so far.
        values: float[n_frames, n_columns].
        weights: of :func:`draw_weights`.
    """
    values = np.asarray(values, np.float64)
    return FrameSums(
        sums.n_frames + len(values),
        sums.weights + weights.sum(axis=1),
        sums.sums + weights @ values,
        sums.squares + np.sum(np.square(values), axis=0),
    )


def mean(sums: FrameSums, column: int, scale: float = 1.0) -> Estimate:
    """Mean of a column over frames, times ``scale``.

    Where all but a few frames are zero the interval is too short: see :func:`rate_of_errors`.
    """
    values = scale * ratio(sums.sums[:, column], sums.weights)
    n = sums.n_frames
    variance = max(sums.squares[column] / n - (sums.sums[0, column] / n) ** 2, 0.0)
    error = scale * float(np.sqrt(variance / max(n - 1, 1)))
    return Estimate(float(values[0]), *intervals.interval(values), error)


def ratio_db(sums: FrameSums, above: int, below: int) -> Estimate:
    """Ratio of the means of two columns in dB; -inf where the first is nothing but zeros."""
    with np.errstate(divide="ignore"):
        values = 10.0 * np.log10(ratio(sums.sums[:, above], sums.sums[:, below]))
    error = float(np.std(values[1:])) if np.isfinite(values).all() else float("nan")
    return Estimate(float(values[0]), *intervals.interval(values), error)


def share(count: float, n: int) -> Estimate:
    """Share of independent trials with Wilson's interval (1927), which holds at 0 and n too."""
    p, z = count / n, _Z95
    middle = (count + z**2 / 2.0) / (n + z**2)
    half = z / (n + z**2) * np.sqrt(n * p * (1.0 - p) + z**2 / 4.0)
    low = 0.0 if count == 0 else middle - half
    high = 1.0 if count == n else middle + half
    return Estimate(p, float(low), float(high), float(np.sqrt(p * (1.0 - p) / n)))


def rate_of_errors(sums: FrameSums, column: int, n_wrong: float, scale: float) -> Estimate:
    """Mean of a column of errors, of which only wrong frames have any.

    A handful of wrong frames is too little to resample. So the interval is no narrower than that of
    the share of wrong frames, times the errors of a wrong frame; without one, no more than all of a
    wrong frame can be wrong.

    Args:
        sums: over frames.
        column: of the errors.
        n_wrong: frames with errors.
        scale: one over the errors that a frame can have.
    """
    rate, wrong = mean(sums, column, scale), share(n_wrong, sums.n_frames)
    each = rate.value / wrong.value if n_wrong else 1.0
    return rate._replace(
        low=min(rate.low, each * wrong.low), high=max(rate.high, each * wrong.high)
    )
