"""Fair timing on a shared machine: in turns, several rounds, medians, ratios round by round."""

import statistics
import time
from collections.abc import Callable, Mapping

Call = Callable[[], object]


def seconds(call: Call, shortest_s: float = 0.1) -> float:
    """Seconds per call, the mean over at least ``shortest_s``; ``call`` returns when it is done."""
    n_calls, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < shortest_s or not n_calls:
        call()
        n_calls += 1
    return elapsed / n_calls


def in_turns(
    calls: Mapping[str, Call],
    rounds: int,
    shortest_s: float = 0.1,
    after_round: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """Times every call once a round, one after the other and never two at once.

    A neighbour's load then hits all of them alike, and the ratio within a round stays fair. Each
    call runs once untimed before: compilation, allocation, first touch.

    Returns:
        For each name, ``rounds`` times in seconds.
    """
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(seconds(call, shortest_s))
        after_round()
    return times


def ratios(slow: list[float], fast: list[float]) -> dict[str, float]:
    """How many times faster, round by round: median, least and most."""
    pairs = [a / b for a, b in zip(slow, fast, strict=True)]
    return {"median": statistics.median(pairs), "least": min(pairs), "most": max(pairs)}
