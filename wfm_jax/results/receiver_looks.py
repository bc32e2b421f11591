"""How receivers look in pictures, and curves over SNR with their intervals."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from wfm_jax.results import atomic
from wfm_jax.results.evaluation_rows import RECEIVERS, snrs_db, values
from wfm_jax.results.rows import Row


class Look(NamedTuple):
    """Colour (of Okabe and Ito), marker and line of a receiver."""

    color: str
    marker: str
    line: Any = "-"
    width: float = 1.2


LOOKS = {
    "model": Look("#0072B2", "o", "-", 1.8),
    "ls": Look("#7F7F7F", "v"),
    "lmmse": Look("#E69F00", "s"),
    "lmmse_true": Look("#D55E00", "D", (0, (4, 2))),
    "data_aided": Look("#CC79A7", "P", (0, (1, 1))),
    "genie": Look("#009E73", "^"),
    "lmmse_bound": Look("black", "", "-", 0.9),
    "constant": Look("0.5", "", ":"),
}
_MORE = ("#56B4E9", "#F0E442", "#999933", "#882255", "#44AA99", "#AA4499")


def more_look(index: int) -> Look:
    """The look of a receiver that is none of ours."""
    return Look(_MORE[index % len(_MORE)], "X*hpd<"[index % 6], (0, (3, 1, 1, 1)))


def draw_curve(
    axes: Any,
    curve: Sequence[Row],
    look: Look,
    label: str,
    *,
    factor: float = 1.0,
    positive: bool = False,
) -> None:
    """One receiver over SNR; bars are 95 % intervals.

    Args:
        axes: of Matplotlib.
        curve: rows in rising order of SNR; those without a value leave a gap.
        look: how.
        label: for the legend.
        factor: times the values.
        positive: the axis is logarithmic: zeros are left out and bars end above zero.
    """
    at = snrs_db(curve)
    value = factor * values(curve, at)
    width = factor * np.nan_to_num(values(curve, at, "ci95"))
    if positive:
        value = np.where(value > 0.0, value, np.nan)
    down = np.minimum(width, 0.9 * value) if positive else width
    bars = None if not look.marker else np.nan_to_num(np.stack([down, width]))
    axes.errorbar(
        at, value, bars, color=look.color, ls=look.line, lw=look.width, marker=look.marker or None,
        ms=4, mew=0.5, mec="white", elinewidth=0.8, label=label,
        zorder=3 if look is LOOKS["model"] else 2,
    )  # fmt: skip


def draw_receivers(
    axes: Any, curves: dict[str, list[Row]], *, factor: float = 1.0, positive: bool = False
) -> None:
    """:func:`draw_curve` of several receivers by their names in rows; empty ones are left out.

    Args:
        axes: of matplotlib.
        curves: rows of each receiver.
        factor: of all values.
        positive: leave out what is not above zero, as on an axis of logarithms.
    """
    for name, curve in curves.items():
        if curve:
            look = LOOKS[name]
            draw_curve(axes, curve, look, RECEIVERS[name], factor=factor, positive=positive)


def tidy(axes: Any, xlabel: str, ylabel: str) -> None:
    """Labels, a light grid, no box."""
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.grid(color="0.92", zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def new_figure(width: float, height: float) -> Any:
    """A figure without a window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130)
    FigureCanvasAgg(figure)
    return figure


def finish(figure: Any, path: str | os.PathLike, *, note: str = "", n_columns: int = 7) -> None:
    """One legend for all panels below them, in at most ``n_columns``, a note, and the figure as the
    PNG at ``path`` in one step."""
    height = figure.get_figheight()
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles:
        figure.legend(
            handles.values(), handles, loc="lower center", ncols=n_columns, frameon=False,
            fontsize=9, bbox_to_anchor=(0.5, 0.22 / height),
        )  # fmt: skip
    figure.text(0.5, 0.1 / height, note, ha="center", fontsize=8, color="0.4")
    lines = -(-len(handles) // n_columns)
    figure.tight_layout(rect=(0, (0.3 + 0.25 * lines) / height, 1, 1), h_pad=1.6)
    with atomic.replacing(path) as beside:
        figure.savefig(beside, format="png")
