"""Scores at equal bytes: curves over file size, read at common sizes.

A pipeline's scores at its operating points are a curve over log bytes, straight between them. Two
curves are compared where both have points to either side; nothing is extrapolated.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Curve(NamedTuple):
    """A score over file size, each float64[points]; sizes rise."""

    log2_bytes: np.ndarray
    score: np.ndarray


def curve(size_bytes: ArrayLike, score: ArrayLike) -> Curve:
    """A curve through points; of points of one size the mean.

    Args:
        size_bytes: [points], positive and finite.
        score: [points], finite.
    """
    sizes, place = np.unique(np.asarray(size_bytes, np.float64), return_inverse=True)
    total = np.bincount(place, np.asarray(score, np.float64), sizes.size)
    return Curve(np.log2(sizes), total / np.bincount(place, minlength=sizes.size))


def common_sizes(curves: Sequence[Curve], n: int) -> np.ndarray:
    """Sizes that all curves reach, evenly spaced in log bytes.

    Args:
        curves: at least one, none empty.
        n: how many sizes.

    Returns:
        float64[n] of log2 bytes; empty where they have no range in common.
    """
    low = max((own.log2_bytes[0] for own in curves), default=math.inf)
    high = min((own.log2_bytes[-1] for own in curves), default=-math.inf)
    return np.linspace(low, high, n) if low < high else np.empty(0)


def at_sizes(own: Curve, log2_bytes: ArrayLike) -> np.ndarray:
    """The curve's score at sizes, NaN beyond its ends."""
    return np.interp(np.asarray(log2_bytes, np.float64), *own, left=math.nan, right=math.nan)
