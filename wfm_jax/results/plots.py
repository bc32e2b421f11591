"""The picture of a run: what each configuration weighs and what it keeps."""

import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from wfm_jax.results import atomic, naming
from wfm_jax.results.labels import place_labels
from wfm_jax.results.naming import Row, number, numbers
from wfm_jax.results.pareto import pareto_ranks

LAST_STAGE = {
    "KD": ("#0072B2", "o", "ends in KD"),
    "FT": ("#E69F00", "s", "ends in fine-tuning"),
    "P": ("#009E73", "^", "ends in P"),
    "Q": ("#D55E00", "v", "ends in Q"),
    "": ("#7F7F7F", "D", "other"),
}
"""Colour, marker and words of a pipeline by its last stage. The colours are those of Okabe and Ito,
told apart by the colour-blind; shapes say it again."""


class Panel(NamedTuple):
    """One score over size.

    Attributes:
      column, label: of the score.
      ideal: the value of a perfect file; the axis is linear within ``unit`` of it, and beyond it
        logarithmic in the distance, because the files worth having crowd there.
      worst: the last value shown.
      reach: a value the axis reaches down to at least.
      ticks: values to mark.
    """

    column: str
    label: str
    ideal: float
    unit: float
    worst: float
    reach: float
    ticks: tuple[float, ...]

    @property
    def larger_is_better(self) -> bool:
        """Whether scores rise towards the ideal."""
        return self.worst < self.ideal

    def stretch(self, score: np.ndarray) -> np.ndarray:
        """Score to height on the axis, in units."""
        return np.arcsinh((score - self.ideal) / self.unit)

    def unstretch(self, height: np.ndarray) -> np.ndarray:
        """The inverse of ``stretch``."""
        return self.ideal + self.unit * np.sinh(height)


CROWD = 200  # configurations, more of which hide one another
_SHARES = (0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 1)
RETENTION = Panel("retention", "retention (1 = teacher, 0 = null)", 1.0, 0.01, -0.05, 0.0, _SHARES)
GMI = Panel("gmi_fraction", "GMI / bits per symbol", 1.0, 0.01, 0.0, 0.5, _SHARES)
_DECIBELS = (0, 0.1, 0.2, 0.5, 1, 2, 5, 10)
SNR_LOSS = Panel(
    "snr_loss_db", "SNR loss, worst constellation (dB)", 0.0, 0.1, 12.0, 1.0, _DECIBELS
)


def pareto_picture(rows: Sequence[Row], path: str | os.PathLike) -> None:
    """Draws quality over size as a PNG, in one step; the Pareto front is drawn and labelled.

    Left: retention (GMI where no row has it); right, if known: SNR loss, upside down, so that
    better is up in both. Bars are 95 % intervals (of many configurations, those of the front);
    scores worse than the axis lie on its edge.
    Configurations that diverged or dropped out, and those without size or score, are left out.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    first = RETENTION if naming.quality_column(rows) == "retention" else GMI
    drawn = [row for row in naming.configurations(rows) if row.get("status", "ok") == "ok"]
    panels = [first]
    if np.isfinite(numbers(drawn, "snr_loss_db")).any():
        panels.append(SNR_LOSS)
    figure = Figure(figsize=(6.4 * len(panels), 5.4), dpi=140)
    FigureCanvasAgg(figure)
    for i, panel in enumerate(panels):
        _draw(figure.add_subplot(1, len(panels), i + 1), panel, drawn, rows)
    handles = {}
    for axes in figure.axes:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles, loc="lower center", ncols=9, frameon=False, fontsize=9)
    figure.subplots_adjust(0.07 if len(panels) > 1 else 0.12, 0.16, 0.98, 0.95, wspace=0.2)
    figure.canvas.draw()
    for axes, panel in zip(figure.axes, panels, strict=True):
        _label_front(axes, panel, drawn)
    with atomic.replacing(path) as beside:
        figure.savefig(beside, format="png")


def _draw(axes: Any, panel: Panel, drawn: Sequence[Row], rows: Sequence[Row]) -> None:
    size, score = _coordinates(drawn, panel)
    if not np.isfinite(size + score).any():
        axes.text(0.5, 0.5, "no finished configuration", ha="center", transform=axes.transAxes)
    half_width, front = _half_width(drawn, panel), _front(drawn, panel)
    marks = {"ms": 6 if len(drawn) <= CROWD else 4, "mec": "white", "mew": 0.5, "alpha": 0.9}
    last = np.array([last_stage(row) for row in drawn])
    for stage, (color, marker, label) in LAST_STAGE.items():
        of = (last == stage) & np.isfinite(size + score)
        if of.any():
            axes.errorbar(size[of], score[of], half_width[of], fmt=marker, color=color, label=label,
                          elinewidth=0.9, **marks)  # fmt: skip
    axes.step(size[front], score[front], where="post", color="0.25", lw=1.2, zorder=1,
              label="Pareto front")  # fmt: skip
    for name, dashes in (("teacher", "-."), ("null", ":")):
        value = number(naming.reference(rows, name) or {}, panel.column)
        if math.isfinite(value):
            axes.axhline(
                _limit(value, panel), color="black", ls=dashes, lw=0.9, zorder=0, label=name
            )
    if panel.column == "retention":
        axes.axhline(0.95, color="0.6", ls="--", lw=0.9, zorder=0, label="95 % kept")
    _scale(axes, panel, size, score)


def _scale(axes: Any, panel: Panel, size: np.ndarray, score: np.ndarray) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

    sizes, scores = size[np.isfinite(size)], score[np.isfinite(score)]
    smallest, largest = (sizes.min(), sizes.max()) if sizes.size else (10, 1000)
    axes.set_xlim(smallest / 1.5, largest * 1.5)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda kilobytes, _: f"{kilobytes:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("file size (kB)")

    axes.set_ylabel(panel.label)
    axes.set_yscale("function", functions=(panel.stretch, panel.unstretch))
    axes.yaxis.set_major_locator(FixedLocator(panel.ticks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    heights = panel.stretch(np.array([*scores, panel.ideal, panel.reach]))
    bad, good = (heights.min(), heights.max())[:: 1 if panel.larger_is_better else -1]
    limits = bad - 0.05 * (good - bad), good + 0.2 * (good - bad)
    axes.set_ylim(*panel.unstretch(np.array(limits)))
    axes.grid(color="0.92", zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _label_front(axes: Any, panel: Panel, drawn: Sequence[Row]) -> None:
    from matplotlib.patheffects import withStroke

    size, score = _coordinates(drawn, panel)
    half_width, front = _half_width(drawn, panel), _front(drawn, panel)
    known = np.isfinite(size + score) & ((half_width > 0.0) | (len(drawn) <= CROWD))
    corners = np.repeat(np.column_stack([size, score])[front], 2, axis=0)
    steps = np.column_stack([corners[1:, 0], corners[:-1, 1]])
    bars = [[[s, v - h], [s, v + h]] for s, v, h in zip(size, score, half_width, strict=True)]
    lines = [steps, *np.array(bars)[known]]
    place_labels(
        axes,
        size[front],
        score[front],
        [naming.point_name(drawn[i]) for i in front],
        avoid=lines,
        fontsize=8,
        path_effects=[withStroke(linewidth=2, foreground="white")],
    )


def _half_width(drawn: Sequence[Row], panel: Panel) -> np.ndarray:
    """Of the intervals; of a crowd, zero but on the front."""
    half_width = np.nan_to_num(numbers(drawn, f"{panel.column}_ci95"))
    if len(drawn) > CROWD:
        off = np.ones(len(drawn), bool)
        off[_front(drawn, panel)] = False
        half_width[off] = 0.0
    return half_width


def _front(drawn: Sequence[Row], panel: Panel) -> np.ndarray:
    """Indices of the Pareto front, the smallest file first."""
    size, score = _coordinates(drawn, panel)
    quality = score if panel.larger_is_better else -score
    known = np.isfinite(size + quality)
    front = np.flatnonzero(known & (pareto_ranks(size, quality) == 1))
    return front[np.argsort(size[front], kind="stable")]


def _coordinates(drawn: Sequence[Row], panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    """Size in kB, and the score no worse than is shown."""
    score = numbers(drawn, panel.column)
    return numbers(drawn, "size_bytes") / 1000, _limit(score, panel)


def _limit(score: Any, panel: Panel) -> Any:
    return (np.maximum if panel.larger_is_better else np.minimum)(score, panel.worst)


def last_stage(row: Row) -> str:
    """The key of the row's pipeline in :data:`LAST_STAGE`."""
    last = naming.stages(row)[-1]
    return last if last in LAST_STAGE else ""
