"""The picture of every order over file size: a panel for each student and ending."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from wfm_jax.results.equal_bytes import at_sizes, common_sizes
from wfm_jax.results.naming import MARKS
from wfm_jax.results.order_contrasts import PRIMARY
from wfm_jax.results.order_exploratory import Curves, arm_curves
from wfm_jax.results.order_points import Point
from wfm_jax.results.receiver_looks import finish, new_figure, tidy
from wfm_jax.results.size_axis import show_sizes

_LOOKS = {  # colours of Okabe and Ito; distillation last solid, within dashed, none dotted
    "P-Q-KD": ("#0072B2", "o", "-"),
    "Q-P-KD": ("#D55E00", "s", "-"),
    "P-KD-Q": ("#0072B2", "^", (0, (5, 2))),
    "Q-KD-P": ("#D55E00", "v", (0, (5, 2))),
    "KD-P-Q": ("#56B4E9", "<", (0, (5, 2))),
    "KD-Q-P": ("#E69F00", ">", (0, (5, 2))),
    "P-Q-FT": ("#009E73", "P", (0, (3, 1, 1, 1))),
    "Q-P-FT": ("#CC79A7", "X", (0, (3, 1, 1, 1))),
    "P-Q": ("0.35", "d", (0, (1, 1.2))),
    "Q-P": ("0.6", "D", (0, (1, 1.2))),
    "P-Q-FT*": ("black", "*", (0, (3, 1, 1, 1))),
}
_UNIT, _WORST = 0.5, 0.0
_TICKS = (0, 50, 80, 90, 95, 98, 99, 100, 101, 102)


def curves_picture(points: Sequence[Point], path: str | os.PathLike) -> None:
    """Draws the orders' scores over file size as a PNG, in one step: means over seeds, and between
    the 10 % and 90 % quantiles of the seeds a band, of what they differ from their own teacher's
    mean. The axis stretches towards the teacher."""
    structures = sorted({p.block.structure for p in points if p.block.structure})
    settings = [
        (student, recovery, structure, arms)
        for structure in structures
        for student in ("same", "smaller")
        for recovery in (False, True)
        if (arms := arm_curves(points, student, recovery, structure))
    ]
    n_columns = 2 if len(settings) > 1 else 1
    n_lines = max(-(-len(settings) // n_columns), 1)
    figure = new_figure(5.6 * n_columns + 0.4, 4.0 * n_lines + 0.7)
    grid = figure.subplots(n_lines, n_columns, squeeze=False).ravel()
    for axes, (student, recovery, structure, arms) in zip(grid, settings, strict=False):
        ending = "common recovery at the end" if recovery else "no recovery"
        of = f", {structure}" if len(structures) > 1 else ""
        axes.set_title(f"student {student}, {ending}{of}", fontsize=10, loc="left")
        _draw(axes, arms)
    for axes in grid[len(settings) :]:
        axes.set_axis_off()
    if not settings:
        grid[0].text(0.5, 0.5, "no curves", ha="center", transform=grid[0].transAxes)
    bands = "bands: the middle 80 % of the seeds, less what teachers differ by"
    finish(figure, path, note=f"* {MARKS['*']}; {bands}", n_columns=6)


def _draw(axes: Any, arms: Sequence[Curves]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter

    by_name, lowest, highest = {arm.name: arm for arm in arms}, 99.0, 100.2
    widest: list[float] = []
    for name, (color, marker, line) in _LOOKS.items():
        if name not in by_name:
            continue
        own = list(by_name[name].by_unit.values())
        ends = common_sizes(own, 2)
        if not ends.size:
            continue
        inner = np.mean([curve.log2_bytes for curve in own], axis=0)[1:-1]
        sizes = np.unique(np.clip(np.concatenate([ends, inner]), *ends))
        scores = np.maximum([at_sizes(curve, sizes) for curve in own], _WORST)
        kilobytes, mean = np.exp2(sizes) / 1000, np.mean(scores, axis=0)
        axes.plot(kilobytes, mean, color=color, marker=marker, ls=line, lw=1.5, ms=5, mec="white",
                  mew=0.5, label=name, zorder=3)  # fmt: skip
        if len(own) > 1:
            teachers = [unit.teacher for unit in by_name[name].by_unit]
            low, high = np.quantile(_less_teachers(scores, teachers), [0.1, 0.9], axis=0)
            axes.fill_between(kilobytes, low, high, color=color, alpha=0.15, lw=0, zorder=2)
        lowest, highest = min(lowest, float(mean.min())), max(highest, float(mean.max()))
        widest += [kilobytes[0], kilobytes[-1]]
    axes.axhline(100.0, color="black", ls="-.", lw=0.9, zorder=1, label="teacher")
    axes.set_yscale("function", functions=(_stretch, _unstretch))
    axes.yaxis.set_major_locator(FixedLocator(_TICKS))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylim(max(lowest - 0.15 * (100.0 - lowest), _WORST), highest + 0.3)
    if widest:
        show_sizes(axes, min(widest), max(widest), pad=1.04)
    tidy(axes, "file size (kB)", f"{PRIMARY.name} (0 = null, 100 = teacher)")


def _less_teachers(scores: np.ndarray, teachers: Sequence[str]) -> np.ndarray:
    """``scores[seeds, sizes]`` with the mean of every teacher's seeds moved to that of all."""
    _, group = np.unique(teachers, return_inverse=True)
    means = np.array([scores[group == i].mean(axis=0) for i in range(group.max() + 1)])
    return scores - means[group] + scores.mean(axis=0)


def _stretch(score: np.ndarray) -> np.ndarray:
    return np.arcsinh((score - 100.0) / _UNIT)


def _unstretch(height: np.ndarray) -> np.ndarray:
    return 100.0 + _UNIT * np.sinh(height)
