"""What a model keeps without some of its views, as text of at most 100 columns."""

import math
from collections.abc import Sequence
from typing import Any

from wfm_jax.results.naming import DASH, Row, number
from wfm_jax.results.view_rows import TASKS, subset_words, subsets

_SPECS = {  # task: factor and format of its score, heading
    "modulation": (100.0, ".1f", "accuracy %"),
    "bits": (1.0, ".3f", "GMI"),
    "channel": (1.0, ".1f", "NMSE dB"),
    "snr": (1.0, ".2f", "error dB"),
    "k": (1.0, ".2f", "error dB"),
    "los": (100.0, ".1f", "accuracy %"),
    "delay_spread": (1.0, ".1f", "error ns"),
}
MARKS = {"lost": "!", "open": "?"}
_NOTE = """\
Modulation: mean of 10, 15 and 20 dB, as the SNR's error; all else at 20 dB. Errors are means of
absolute errors. Retention: (score - prior) / (full - prior); prior: who never saw the frame.
! the views tell the task, yet retention is below .9; ? its 95 % interval holds .9. Null: every
prunable weight zero, all views there."""


def print_views(rows: Sequence[Row], console: Any) -> None:
    """Prints which task can be done with which views, the scores, and the retention.

    Args:
        rows: columns of ``view_rows.COLUMNS``.
        console: a ``rich.console.Console``.
    """
    cells = {(row["views"], row["task"]): row for row in rows}

    def table(title: str, text: Any, headings: Sequence[str]) -> None:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        shown = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False,
                      title=title, title_justify="left", title_style="bold")  # fmt: skip
        shown.add_column("views", no_wrap=True)
        for heading in headings:
            shown.add_column(heading, justify="right", no_wrap=True)
        for views in subsets(rows):
            line = (text(cells[views, task]) for task in TASKS)
            shown.add_row(subset_words(rows, views), *line)
        if text is _score:
            for column in ("prior", "null"):
                first = subsets(rows)[0]
                line = (_score(cells[first, task], column) for task in TASKS)
                shown.add_row(f"({column})", *line)
        console.print(shown)
        console.print()

    words = list(TASKS.values())
    table("Can it be done at all?", lambda row: row["information"], words)
    table("Scores", _score, [f"{TASKS[task]}\n{_SPECS[task][2]}" for task in TASKS])
    table("Retention", _retention, words)
    table("Retention over the null model", _over_null, words)
    for line in _reasons(rows):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(_NOTE, style="dim", markup=False, highlight=False, soft_wrap=True)


def _score(row: Row, column: str = "score") -> str:
    factor, spec, _ = _SPECS[row["task"]]
    value = factor * number(row, column)
    return format(value, f"z{spec}") if math.isfinite(value) else DASH


def _retention(row: Row) -> str:
    return _kept(row, "retention", MARKS.get(row["verdict"] or "", " "))


def _over_null(row: Row) -> str:
    return _kept(row, "retention_null")


def _kept(row: Row, column: str, mark: str = "") -> str:
    value = number(row, column)
    known = row["information"] != "no" and math.isfinite(value)
    return f"{value:z.3f}{mark}" if known else DASH


def _reasons(rows: Sequence[Row]) -> list[str]:
    """Why views that are alone do not tell all of a task."""
    found: dict[tuple, list[str]] = {}
    for row in rows:
        if row["information"] != "yes" and "+" not in row["views"]:
            key = row["views"], row["information"], row["reason"]
            found.setdefault(key, []).append(TASKS[row["task"]])
    return [
        f"{views}: {', '.join(tasks)}: {level}: {reason}"
        for (views, level, reason), tasks in found.items()
    ]
