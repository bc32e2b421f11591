"""Which configurations are worth their bytes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from wfm_jax.results.naming import Row, configurations, diverged, dropped, numbers, quality_column


def pareto_ranks(size_bytes: ArrayLike, quality: ArrayLike) -> np.ndarray:
    """Non-dominated sorting (Goldberg 1989) for small files of high quality.

    Rank 1 is the Pareto front: nothing else is as small and as good, and better in one of both.
    Rank 2 is the front without rank 1, and so on. Equal points share a rank; points with a NaN
    share the last one.

    Args:
      size_bytes: ``[n]``; smaller is better.
      quality: ``[n]``; larger is better.

    Returns:
      int64 ``[n]``, from 1.
    """
    size, quality = np.asarray(size_bytes, np.float64), np.asarray(quality, np.float64)
    ranks = np.zeros(size.shape, np.int64)
    left, rank = np.flatnonzero(~np.isnan(size + quality)), 0
    while left.size:
        rank += 1
        s, q = size[left], quality[left]
        as_good = (s[:, None] <= s) & (q[:, None] >= q)
        better = (s[:, None] < s) | (q[:, None] > q)
        front = ~(as_good & better).any(0)
        ranks[left[front]] = rank
        left = left[~front]
    ranks[ranks == 0] = rank + 1
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
