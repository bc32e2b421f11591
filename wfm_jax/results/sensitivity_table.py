"""Which tensor suffers from what, and mixed precision beside uniform bits: 100 columns of text."""

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from wfm_jax.results.naming import DASH, Row, number
from wfm_jax.results.sensitivity_rows import SCORES, distinct, short_name

WIDTH = 100
_CONFIGURATIONS = {
    "baseline": "baseline",
    "measured": "measured",
    "expected": "Fisher",
    "larger": "larger",
}
_CELLS_NOTE = """\
Rise of the task loss when this tensor alone is compressed; nothing is retrained. * its paired 95 %
interval excludes zero. est.: the Fisher estimate at the level of the first column."""
_NOTE = """\
Task loss and AMC: means of 10, 15 and 20 dB, all else at 20 dB, on other frames than bits were
allocated on. Below each: less the baseline, with the half-width of the paired 95 % interval;
+ better, - worse, beyond it. Allocated by the measured damage, by the Fisher estimate, or by the
larger of the two."""


def print_cells(rows: Sequence[Row], console: Any) -> None:
    """Prints the grid, the most sensitive tensor first.

    Args:
        rows: columns of ``sensitivity_rows.COLUMNS``.
        console: a ``rich.console.Console``.
    """
    table = _table("Which tensor suffers from what")
    table.add_column("tensor", no_wrap=True)
    cells = {(r["method"], r["tensor"], r["level"]): r for r in rows}
    columns = list(dict.fromkeys((r["method"], r["level"]) for r in rows))
    first = columns[0] if columns else None
    for method, level in columns:
        table.add_column(f"{level:g}b" if method == "bits" else f"{level:.0%}", justify="right",
                         no_wrap=True)  # fmt: skip
    table.add_column("est.", justify="right", no_wrap=True)

    def worst(tensor: str) -> float:
        return -max(number(cells[method, tensor, at], "task_loss_change") for method, at in columns)

    for tensor in sorted(distinct(rows, "tensor"), key=worst):
        texts = [_rise(cells[method, tensor, level]) for method, level in columns]
        expected = number(cells[first[0], tensor, first[1]], "expected_rise") if first else math.nan
        table.add_row(short_name(tensor), *texts, _number(expected))
    console.print(table)
    console.print(_CELLS_NOTE, style="dim", markup=False, highlight=False, soft_wrap=True)


def print_allocations(rows: Sequence[Row], console: Any) -> None:
    """Prints a block a budget: the baseline and what was allocated, at no more bytes.

    Args:
        rows: columns of ``sensitivity_rows.ALLOCATION_COLUMNS``.
        console: a ``rich.console.Console``.
    """
    for budget in distinct(rows, "budget"):
        own = [row for row in rows if row["budget"] == budget]
        table = _table(f"At the bytes of {budget}")
        table.add_column("bits", no_wrap=True)
        for heading in ("file kB", *(score.words for score in SCORES.values())):
            table.add_column(heading.replace(" ", "\n", 1), justify="right", no_wrap=True)
        for row in own:
            kilobytes = f"{number(row, 'size_bytes') / 1000:.1f}"
            table.add_row(_CONFIGURATIONS[row["configuration"]], kilobytes,
                          *(_value(row, name) for name in SCORES))  # fmt: skip
            if row["configuration"] != "baseline":
                table.add_row("", "", *(_change(row, name) for name in SCORES))
        console.print(table)
        console.print()
    console.print(_NOTE, style="dim", markup=False, highlight=False, soft_wrap=True)


def print_bits(rows: Sequence[Row], console: Any) -> None:
    """Prints the bits of every tensor: a line a tensor, a column an allocation."""
    budgets = distinct(rows, "budget")
    words = ", ".join(f"{i}: at the bytes of {name}" for i, name in enumerate(budgets, start=1))
    table = _table("Bits")
    table.add_column("\ntensor", no_wrap=True)
    for row in rows:
        heading = f"{1 + budgets.index(row['budget'])}\n{_CONFIGURATIONS[row['configuration']]}"
        table.add_column(heading, justify="right", no_wrap=True)
    given = [json.loads(row["bits"]) for row in rows]
    for tensor in given[0] if given else ():
        table.add_row(short_name(tensor), *(f"{bits[tensor]:g}" for bits in given))
    table.add_row("mean", *(f"{number(row, 'mean_bits'):.2f}" for row in rows))
    console.print(table)
    console.print(words, style="dim", markup=False, highlight=False, soft_wrap=True)


def _table(title: str) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False,
                 title=title, title_justify="left", title_style="bold")  # fmt: skip


def _rise(row: Row) -> str:
    low, high = (number(row, f"task_loss_change_{end}") for end in ("low", "high"))
    mark = "*" if low > 0.0 or high < 0.0 else " "
    return _number(number(row, "task_loss_change")) + mark


def _number(value: float) -> str:
    """Three digits: ``.266``, ``8.26``."""
    if not math.isfinite(value):
        return DASH
    if abs(value) < 5e-4:
        return "0"
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 0.9995 else f"{value:.3g}"


def _value(row: Row, name: str) -> str:
    value = SCORES[name].factor * number(row, name)
    return format(value, f"z{SCORES[name].spec}") + " " if math.isfinite(value) else DASH


def _change(row: Row, name: str) -> str:
    """``-.476±.038+``: the mark says whether that is better or worse."""
    score, column = SCORES[name], f"{name}_change"
    value, low, high = (score.factor * number(row, column + end) for end in ("", "_low", "_high"))
    if not math.isfinite(value):
        return DASH
    certain = low > 0.0 or high < 0.0
    mark = " " if not certain else "+" if (value > 0.0) == score.larger_is_better else "-"
    width = format(0.5 * (high - low), score.spec)
    return re.sub(r"(?<!\d)0\.", ".", f"{format(value, '+z' + score.spec)}±{width}") + mark
