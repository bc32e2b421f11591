"""The picture of packed models at places that no training saw: a panel a metric."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from wfm_jax.results import atomic
from wfm_jax.results.generalisation_rows import (
    HOME,
    LOSSES,
    SNR_LOSS,
    Score,
    labels,
    places,
    row_of,
)
from wfm_jax.results.naming import Row, number
from wfm_jax.results.receiver_looks import new_figure

_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#999933")
_MARKERS = "osD^vPX"
_TEACHER_COLOR = "0.82"
_TITLES = {
    "gmi_fraction": "bits: GMI",
    "amc_accuracy": "modulation",
    "channel_nmse_db": "channel: NMSE",
    "snr_mae_db": "SNR",
    "k_mae_db": "K-factor",
    "los_accuracy": "line of sight",
    SNR_LOSS: "bit errors: extra SNR",
}
_LINEAR = {"points": 1.0, "dB": 0.1, "dB SNR": 0.1}
"""The axis is linear up to here, logarithmic beyond."""
_NOTE = (
    "marks: loss of a packed model against its teacher on the same frames, bars: 95 % intervals, "
    "frames resampled; grey: loss of the teacher here against itself at home\n"
    "positive is worse; a point is a hundredth; the axes are linear around zero and logarithmic "
    "beyond"
)


def generalisation_picture(rows: Sequence[Row], path: str | os.PathLike) -> None:
    """Draws every model's loss at every place as a PNG, in one step.

    Args:
        rows: columns of ``generalisation_rows.COLUMNS``.
        path: of the PNG.
    """
    words, named = places(rows), labels(rows)
    teacher, *packed = named
    shown = [name for name in LOSSES if any(row["metric"] == name for row in rows)]
    n_lines, n_columns = 2, -(-(len(shown) + 1) // 2)
    each = (0.26 + 0.13 * len(packed)) * len(words) + 1.0
    height = n_lines * each + 0.5
    figure = new_figure(2.0 + 2.75 * n_columns, height)
    panels = figure.subplots(n_lines, n_columns, sharey=True, squeeze=False).reshape(-1)
    for axes, name in zip(panels, shown, strict=False):
        _draw(axes, rows, name, list(words), teacher, packed)
        axes.set_title(_TITLES[name], loc="left", fontsize=11)
        axes.set_yticks(
            range(len(words)),
            [f"{text}{' (home)' if place == HOME else ''}" for place, text in words.items()],
        )
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    panels[len(shown)].legend(
        handles=[*(_handle(i, named[one]) for i, one in enumerate(packed)), _teacher_handle()],
        loc="center left", frameon=False, fontsize=9, bbox_to_anchor=(0.0, 0.5),
        title="loss of", title_fontsize=9, alignment="left", labelspacing=0.8,
    )  # fmt: skip
    figure.text(0.5, 0.1 / height, _NOTE, ha="center", fontsize=8, color="0.4")
    figure.tight_layout(rect=(0, 0.45 / height, 1, 1), h_pad=1.4, w_pad=1.2)
    with atomic.replacing(path) as beside:
        figure.savefig(beside, format="png")


def _draw(
    axes: Any, rows: Sequence[Row], name: str, at: list[str], teacher: str, packed: Sequence[str]
) -> None:
    score, lines = LOSSES[name], np.arange(len(at))

    def numbers(model_hash: str, column: str) -> np.ndarray:
        found = (row_of(rows, place=place, model_hash=model_hash, metric=name) for place in at)
        return score.factor * np.array([number(row, column) for row in found])

    costs = np.nan_to_num(numbers(teacher, "place_loss"))
    axes.barh(lines, costs, 0.82, color=_TEACHER_COLOR, zorder=1)
    for i, model_hash in enumerate(packed):
        y = lines + 0.7 * ((i + 0.5) / len(packed) - 0.5)
        value, low, high = (numbers(model_hash, f"loss{end}") for end in ("", "_low", "_high"))
        look = {"color": _COLORS[i % len(_COLORS)], "zorder": 3}
        axes.hlines(y, low, high, lw=1.1, **look)
        axes.plot(value, y, _MARKERS[i % len(_MARKERS)], ms=5, mec="white", mew=0.5, **look)
    _scale(axes, score)
    axes.axvline(0.0, color="0.5", lw=0.8, zorder=2)
    for line in lines[1:] - 0.5:
        axes.axhline(line, color="0.93", lw=0.8, zorder=0)
    axes.set_ylim(len(at) - 0.5, -0.5)
    axes.set_xlabel(f"loss ({score.unit})", fontsize=9)
    axes.grid(axis="x", color="0.92", zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)


def _scale(axes: Any, score: Score) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    linear = _LINEAR[score.unit]
    low, high = axes.get_xlim()
    low, high = min(1.4 * low, -1.5 * linear), max(1.4 * high, 3.0 * linear)
    axes.set_xscale("symlog", linthresh=linear, linscale=0.8)
    axes.set_xlim(low, high)
    steps = linear * np.array([1.0, 10.0, 100.0])
    axes.xaxis.set_major_locator(FixedLocator([*-steps, 0.0, *steps]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:+g}" if loss else "0"))


def _handle(index: int, label: str) -> Any:
    from matplotlib.lines import Line2D

    color, marker = _COLORS[index % len(_COLORS)], _MARKERS[index % len(_MARKERS)]
    return Line2D([], [], color=color, marker=marker, mec="white", mew=0.5, label=label)


def _teacher_handle() -> Any:
    from matplotlib.patches import Patch

    return Patch(color=_TEACHER_COLOR, label="the teacher, by the place")
