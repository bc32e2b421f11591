"""Paired differences over seeds: exact tests, intervals and bands from flipped signs.

If two names in a comparison meant nothing, each seed's difference could as well have had the other
sign. So the mean of the differences is compared with its values under all 2^n patterns of signs
(Fisher, "The Design of Experiments", 1935): exact for any distribution that is symmetric about
zero, with no variance to estimate. Patterns that differ in all signs give the same absolute mean,
so the first sign stays: 2^(n-1) patterns, all of them for n up to :data:`MOST_EXACT`, else as many
drawn at random.

Few seeds cannot be significant: the least p-value is 2^(1-n), .0625 for five.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

MOST_EXACT = 14
PATTERNS_SEED = 0
"""Of the random patterns where there are too many; the same for tests and intervals."""

_ROUNDING = 1e-12


class Interval(NamedTuple):
    """Ends of an interval; infinite where there are too few seeds for its level."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether the value is in the interval, ends included."""
        return self.low <= value <= self.high

    def within(self, margin: float) -> bool:
        """Whether everything in the interval is closer to zero than the margin."""
        return -margin < self.low and self.high < margin


@functools.lru_cache(maxsize=32)
def sign_patterns(n: int) -> np.ndarray:
    """Patterns of signs, the first all +1, the first sign of each +1.

    Args:
        n: differences, at least 1; beyond :data:`MOST_EXACT` the patterns are drawn.

    Returns:
        float64[patterns, n] of +1 and -1, read-only.
    """
    if n <= MOST_EXACT:
        codes = np.arange(2 ** (n - 1))
        flipped = (codes[:, None] >> np.arange(n)[::-1]) & 1
    else:
        rng = np.random.default_rng(PATTERNS_SEED)
        flipped = rng.integers(2, size=(2 ** (MOST_EXACT - 1), n))
        flipped[0] = flipped[:, 0] = 0
    signs = 1.0 - 2.0 * flipped
    signs.flags.writeable = False
    return signs


def p_value(differences: np.ndarray) -> float:
    """Two-sided p-value of mean zero: the share of patterns with as large an absolute mean.

    Args:
        differences: float64[n], one a seed, finite.

    Returns:
        At least 2^(1-n); 1 where there is no difference or no seed.
    """
    if not differences.size:
        return 1.0
    means = np.abs(sign_patterns(differences.size) @ differences)
    scale = np.abs(differences).sum()
    return float(np.mean(means >= means[0] - _ROUNDING * scale))


def interval(differences: np.ndarray, level: float = 0.95) -> Interval:
    """The means that :func:`p_value` does not reject at ``1 - level``.

    A pattern that flips the seeds S rejects no mean between that of S and that of the others, and
    all others but one may count as more extreme. So the ends are order statistics of the means of
    subsets (Hartigan, "Using subsample values as typical values", JASA 64, 1969); nothing is
    searched. The interval holds zero if and only if the p-value is above ``1 - level``.

    Args:
        differences: float64[n], one a seed, finite.
        level: of the interval, in (0, 1).
    """
    n = differences.size
    if not n:
        return Interval(-math.inf, math.inf)
    patterns = sign_patterns(n)
    flipped = patterns[(patterns < 0).any(axis=1)] < 0
    unflipped = len(patterns) - len(flipped)  # the first, and those drawn like it
    count = math.floor((1.0 - level) * len(patterns) + _ROUNDING) - unflipped + 1
    if count < 1 or n < 2:
        return Interval(-math.inf, math.inf)
    sums, sizes = flipped @ differences, flipped.sum(axis=1)
    means = np.stack([sums / sizes, (differences.sum() - sums) / (n - sizes)])
    low, high = np.sort(means.min(axis=0)), np.sort(means.max(axis=0))
    return Interval(float(low[count - 1]), float(high[-count]))


def band(differences: np.ndarray, level: float = 0.95) -> list[Interval]:
    """Intervals of several means that hold all at once, however they move together.

    The largest absolute t over the columns, with the signs of whole seeds flipped about the means,
    says how many standard errors are needed (the sup-t band, Montiel Olea and Plagborg-Moller,
    "Simultaneous confidence bands", J. Appl. Econometrics 34, 2019, with Rademacher weights).

    Args:
        differences: float64[n, columns], finite.
        level: of all intervals together.

    Returns:
        One interval a column.
    """
    n, columns = differences.shape
    patterns = sign_patterns(n) if n else np.empty((0, 0))
    if n < 2 or (1.0 - level) * len(patterns) < 1.0 - _ROUNDING:
        return [Interval(-math.inf, math.inf)] * columns
    mean = differences.mean(axis=0)
    rest = differences - mean
    square, error = np.mean(rest**2, axis=0), _error(rest.var(axis=0), n)
    flipped = patterns @ rest / n
    errors = _error(np.maximum(square - flipped**2, 0.0), n)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(flipped == 0.0, 0.0, np.abs(flipped) / errors)
    widest = float(np.quantile(t.max(axis=1), level, method="higher"))
    reach = np.where(error > 0.0, widest, 0.0) * error
    return [Interval(float(m - r), float(m + r)) for m, r in zip(mean, reach, strict=True)]


def least_seeds(level: float) -> int:
    """The fewest seeds whose p-value can be as small as ``1 - level``."""
    return 1 + math.ceil(-math.log2(1.0 - level) - _ROUNDING)


def _error(variance: np.ndarray, n: int) -> np.ndarray:
    """Standard error of a mean of n, from the variance about their mean."""
    return np.sqrt(variance / (n - 1))
