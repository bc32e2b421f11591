"""The result of the suite ``engine`` as a picture: time of a configuration-step over how many train
together."""

import os
import statistics
from typing import Any

import numpy as np

from wfm_jax.results import atomic
from wfm_jax.results.labels import place_labels

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito
_MARKERS = ("o", "s", "^", "D", "v", "P")
_DASHES = {"float32": "-", "bfloat16": "-."}
_OTHERS = {"ours": "#7F7F7F", "PyTorch": "#A6761D", "torch.compile": "#5E3C99"}
_LEFT, _PANEL, _RIGHT, _HEIGHT = 0.8, 6.0, 3.0, 5.6  # inches; names stand to the right


def engine_picture(result: dict[str, Any], path: str | os.PathLike) -> None:
    """Draws one panel a model as a PNG, in one step; both axes are logarithmic.

    A line a strategy (dash-dotted in bfloat16); what runs one configuration after the other is a
    horizontal line, dotted where the teacher's answers are given to it, dash-dotted where ours is
    given frames alone; the bound is dashed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    models = list(result["models"])
    width = (_LEFT + _PANEL + _RIGHT) * len(models)
    figure = Figure(figsize=(width, _HEIGHT), dpi=130)
    FigureCanvasAgg(figure)
    gap = (_LEFT + _RIGHT) / _PANEL
    figure.subplots_adjust(_LEFT / width, 0.1, 1.0 - _RIGHT / width, 0.93, wspace=gap)
    panels = [figure.add_subplot(1, len(models), i + 1) for i in range(len(models))]
    labels = [_draw(axes, result, model) for axes, model in zip(panels, models, strict=True)]
    figure.canvas.draw()
    for axes, named in zip(panels, labels, strict=True):
        _label(axes, named)
    with atomic.replacing(path) as beside:
        figure.savefig(beside, format="png")


class _Line:
    """A polyline with its name."""

    def __init__(self, name: str, x: list[float], y: list[float], color: str, **style: Any):
        self.name, self.color, self.style = name, color, style
        self.points = np.column_stack([np.asarray(x, float), np.asarray(y, float)])


def _draw(axes: Any, result: dict[str, Any], model: str) -> list[_Line]:
    cells = [c for c in result["cells"] if c["model"] == model and "ms" in c]
    lines = _of_strategies(cells) + _of_bounds(cells) + _of_others(cells)
    for line in lines:
        axes.plot(*line.points.T, color=line.color, **line.style)
    frames = result["settings"]["batch_size"]
    axes.set_title(f"{model}, {frames} frames a step, {', '.join(result['devices'])}", fontsize=10)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("configurations that train together")
    axes.set_ylabel("ms of a configuration-step")
    widths = sorted({cell["width"] for cell in cells})
    axes.set_xticks(widths, [str(width) for width in widths])
    axes.margins(x=0.08, y=0.08)
    axes.grid(color="0.92", zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if not cells:
        axes.text(0.5, 0.5, "nothing was measured", ha="center", transform=axes.transAxes)
    return lines


def _of_strategies(cells: list[dict[str, Any]]) -> list[_Line]:
    lines = []
    computes = list(dict.fromkeys(cell["compute"] for cell in cells))
    for i, name in enumerate(dict.fromkeys(cell["name"] for cell in cells)):
        for compute in computes:
            of = [c for c in cells if (c["name"], c["compute"]) == (name, compute)]
            if of:
                named = name if len(computes) == 1 else f"{name}, {compute}"
                style = {"marker": _MARKERS[i % 6], "ls": _DASHES.get(compute, "-"), "lw": 1.8}
                x, y = [c["width"] for c in of], [c["ms"] for c in of]
                lines.append(_Line(named, x, y, _COLORS[i % 6], **style))
    return lines


def _of_bounds(cells: list[dict[str, Any]]) -> list[_Line]:
    lines = []
    for compute in dict.fromkeys(cell["compute"] for cell in cells):
        bound = {c["width"]: c["bound_ms"] for c in cells if c["compute"] == compute}
        x, y = zip(*sorted(bound.items()), strict=True)
        lines.append(_Line(f"bound, {compute}", [*x], [*y], "0.3", ls="--", lw=1.2))
    return lines


def _of_others(cells: list[dict[str, Any]]) -> list[_Line]:
    """Medians over all rounds of all cells: what runs alone does not know of C."""
    seconds: dict[str, list[float]] = {}
    for cell in cells:
        for name, measured in cell["beside"].items():
            if cell["compute"] != "float32":
                name = f"{name}, {cell['compute']}"
            seconds.setdefault(name, []).extend(measured["seconds"])
    widths = [cell["width"] for cell in cells] or [1]
    lines = []
    for name, of in seconds.items():
        given = ":" if "answers given" in name else "-." if "frames given" in name else "-"
        style = {"lw": 1.1, "ls": given}
        y, color = [1e3 * statistics.median(of)] * 2, _OTHERS[name.split(",")[0]]
        lines.append(_Line(name, [min(widths), max(widths)], y, color, **style))
    return lines


def _label(axes: Any, lines: list[_Line]) -> None:
    """Names of strategies at their ends, of all else to the right of the axes."""
    from matplotlib.patheffects import withStroke

    within = [line for line in lines if "marker" in line.style]
    placed = place_labels(
        axes,
        [line.points[-1, 0] for line in within],
        [line.points[-1, 1] for line in within],
        [line.name for line in within],
        avoid=[line.points for line in lines],
        fontsize=9,
        path_effects=[withStroke(linewidth=2, foreground="white")],
    )
    for label in placed:
        label.set_color({line.name: line.color for line in within}[label.get_text()])
    beside = [line for line in lines if line not in within]
    beside.sort(key=lambda line: line.points[-1, 1])
    if not beside:
        return
    pixels = axes.transData.transform([line.points[-1] for line in beside])
    heights = spread(pixels[:, 1], gap=1.6 * 8.0 * axes.figure.dpi / 72.0)
    for line, height in zip(beside, heights, strict=True):
        arrow = {"arrowstyle": "-", "color": line.color, "lw": 0.6, "shrinkA": 0, "shrinkB": 0}
        at = (axes.get_window_extent().x1 + 12.0, height)
        how = {"textcoords": "figure pixels", "arrowprops": arrow, "annotation_clip": False}
        axes.annotate(line.name, line.points[-1], at, color=line.color, fontsize=8, va="center",
                      **how)  # fmt: skip


def spread(heights: np.ndarray, gap: float) -> np.ndarray:
    """Rising heights moved apart to at least ``gap``, each cluster about where it was."""
    clusters: list[tuple[float, int]] = []  # sum of heights, and how many
    for height in heights:
        clusters.append((height, 1))
        while len(clusters) > 1:
            (below, n), (above, m) = clusters[-2:]
            if below / n + gap * (n + m) / 2.0 <= above / m:
                break
            clusters[-2:] = [(below + above, n + m)]
    steps = [total / n + gap * (np.arange(n) - (n - 1) / 2.0) for total, n in clusters]
    return np.concatenate(steps)
