"""Packed models at places that no training saw, as text of at most 100 columns: a table a place."""

import math
from collections.abc import Sequence
from typing import Any

from wfm_jax.results.generalisation_rows import (
    HOME,
    LOSSES,
    Score,
    labels,
    places,
    row_of,
)
from wfm_jax.results.naming import DASH, Row, number

LABEL_WIDTH, COLUMN_WIDTH = 22, 10
MORE_THAN_AT_HOME = "!"
_NOTE = """\
Teacher: its scores, and what the place costs it. Of each packed model: what it loses against the
teacher on the same frames, positive where it is worse, with the half-width of the 95 % interval
over frames; a point is a hundredth. All at 20 dB, modulations the mean of 10, 15 and 20 dB.
At BER: SNR that it needs more for the teacher's bit error rate, worst constellation.
! it loses more than at home, by the 95 % interval. – nothing to tell: no K, or one LOS label only.
"""  # noqa: RUF001


def print_generalisation(rows: Sequence[Row], console: Any) -> None:
    """Prints a table for each place.

    Args:
        rows: columns of ``generalisation_rows.COLUMNS``.
        console: a ``rich.console.Console``.
    """
    for place in places(rows):
        console.print(_table([row for row in rows if row["place"] == place], place))
        console.print()
    console.print(_NOTE, end="", style="dim", markup=False, highlight=False, soft_wrap=True)


def _table(rows: Sequence[Row], place: str) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    words = f"{rows[0]['words']}{' (home)' if place == HOME else ''}: {rows[0]['frames']:,} frames"
    table = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False,
                  title=words, title_justify="left", title_style="bold")  # fmt: skip
    table.add_column("\nmodel", width=LABEL_WIDTH, overflow="fold")
    for score in LOSSES.values():
        heading = f"{score.words}\n{score.unit}"
        table.add_column(heading, justify="right", no_wrap=True, min_width=COLUMN_WIDTH)
    teacher, *packed = labels(rows).items()
    scores = [_value(_row(rows, teacher[0], name), LOSSES[name]) for name in LOSSES]
    table.add_row(teacher[1], *scores)
    if place != HOME:
        table.add_row("  costs it", *_losses(rows, teacher[0], "place_loss"), end_section=True)
    for model_hash, label in packed:
        table.add_row(label, *_losses(rows, model_hash, "loss"))
    return table


def _losses(rows: Sequence[Row], model_hash: str, column: str) -> list[str]:
    return [_loss(_row(rows, model_hash, name), column, score) for name, score in LOSSES.items()]


def _row(rows: Sequence[Row], model_hash: str, metric: str) -> Row:
    return row_of(rows, place=None, model_hash=model_hash, metric=metric)


def _value(row: Row, score: Score) -> str:
    value = score.factor * number(row, "value")
    return f"{value:.{score.digits}f}" if math.isfinite(value) else DASH


def _loss(row: Row, column: str, score: Score) -> str:
    """Value and half-width, and a mark where it is more than at home."""
    value, low, high = (score.factor * number(row, f"{column}{e}") for e in ("", "_low", "_high"))
    if not math.isfinite(value):
        return DASH
    mark = MORE_THAN_AT_HOME if number(row, "excess_low") > 0.0 and column == "loss" else ""
    half = 0.5 * (high - low)
    text = f"{value:+z.{_digits(value)}f}"
    if math.isfinite(half):
        text += f"±{half:.{max(_digits(half) - (half >= 0.995), 0)}f}".replace("±0.", "±.")
    return text + mark


def _digits(value: float) -> int:
    """Behind the point, so that three are shown."""
    return sum(abs(value) < limit for limit in (9.995, 99.95))
