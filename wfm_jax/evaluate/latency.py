"""How long a receiver takes for a batch of frames: quantiles over many calls, in turns."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

Call = Callable[[], object]


class Latency(NamedTuple):
    """Of one receiver at one batch size.

    Attributes:
        p50_ms: half of the calls took at most this long.
        p95_ms: and 19 of 20 at most this long.
        n_calls: that were timed.
    """

    p50_ms: float
    p95_ms: float
    n_calls: int


def time_in_turns(
    calls: Mapping[str, Call],
    *,
    n_calls: int = 200,
    longest_s: float = 20.0,
    warm: Callable[[], None] = lambda: None,
    after_turn: Callable[[], None] = lambda: None,
) -> dict[str, np.ndarray]:
    """Milliseconds of every call, float64[n] for each name; the n-th of all in the same turn.

    In turns, a neighbour's load hits all alike, and ratios within a turn are fair. A turn is a call
    untimed and one timed, as a receiver does nothing else: what ran before leaves other data in the
    caches, and threads that still wait for work. Each runs three times before: compilation and
    allocation.

    Args:
        calls: return when they are done.
        n_calls: of each.
        longest_s: ends earlier, but after twenty turns at least.
        warm: called once all have run before.
        after_turn: called after each turn.
    """
    for call in calls.values():
        for _ in range(3):
            call()
    warm()
    times: dict[str, list[float]] = {name: [] for name in calls}
    began = time.perf_counter()
    for turn in range(n_calls):
        if turn >= 20 and time.perf_counter() - began > longest_s:
            break
        for name, call in calls.items():
            call()
            start = time.perf_counter()
            call()
            times[name].append(1e3 * (time.perf_counter() - start))
        after_turn()
    return {name: np.asarray(of) for name, of in times.items()}


def quantiles(times_ms: np.ndarray) -> Latency:
    """The latency that calls of these times have."""
    p50, p95 = np.quantile(times_ms, [0.5, 0.95])
    return Latency(float(p50), float(p95), times_ms.size)


def times_faster(slow_ms: np.ndarray, fast_ms: np.ndarray) -> float:
    """The median over turns of how many times faster."""
    return float(np.median(slow_ms / fast_ms))
