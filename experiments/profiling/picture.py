"""A profile as a picture: how long each form takes, over how large its file is."""

import os
from collections.abc import Sequence
from typing import Any

from wfm_jax.results import atomic
from wfm_jax.results.receiver_looks import new_figure

Row = dict[str, Any]
_ONNX, _JAX, _CLASSICAL = "#0072B2", "#D55E00", "#7F7F7F"


def profile_picture(
    rows: Sequence[Row], slot_ms: float, title: str, path: str | os.PathLike
) -> None:
    """Draws a panel a batch size as a PNG, in one step: milliseconds a frame, from p50 to p95.

    Args:
        rows: of `experiments.profiling.study`.
        slot_ms: how long a frame is on the air, a line.
        title: of the picture.
        path: of the PNG.
    """
    sizes = list(dict.fromkeys(row["batch_size"] for row in rows))
    forms = list(dict.fromkeys(row["form"] for row in rows))
    height = 0.42 * len(forms) + 1.5
    figure = new_figure(4.2 + 3.6 * len(sizes), height)
    panels = figure.subplots(1, len(sizes), squeeze=False, sharey=True)[0]
    for axes, batch_size in zip(panels, sizes, strict=True):
        for i, form in enumerate(forms):
            (row,) = (r for r in rows if r["form"] == form and r["batch_size"] == batch_size)
            p50, p95 = (row[name] / batch_size for name in ("p50_ms", "p95_ms"))
            color = _color(row)
            axes.plot([p50, p95], [i, i], color=color, linewidth=1.8)
            axes.plot(p95, i, marker="|", color=color, markersize=10, markeredgewidth=1.8)
            axes.plot(p50, i, marker="o", color=color, markersize=7)
            axes.annotate(
                f"{p50:.2g}", (p95, i), xytext=(6, 0), textcoords="offset points", va="center",
                fontsize=8,
            )  # fmt: skip
        axes.axvline(slot_ms, color="0.35", linestyle=(0, (4, 2)), linewidth=1.0)
        axes.annotate(
            f" slot {slot_ms:.2g} ms", (slot_ms, len(forms) - 0.45), fontsize=8, color="0.35",
            va="bottom",
        )  # fmt: skip
        axes.set_xscale("log")
        axes.set_xmargin(0.16)
        axes.set_ylim(len(forms) - 0.4, -0.6)
        frames = "1 frame" if batch_size == 1 else f"{batch_size} frames"
        axes.set_title(f"{frames} at a time", fontsize=9.5)
        axes.set_xlabel("ms a frame: p50 (dot), p95 (tick)", fontsize=9)
        axes.grid(color="0.9", linewidth=0.6)
        axes.set_axisbelow(True)
    sizes_of = {row["form"]: row["size_bytes"] for row in rows}
    names = [
        form if sizes_of[form] is None else f"{form}\n{sizes_of[form] / 1e3:,.0f} kB"
        for form in forms
    ]
    panels[0].set_yticks(range(len(forms)), names, fontsize=8)
    figure.suptitle(title, fontsize=10.5)
    figure.tight_layout()
    with atomic.replacing(path) as beside:
        figure.savefig(beside, format="png")


def _color(row: Row) -> str:
    if row["form"].startswith("ONNX"):
        return _ONNX
    return _CLASSICAL if row["form"].startswith(("LMMSE", "preprocessing")) else _JAX
