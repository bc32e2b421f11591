"""The picture of which tensor suffers from what: a heat map of tensors and levels."""

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from wfm_jax.results import atomic
from wfm_jax.results.naming import DASH, Row, number
from wfm_jax.results.receiver_looks import new_figure
from wfm_jax.results.sensitivity_rows import distinct, group, short_name

_NOTE = (
    "rise of the task loss when this tensor alone is compressed, nothing retrained;\n"
    "pale numbers: the 95 % interval of the paired difference holds zero"
)
_WORDS = {"bits": ("{:g} bits", "quantized"), "sparsity": ("{:.0%}", "pruned")}
_FLOOR, _BRIGHT = 1e-3, 0.55


def sensitivity_picture(rows: Sequence[Row], path: str | os.PathLike) -> None:
    """Draws the rise of the task loss as a PNG, in one step: a line a tensor, a column a level.

    Args:
        rows: columns of ``sensitivity_rows.COLUMNS``.
        path: of the PNG.
    """
    from matplotlib.colors import LogNorm

    tensors, methods = distinct(rows, "tensor"), distinct(rows, "method")
    levels = [distinct([r for r in rows if r["method"] == m], "level") for m in methods]
    height = 0.235 * len(tensors) + 1.5
    figure = new_figure(3.4 + 0.72 * sum(map(len, levels)), height)
    panels = figure.subplots(
        1, len(methods), squeeze=False, sharey=True, width_ratios=[len(own) for own in levels]
    )[0]
    highest = max((number(row, "task_loss_change") for row in rows), default=1.0)
    norm = LogNorm(_FLOOR, max(highest if math.isfinite(highest) else 1.0, 10 * _FLOOR), clip=True)
    image = None
    for axes, method, own in zip(panels, methods, levels, strict=True):
        cells = {(r["tensor"], r["level"]): r for r in rows if r["method"] == method}
        image = _panel(axes, cells, tensors, own, norm)
        form, words = _WORDS[method]
        axes.set_xticks(range(len(own)), [form.format(level) for level in own], fontsize=8.5)
        axes.set_xlabel(words, fontsize=9.5, labelpad=7)
        axes.xaxis.set_label_position("top")
    panels[0].set_yticks(range(len(tensors)), [short_name(name) for name in tensors], fontsize=8)
    figure.tight_layout(rect=(0, 0.5 / height, 0.91, 1), w_pad=1.0)
    if image is not None:
        bar = figure.add_axes((0.92, 0.25, 0.018, 0.5))
        figure.colorbar(image, cax=bar, label="rise of task loss")
    figure.text(0.5, 0.1 / height, _NOTE, ha="center", fontsize=8, color="0.4")
    with atomic.replacing(path) as beside:
        figure.savefig(beside, format="png")


def _panel(axes: Any, cells: dict, tensors: Sequence[str], levels: Sequence[float], norm: Any):
    change = np.array(
        [[number(cells[name, level], "task_loss_change") for level in levels] for name in tensors]
    )
    image = axes.imshow(
        np.ma.masked_invalid(np.maximum(change, _FLOOR)), cmap="magma", norm=norm, aspect="auto"
    )
    for (i, j), value in np.ndenumerate(change):
        certain = _is_certain(cells[tensors[i], levels[j]])
        bright = math.isfinite(value) and norm(max(value, _FLOOR)) > _BRIGHT
        axes.text(j, i, _text(value), ha="center", va="center", fontsize=7.5,
                  color="black" if bright else "white",
                  alpha=1.0 if certain else 0.55)  # fmt: skip
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for i in range(1, len(tensors)):
        if group(tensors[i]) != group(tensors[i - 1]):
            axes.axhline(i - 0.5, color="white", lw=2.0)
    return image


def _is_certain(row: Row) -> bool:
    low, high = (number(row, f"task_loss_change_{end}") for end in ("low", "high"))
    return low > 0.0 or high < 0.0


def _text(value: float) -> str:
    if not math.isfinite(value):
        return DASH
    if abs(value) < 5e-4:
        return "0"
    text = f"{value:z.3f}" if abs(value) < 1.0 else f"{value:.3g}"
    return text.replace("0.", ".", 1) if abs(value) < 1.0 else text
