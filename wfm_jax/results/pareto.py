"""Which configurations are worth their bytes."""

import bisect
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from wfm_jax.results.naming import Row, configurations, diverged, dropped, numbers, quality_column


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
