"""How a sweep stands by the rows it has so far: the best one, and who came to grief.

Row by row, so that a running sweep need not read its file again.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from wfm_jax.results.naming import Row, diverged, dropped, is_reference, number, point_name
from wfm_jax.results.verdict import GOAL


class Best(NamedTuple):
    """The configuration that one would take now.

    Attributes:
        label: pipeline and operating point.
        config_id: of its row.
        size_bytes: of its packed file.
        ratio: the teacher's float32 file over this file; NaN where it is not known.
        score: retention, 0 to 1; where rows have none, the GMI fraction.
        half_width: of the score's 95 % interval; NaN where it is not known.
        is_retention: which of the two the score is.
    """

    label: str
    config_id: str
    size_bytes: float
    ratio: float
    score: float
    half_width: float
    is_retention: bool

    @property
    def keeps_the_goal(self) -> bool:
        """Whether it keeps 95 % of the teacher on every task, its interval included."""
        return self.is_retention and self.score - self.half_width >= GOAL

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """The larger, the better: the smallest file that keeps the goal, else the best score."""
        keeps = self.keeps_the_goal
        return keeps, self.is_retention, -self.size_bytes if keeps else self.score


class Diverged(NamedTuple):
    """A configuration that was given up, and the optimizer step at which it diverged."""

    label: str
    config_id: str
    step: int


class Standing(NamedTuple):
    """What the rows of configurations say so far.

    Attributes:
        rows: of configurations, of whatever status.
        dropped: of these, how many successive halving dropped.
        best: None while no row has a score.
        diverged: in the order in which it was known; also those that have no row yet.
    """

    rows: int = 0
    dropped: int = 0
    best: Best | None = None
    diverged: tuple[Diverged, ...] = ()

    def with_rows(self, rows: Iterable[Row]) -> "Standing":
        """With more rows; references count for nothing."""
        standing = self
        for row in rows:
            if not is_reference(row):
                standing = standing._with(row)
        return standing

    def with_diverged(self, found: Iterable[Diverged]) -> "Standing":
        """With more that diverged; those that are known stay as they are."""
        known = {one.config_id for one in self.diverged}
        new = tuple(one for one in found if one.config_id not in known)
        return self._replace(diverged=self.diverged + new) if new else self

    def _with(self, row: Row) -> "Standing":
        counted = self._replace(rows=self.rows + 1, dropped=self.dropped + dropped(row))
        if diverged(row):
            at = number(row, "stopped_at")
            step = int(at) if math.isfinite(at) else -1
            return counted.with_diverged([Diverged(label(row), str(row["config_id"]), step)])
        found = None if dropped(row) else _candidate(row)
        if found and (self.best is None or found.rank > self.best.rank):
            return counted._replace(best=found)
        return counted


def label(row: Row) -> str:
    """What a configuration is called on a screen, without characters that steer one."""
    return "".join(c if c.isprintable() else "?" for c in point_name(row))


def _candidate(row: Row) -> Best | None:
    """The row as the best so far; None where it has no score or no size."""
    column = "retention" if math.isfinite(number(row, "retention")) else "gmi_fraction"
    score, size = number(row, column), number(row, "size_bytes")
    if not (math.isfinite(score) and math.isfinite(size)):
        return None
    return Best(
        label(row),
        str(row["config_id"]),
        size,
        number(row, "compression_ratio"),
        score,
        number(row, f"{column}_ci95"),
        column == "retention",
    )
