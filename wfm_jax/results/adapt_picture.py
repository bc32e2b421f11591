"""The picture of adaptations: what each method gains over the number of labelled frames."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from wfm_jax.results import atomic
from wfm_jax.results.adapt_table import MAIN_SCORE
from wfm_jax.results.naming import Row, numbers

_METHODS = {  # colours of Okabe and Ito, told apart by the colour-blind; shapes say it again
    "probe": ("#009E73", "^"),
    "lora": ("#0072B2", "o"),
    "full": ("#D55E00", "s"),
}
_APART = 1.04  # bars of several methods at one number of frames, side by side


def adapt_picture(rows: Sequence[Row], path: str | os.PathLike, score: str = MAIN_SCORE) -> None:
    """Draws the gain in a score as a PNG, in one step, a panel for each target.

    Bars are 95 % intervals; the dashed line is the model as it came.

    Args:
        rows: of ``adapt_rows.COLUMNS``.
        path: of the PNG.
        score: which to draw.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [row for row in rows if row["score"] == score]
    targets = list(dict.fromkeys(row["target"] for row in rows))
    wide = min(max(len(targets), 1), 3)
    tall = -(-max(len(targets), 1) // wide)
    figure = Figure(figsize=(4.4 * wide + 0.6, 3.4 * tall + 0.7), dpi=140, layout="constrained")
    FigureCanvasAgg(figure)
    handles: dict[str, Any] = {}
    for i, target in enumerate(targets):
        axes = figure.add_subplot(tall, wide, i + 1)
        _draw(axes, [row for row in rows if row["target"] == target])
        axes.set_title(target.replace("_", " "), fontsize=10)
        if i % wide == 0:
            axes.set_ylabel(f"gain in {score.replace('_', ' ')} at 20 dB", fontsize=9)
        if i >= len(targets) - wide:
            axes.set_xlabel("labelled frames", fontsize=9)
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    if handles:
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=len(handles),
                      frameon=False, fontsize=9)  # fmt: skip
    with atomic.replacing(path) as beside:
        figure.savefig(beside, format="png")


def _draw(axes: Any, rows: Sequence[Row]) -> None:
    counts = sorted({row["n_labelled"] for row in rows})
    methods = list(dict.fromkeys(row["method"] for row in rows))
    for i, method in enumerate(methods):
        of = sorted((r for r in rows if r["method"] == method), key=lambda r: r["n_labelled"])
        color, marker = _METHODS.get(method, ("#7F7F7F", "D"))
        x = numbers(of, "n_labelled") * _APART ** (i - (len(methods) - 1) / 2)
        y, low, high = (numbers(of, name) for name in ("gain", "gain_low", "gain_high"))
        bars = np.maximum(np.stack([y - low, high - y]), 0.0)
        share = 100.0 * of[0]["trained_share"]
        label = method if method == "full" else f"{method}, {share:.1f} % of the parameters"
        axes.errorbar(x, y, bars, fmt=f"{marker}-", color=color, ms=5, lw=1.3, elinewidth=1.0,
                      mec="white", mew=0.5, capsize=2, label=label)  # fmt: skip
    axes.axhline(0.0, color="0.4", ls="--", lw=0.9, zorder=0)
    axes.set_xscale("log")
    axes.set_xlim(counts[0] / 1.5, counts[-1] * 1.5)
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    axes.tick_params(labelsize=8)
    axes.grid(axis="y", color="0.9", lw=0.6)
    axes.set_axisbelow(True)
