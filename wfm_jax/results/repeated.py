"""Rows of a sweep beside the same configurations run once more: what differs, and by how much.

A score is *within* where it differs by no more than the stored half-width of its 95 % interval. A
row that was made again draws the same frames from the same seed, so that on the same kind of device
the difference is rounding, far inside; on another kind, or in another version, it may be more.
"""

import math
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from wfm_jax.results.naming import Row, configurations, dropped, number, point_name

INTERVAL = "_ci95"
SIZE, SIZE_SHARE = "size_bytes", 0.01
"""The file's size has no interval; a percent is what other last digits of weights may change."""


class Repeated(NamedTuple):
    """One score of one row.

    Attributes:
        config_id: of the row.
        column: the score.
        stored, again: its values; NaN where there is none.
        half_width: of the stored one's 95 % interval.
    """

    config_id: str
    column: str
    stored: float
    again: float
    half_width: float

    @property
    def within(self) -> bool:
        """Whether both are the same within the interval, or both are missing."""
        if math.isnan(self.stored) or math.isnan(self.again):
            return math.isnan(self.stored) and math.isnan(self.again)
        return abs(self.again - self.stored) <= self.half_width


def choose(rows: Sequence[Row], n: int, seed: int) -> list[Row]:
    """``n`` finished configurations at random, without replacement; all where there are fewer.

    Args:
        rows: of ``results.jsonl``.
        n: how many.
        seed: of the choice.
    """
    whole = [r for r in configurations(rows) if r.get("status") == "ok" and not dropped(r)]
    return random.Random(seed).sample(whole, min(n, len(whole)))


def compare(stored: Row, again: Row) -> list[Repeated]:
    """Every score that has an interval, and the file's size.

    Args:
        stored: a row.
        again: the row of the same configuration, run again.
    """
    found = [
        Repeated(
            stored["config_id"], name, number(stored, name), number(again, name),
            number(stored, name + INTERVAL),
        )
        for name in (key.removesuffix(INTERVAL) for key in stored if key.endswith(INTERVAL))
        if not math.isnan(number(stored, name))
    ]  # fmt: skip
    size = number(stored, SIZE)
    of_size = Repeated(stored["config_id"], SIZE, size, number(again, SIZE), SIZE_SHARE * size)
    return [*found, of_size]


def worst(scores: Sequence[Repeated]) -> Repeated:
    """The score that moved most, in half-widths of its interval."""

    def moved(score: Repeated) -> float:
        difference = abs(score.again - score.stored)
        if not difference > 0.0:
            return 0.0 if score.within else math.inf
        return difference / score.half_width if score.half_width > 0.0 else math.inf

    return max(scores, key=moved)


def print_repeated(rows: Sequence[Row], scores: Sequence[Sequence[Repeated]], console: Any) -> None:
    """Prints a line for each row, with the score that moved most.

    Args:
        rows: that were run again.
        scores: of each, by :func:`compare`.
        console: a ``rich.console.Console``.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("configuration", overflow="fold", max_width=36)
    for heading in ("scores", "within", "moved most", "stored", "again", "±"):
        right = heading not in ("moved most",)
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for row, of in zip(rows, scores, strict=True):
        most, n_within = worst(of), sum(score.within for score in of)
        numbers = (f"{value:.5g}" for value in (most.stored, most.again, most.half_width))
        name = f"{point_name(row)} s{row.get('seed')}"
        table.add_row(name, str(len(of)), str(n_within), most.column, *numbers)
    console.print(table)
