"""How long work of several kinds will still take, each at the pace it has shown so far."""

import contextlib
import time
from collections.abc import Callable, Iterator


class Forecast:
    """Counts units of work by kind, and the seconds they took.

    What is done between the blocks that are timed is taken to go on as it did.

    Args:
        clock: seconds; another one for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._left: dict[str, float] = {}
        self._done: dict[str, float] = {}
        self._spent_s: dict[str, float] = {}
        self._supposed_s: dict[str, float] = {}
        self._began: float | None = None

    def suppose(self, kind: str, pace_s: float) -> None:
        """Seconds that a unit should take, until one has shown it."""
        self._supposed_s[kind] = pace_s

    def expect(self, kind: str, units: float) -> None:
        """So many units more will have to be done; fewer if negative."""
        self._left[kind] = max(0.0, self._left.get(kind, 0.0) + units)

    def did(self, kind: str, units: float, seconds: float) -> None:
        """Some of them are done."""
        if self._began is None:
            self._began = self._clock() - seconds
        self._left[kind] = max(0.0, self._left.get(kind, 0.0) - units)
        self._done[kind] = self._done.get(kind, 0.0) + units
        self._spent_s[kind] = self._spent_s.get(kind, 0.0) + seconds

    @contextlib.contextmanager
    def doing(self, kind: str, units: float) -> Iterator[None]:
        """Times a block that does so many units."""
        began = self._clock()
        yield
        self.did(kind, units, self._clock() - began)

    def pace_s(self, kind: str) -> float | None:
        """Seconds of a unit; before there was one, what was supposed, if anything."""
        done = self._done.get(kind, 0.0)
        return self._spent_s[kind] / done if done else self._supposed_s.get(kind)

    @property
    def left_s(self) -> float | None:
        """Seconds that what is left will take; None while some kind has not shown its pace."""
        total = 0.0
        for kind, units in self._left.items():
            if units:
                pace = self.pace_s(kind)
                if pace is None:
                    return None
                total += units * pace
        return total * self._between

    @property
    def _between(self) -> float:
        """All seconds since the first block over those of blocks."""
        spent = sum(self._spent_s.values())
        if self._began is None or not spent:
            return 1.0
        return max(1.0, (self._clock() - self._began) / spent)

    @property
    def share(self) -> float:
        """Of the work, by the time it takes, 0 to 1; a kind without a pace counts as the mean of
        the others."""
        spent = left = 0.0
        known = unknown = 0
        for kind, units in self._left.items():
            pace = self.pace_s(kind)
            known, unknown = known + (pace is not None), unknown + (pace is None and units > 0)
            spent += self._spent_s.get(kind, 0.0)
            left += units * (pace or 0.0)
        left += unknown * (spent + left) / known if known else 0.0
        return spent / (spent + left) if spent + left else 0.0


def in_words(seconds: float | None) -> str:
    """``about 12 min left``; nothing while it is not known."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s left"
    minutes = seconds / 60
    if minutes < 90:
        return f"about {minutes:.0f} min left"
    return f"about {minutes / 60:.1f} h left"
