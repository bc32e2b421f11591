"""The pictures of an order study: its contrasts, and where over file size they come from."""

import math
import os
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from wfm_jax.results import atomic
from wfm_jax.results.order_contrasts import LEVEL, MARGIN, PRIMARY
from wfm_jax.results.order_study import Answer, Panel
from wfm_jax.results.receiver_looks import new_figure, tidy
from wfm_jax.results.size_axis import show_sizes

_LOOKS = {  # colours of Okabe and Ito, told apart by the colour-blind; the marker says it again
    "established": ("#0072B2", "o"),
    "equivalent": ("#009E73", "s"),
    "not established": ("#7F7F7F", "D"),
}
_TICKS = (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
_LINEAR = 0.3  # points around zero within which the axis of differences is about linear
_MARGIN_LABEL = f"makes no difference (within {MARGIN:g} points)"


def forest_picture(answers: Sequence[Answer], path: str | os.PathLike) -> None:
    """Draws a line a contrast as a PNG, in one step: its difference, the interval of this contrast
    alone (thick) and the one that holds for all contrasts at once (thin), and the verdict."""
    height = 1.5 + 0.62 * len(answers)
    figure = new_figure(11.5, height)
    axes = figure.subplots()
    places = [float(place) for place in range(len(answers), 0, -1)]
    axes.axvspan(-MARGIN, MARGIN, color="0.93", zorder=0, label=_MARGIN_LABEL)
    axes.axvline(0.0, color="0.3", lw=0.9, zorder=1)
    shown = [answer for answer in answers if answer.verdict != "not run"]
    ends = [v for answer in shown for v in (answer.difference, *answer.together) if _finite(v)]
    for y, answer in zip(places, answers, strict=True):
        if answer.verdict != "not run":
            _bar(axes, y, answer)
        axes.text(1.02, y, _remark(answer), transform=axes.get_yaxis_transform(), fontsize=8.5,
                  va="center", color=_LOOKS.get(answer.verdict, ("0.45",))[0])  # fmt: skip
    axes.set_yticks(places, [""] * len(places))
    for i, (y, answer) in enumerate(zip(places, answers, strict=True), start=1):
        place = {"transform": axes.get_yaxis_transform(), "ha": "right"}
        contrast = answer.contrast
        name = f"{i}   {contrast.a_name}  over  {contrast.b_name}"
        axes.text(-0.02, y + 0.06, name, va="bottom", fontsize=9, **place)
        question = "\n".join(textwrap.wrap(contrast.question, 52))
        axes.text(-0.02, y, question, va="top", fontsize=7.5, color="0.4", **place)
    axes.set_ylim(0.4, len(answers) + 0.6)
    _difference_axis(axes.xaxis, axes.set_xscale, axes.set_xlim, ends)
    words = "points; right of zero the first is better"
    tidy(axes, f"difference of {PRIMARY.name} at equal bytes ({words})", "")
    axes.tick_params(axis="y", length=0)
    figure.subplots_adjust(0.285, 0.95 / height, 0.855, 1 - 0.12 / height)
    _legend(figure, [axes])
    _save(figure, path)


def size_picture(answers: Sequence[Answer], path: str | os.PathLike) -> None:
    """Draws each contrast over file size as a PNG, in one step: every seed (thin), their mean, and
    the band that holds at all sizes at once."""
    panels = [(i, answer, panel) for i, answer in enumerate(answers, start=1)
              for panel in answer.estimate.panels]  # fmt: skip
    n_columns = min(4, max(len(panels), 1))
    n_lines = max(-(-len(panels) // n_columns), 1)
    figure = new_figure(3.3 * n_columns + 0.4, 2.75 * n_lines + 0.55)
    grid = figure.subplots(n_lines, n_columns, squeeze=False).ravel()
    for axes, (i, answer, panel) in zip(grid, panels, strict=False):
        _over_size(axes, answer, panel)
        contrast, several = answer.contrast, len(answer.estimate.panels) > 1
        of = f"\n{panel.structure}" if several else ""
        axes.set_title(
            f"{i}  {contrast.a_name} over {contrast.b_name}{of}", fontsize=9.5, loc="left"
        )
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    if not panels:
        grid[0].text(0.5, 0.5, "no contrast was run", ha="center", transform=grid[0].transAxes)
    figure.supylabel(f"difference of {PRIMARY.name} (points)", fontsize=10)
    figure.tight_layout(rect=(0, 0.4 / figure.get_figheight(), 1, 1), h_pad=1.4)
    _legend(figure, grid[: len(panels)])
    _save(figure, path)


def _bar(axes: Any, y: float, answer: Answer) -> None:
    color, marker = _LOOKS[answer.verdict]
    intervals = (
        (answer.together, 1.1, "all contrasts at once, 95 %"),
        (answer.interval, 4.5, "this contrast alone, 95 %"),
    )
    for interval, width, words in intervals:
        if all(map(_finite, interval)):
            axes.plot(interval, (y, y), color=color, lw=width, solid_capstyle="butt", alpha=0.85)
            axes.plot([], [], color="0.4", lw=width, label=words)
    axes.plot(answer.difference, y, marker=marker, ms=8, color=color, mec="white", mew=0.9, ls="",
              zorder=4, label=answer.verdict)  # fmt: skip


def _remark(answer: Answer) -> str:
    if answer.verdict == "not run":
        return "not run"
    p = "< .001" if answer.p_holm < 0.0005 else f"{answer.p_holm:.3f}".removeprefix("0")
    n = len(answer.estimate.units)
    return f"{answer.difference:+.2f}   p {p}\n{answer.verdict}, {n} seed{'s' * (n != 1)}"


def _over_size(axes: Any, answer: Answer, panel: Panel) -> None:
    color, _ = _LOOKS[answer.verdict]
    kilobytes, differences = panel.size_bytes / 1000, panel.differences
    axes.axhspan(-MARGIN, MARGIN, color="0.93", zorder=0, label=_MARGIN_LABEL)
    axes.axhline(0.0, color="0.3", lw=0.8, zorder=1)
    axes.plot(kilobytes, differences.T, color="0.55", lw=0.6, alpha=0.7, zorder=2)
    axes.plot([], [], color="0.55", lw=0.6, label="a seed")
    low, high = np.array(panel.band()).T
    if np.isfinite(low).all():
        axes.fill_between(kilobytes, low, high, color=color, alpha=0.25, lw=0, zorder=2)
        axes.fill_between([], [], [], color="0.4", alpha=0.25, lw=0,
                          label=f"band of all sizes, {100 * (1 - LEVEL):.0f} %")  # fmt: skip
    axes.plot(kilobytes, differences.mean(axis=0), color=color, lw=2.0, zorder=3)
    axes.plot([], [], color="0.25", lw=2.0, label="mean")
    values = np.concatenate([differences.ravel(), low, high])
    _difference_axis(
        axes.yaxis, axes.set_yscale, axes.set_ylim, values[np.isfinite(values)].tolist()
    )
    show_sizes(axes, kilobytes[0], kilobytes[-1])
    tidy(axes, "file size (kB)", "")
    axes.tick_params(labelsize=8)


def _difference_axis(axis: Any, set_scale: Any, set_limits: Any, values: Sequence[float]) -> None:
    """Linear near zero, logarithmic beyond, wide enough for the values and the margin."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = 1.3 * min([*values, -MARGIN]), 1.3 * max([*values, MARGIN])
    set_scale("asinh", linear_width=_LINEAR)
    set_limits(low, high)
    ticks = [t for t in _TICKS if t >= (0.5 if high - low > 4 else 0.2)]
    shown = [t for t in (*(-t for t in ticks), 0.0, *ticks) if low <= t <= high]
    axis.set_major_locator(FixedLocator(shown))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}" if value else "0"))


def _legend(figure: Any, panels: Sequence[Any]) -> None:
    """One for all panels, below them."""
    handles: dict[str, Any] = {}
    for axes in panels:
        own = axes.get_legend_handles_labels()
        handles |= dict(zip(own[1], own[0], strict=True))
    figure.legend(
        handles.values(), handles, loc="lower center", ncols=6, frameon=False, fontsize=8.5
    )


def _finite(value: float) -> bool:
    return math.isfinite(value)


def _save(figure: Any, path: str | os.PathLike) -> None:
    with atomic.replacing(path) as beside:
        figure.savefig(beside, format="png")
