"""The picture of what a model keeps without some of its views."""

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from wfm_jax.results import atomic
from wfm_jax.results.naming import DASH, Row, number
from wfm_jax.results.receiver_looks import new_figure
from wfm_jax.results.view_rows import TASKS, subset_words, subsets
from wfm_jax.results.view_table import MARKS

_NOTE = (
    "retention: (score - prior) / (score with all views - prior); prior: who never saw the frame\n"
    "hatched: the views say nothing of the task; dotted: they say part of it; "
    "! below .9 though the views tell it, ? undecided, – nothing to retain"  # noqa: RUF001
)
_DARK = 0.45


def view_picture(rows: Sequence[Row], path: str | os.PathLike) -> None:
    """Draws retention as a PNG, in one step: a line a subset of views, a column a task.

    Args:
        rows: columns of ``view_rows.COLUMNS``.
        path: of the PNG.
    """
    cells = {(row["views"], row["task"]): row for row in rows}
    lines = subsets(rows)
    value = np.array([[number(cells[v, task], "retention") for task in TASKS] for v in lines])
    told = np.array([[cells[v, task]["information"] for task in TASKS] for v in lines])
    height = 0.42 * len(lines) + 1.5
    figure = new_figure(9.2, height)
    axes = figure.subplots()
    shown = np.where(told == "no", np.nan, np.clip(value, 0.0, 1.0))
    image = axes.imshow(
        np.ma.masked_invalid(shown), cmap="viridis", vmin=0.0, vmax=1.0, aspect="auto"
    )
    for (i, j), level in np.ndenumerate(told):
        if level != "yes":
            axes.add_patch(_hatch(i, j, level))
        text, dark = _cell(cells[lines[i], list(TASKS)[j]]), value[i, j] < _DARK
        color = "0.35" if level == "no" else "white" if dark else "black"
        axes.text(j, i, text, ha="center", va="center", fontsize=9, color=color,
                  bbox=_plate(level, float(shown[i, j])))  # fmt: skip
    axes.set_yticks(range(len(lines)), [subset_words(rows, views) for views in lines])
    axes.set_xticks(range(len(TASKS)), list(TASKS.values()))
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for edge in np.arange(len(lines) - 1) + 0.5:
        axes.axhline(edge, color="white", lw=1.5)
    for edge in np.arange(len(TASKS) - 1) + 0.5:
        axes.axvline(edge, color="white", lw=1.5)
    figure.colorbar(image, ax=axes, fraction=0.03, pad=0.02, label="retention")
    figure.text(0.5, 0.1 / height, _NOTE, ha="center", fontsize=8, color="0.4")
    figure.tight_layout(rect=(0, 0.5 / height, 1, 1))
    with atomic.replacing(path) as beside:
        figure.savefig(beside, format="png")


def _cell(row: Row) -> str:
    if row["information"] == "no":
        return "no"
    value = number(row, "retention")
    mark = MARKS.get(row["verdict"] or "", "")
    return f"{value:z.2f}{mark}" if math.isfinite(value) else DASH


def _hatch(i: int, j: int, level: str) -> Any:
    from matplotlib.patches import Rectangle

    style = {"no": ("////", "0.55"), "part": ("..", "0.75")}[level]
    return Rectangle((j - 0.5, i - 0.5), 1.0, 1.0, fill=False, hatch=style[0],
                     edgecolor=style[1], lw=0.0)  # fmt: skip


def _plate(level: str, value: float) -> dict | None:
    """Ground behind a number, so that hatching does not cross it."""
    from matplotlib import colormaps

    if level == "yes":
        return None
    ground = colormaps["viridis"](value) if math.isfinite(value) else "white"
    return {"boxstyle": "square,pad=0.15", "facecolor": ground, "edgecolor": "none"}
