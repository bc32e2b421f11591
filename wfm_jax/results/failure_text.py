"""What the tables of the failure modes share: 100 columns, and how a change is told."""

import math
import re
from typing import Any

from wfm_jax.results.naming import DASH, Row, number
from wfm_jax.results.sensitivity_rows import Score

WIDTH = 100
MARKS = "± half the paired 95 % interval over test frames; + better, - worse beyond it."


def change_text(row: Row, name: str, score: Score) -> str:
    """``-.476±.038+``: a change, half its interval, and whether it is certain and good or bad."""
    value, low, high = (
        score.factor * number(row, f"{name}_change{end}") for end in ("", "_low", "_high")
    )
    if not all(map(math.isfinite, (value, low, high))):
        return DASH
    certain = low > 0.0 or high < 0.0
    mark = " " if not certain else "+" if (value > 0.0) == score.larger_is_better else "-"
    width = format(0.5 * (high - low), score.spec)
    text = f"{format(value, '+z' + score.spec)}±{width}"
    return re.sub(r"(?<!\d)0\.", ".", text) + mark


def value_text(row: Row, name: str, score: Score) -> str:
    """``0.876``, in the score's own unit."""
    value = score.factor * number(row, name)
    return format(value, f"z{score.spec}") if math.isfinite(value) else DASH


def table(title: str) -> Any:
    """An empty ``rich.table.Table``."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False,
                 title=title, title_justify="left", title_style="bold")  # fmt: skip


def print_note(text: str, console: Any) -> None:
    """Prints what stands below a table."""
    console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)
