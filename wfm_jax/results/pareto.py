"""Which configurations are worth their bytes."""

import bisect
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from wfm_jax.results.naming import (
    Row,
    configurations,
    diverged,
    dropped,
    number,
    numbers,
    quality_column,
)


def pareto_ranks(size_bytes: ArrayLike, quality: ArrayLike) -> np.ndarray:
    """Non-dominated sorting (Goldberg 1989) for small files of high quality.

    Rank 1 is the Pareto front: nothing else is as small and as good, and better in one of both.
    Rank 2 is the front without rank 1, and so on. Equal points share a rank; points with a NaN
    share the last one. In n log n steps (Zhang et al. 2015, "An efficient approach to nondominated
    sorting", on two objectives).

    Args:
      size_bytes: ``[n]``; smaller is better.
      quality: ``[n]``; larger is better.

    Returns:
      int64 ``[n]``, from 1.
    """
    size, quality = np.asarray(size_bytes, np.float64), np.asarray(quality, np.float64)
    ranks = np.zeros(size.shape, np.int64)
    known = np.flatnonzero(~np.isnan(size + quality))
    # Whoever could dominate a point comes before it. Of each front the best quality so far is
    # kept, with its sign changed: they rise from front to front, and a point belongs to the first
    # front of which nobody is as good.
    worst: list[float] = []
    before, front = None, 0
    for i in known[np.lexsort((-quality[known], size[known]))]:
        point = (float(size[i]), float(quality[i]))
        if point != before:
            front = bisect.bisect_right(worst, -point[1])
            worst[front : front + 1] = [-point[1]]
        ranks[i], before = front + 1, point
    ranks[ranks == 0] = len(worst) + 1
    return ranks


def ranked(rows: Sequence[Row]) -> list[tuple[int, Row]]:
    """The configurations that came to their end with their ranks, by rank, then by size."""
    candidates = [row for row in configurations(rows) if not dropped(row)]
    quality = numbers(candidates, quality_column(rows))
    quality[[diverged(row) for row in candidates]] = np.nan
    size = numbers(candidates, "size_bytes")
    ranks = pareto_ranks(size, quality)
    order = np.lexsort((size, ranks))
    return [(int(ranks[i]), candidates[i]) for i in order]


def front(rows: Sequence[Row], *, most: int, least: float = -np.inf) -> list[Row]:
    """The Pareto front of a sweep, the smallest file first.

    Args:
      rows: of the sweep.
      most: rows to return; of a longer front evenly spaced ones, both ends among them.
      least: quality that each has at least, in the column that the front is ranked by.

    Raises:
      ValueError: none has; says how much the best one has.
    """
    column = quality_column(rows)
    on_front = [row for rank, row in ranked(rows) if rank == 1 and not diverged(row)]
    good = [row for row in on_front if number(row, column) >= least]
    if not good:
        best = max((number(row, column) for row in on_front), default=float("nan"))
        raise ValueError(f"no configuration has a {column} of {least:g}; the best has {best:.3g}")
    at = np.unique(np.linspace(0, len(good) - 1, min(most, len(good))).round().astype(int))
    return [good[i] for i in at]
