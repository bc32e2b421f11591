"""The picture of error-rate curves: measured points with intervals, closed forms as lines."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from wfm_jax.results import atomic
from wfm_jax.results.naming import Row, numbers

AXES = {
    "snr_db": "SNR of a resource element (dB)",
    "ebn0_db": "Eb/N0 of uncoded bits (dB)",
    "ebn0_charged_db": "Eb/N0, pilots and prefix charged (dB)",
}
SCORES = {
    "ber": "bit error rate",
    "ser": "symbol error rate",
    "gmi": "GMI (bits per symbol)",
    "fer": "frame error rate",
}
_COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")  # Okabe and Ito
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_NOTE = "bars: 95 % intervals over frames; points without an error are not drawn"


class _Curve(NamedTuple):
    """Rows of one scenario, constellation and receiver in rising order of SNR, and its looks."""

    rows: list[Row]
    color: str
    marker: str
    filled: bool


def ber_picture(
    rows: Sequence[Row],
    path: str | os.PathLike,
    *,
    scores: Sequence[str] = ("ber", "ser", "gmi"),
    axis: str = "snr_db",
) -> None:
    """Draws curves as a PNG, in one step: a row of panels for each scenario, a panel a score.

    Colours tell constellations apart (receivers, where there is one constellation), markers
    receivers. Solid lines are closed forms for a known channel, interpolated between the points;
    dashed lines join a receiver's points. Rows of several runs are drawn
    together if those of the added ones carry a ``run``: their markers are hollow.

    Args:
        rows: columns of ``ber_rows.COLUMNS``, and optionally ``run``, a name.
        path: of the PNG.
        scores: panels, of ``SCORES``.
        axis: column on the horizontal axis, of ``AXES``.

    Raises:
        ValueError: an unknown score or axis.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    for given, known in ((scores, SCORES), ([axis], AXES)):
        if unknown := [name for name in given if name not in known]:
            raise ValueError(f"one of {', '.join(known)} is needed, got {unknown[0]!r}")
    scenarios = list(dict.fromkeys(row["scenario"] for row in rows)) or [""]
    height = 3.6 * len(scenarios) + 1.1
    figure = Figure(figsize=(4.4 * len(scores) + 0.4, height), dpi=130)
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(scenarios), len(scores), squeeze=False)
    curves = _curves(rows)
    for line, scenario in zip(panels, scenarios, strict=True):
        for axes, score in zip(line, scores, strict=True):
            drawn = [curve for curve in curves if curve.rows[0]["scenario"] == scenario]
            _draw(axes, drawn, score, axis)
            axes.set_title(scenario if score == scores[0] else "", loc="left", fontsize=11)
            axes.set_xlabel(AXES[axis] if scenario == scenarios[-1] else "")
    handles = _legend(curves)
    figure.legend(
        handles=handles, loc="lower center", ncols=min(len(handles) or 1, 3 * len(scores)),
        frameon=False, fontsize=9, bbox_to_anchor=(0.5, 0.24 / height),
    )  # fmt: skip
    figure.text(0.5, 0.1 / height, _NOTE, ha="center", fontsize=8, color="0.4")
    figure.tight_layout(rect=(0, 0.85 / height, 1, 1))
    with atomic.replacing(path) as beside:
        figure.savefig(beside, format="png")


def _curves(rows: Sequence[Row]) -> list[_Curve]:
    """Curves with their looks: one colour a constellation, one marker a receiver."""
    color_of = _color_column(rows)
    colors = _looks(list(dict.fromkeys(row[color_of] for row in rows)), _COLORS)
    markers = _looks(list(dict.fromkeys(row["receiver"] for row in rows)), _MARKERS)
    found: dict[tuple, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["snr_db"]):
        identity = (row.get("run"), row["scenario"], row["constellation"], row["receiver"])
        found.setdefault(identity, []).append(row)
    return [
        _Curve(members, colors[members[0][color_of]], markers[receiver], run is None)
        for (run, _, _, receiver), members in found.items()
    ]


def _color_column(rows: Sequence[Row]) -> str:
    return "constellation" if len({row["constellation"] for row in rows}) > 1 else "receiver"


def _looks(values: Sequence, looks: Sequence[str]) -> dict:
    return {value: looks[i % len(looks)] for i, value in enumerate(values)}


def _draw(axes: Any, curves: Sequence[_Curve], score: str, axis: str) -> None:
    lowest, colored = 1.0, len({curve.rows[0]["constellation"] for curve in curves}) > 1
    for curve in curves:
        level, value = numbers(curve.rows, axis), numbers(curve.rows, score)
        low, high = numbers(curve.rows, f"{score}_low"), numbers(curve.rows, f"{score}_high")
        seen = np.isfinite(value) & ((score == "gmi") | (value > 0.0))
        if seen.any():
            lowest = min(lowest, value[seen].min())
        theory = numbers(curve.rows, f"{score}_theory")
        color = curve.color if colored else "0.3"
        axes.plot(*_smooth(level, theory, score), color=color, lw=1.2, zorder=2)
        axes.plot(
            level[seen], value[seen], color=curve.color, lw=0.7, ls=(0, (3, 3)), alpha=0.7, zorder=2
        )
        axes.errorbar(
            level[seen], value[seen], np.maximum([value - low, high - value], 0.0)[:, seen],
            fmt=curve.marker, color=curve.color, ms=4.5, mew=0.9, elinewidth=0.9, zorder=3,
            mfc=curve.color if curve.filled else "white", alpha=0.9,
        )  # fmt: skip
    axes.set_ylabel(SCORES[score])
    axes.grid(color="0.92", which="major", zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if score != "gmi":
        axes.set_yscale("log")
        axes.set_ylim(10.0 ** np.floor(np.log10(lowest / 1.3)), 1.5)
    if not curves:
        axes.text(0.5, 0.5, "no finished point", ha="center", transform=axes.transAxes)


def _smooth(level: np.ndarray, value: np.ndarray, score: str) -> tuple[np.ndarray, np.ndarray]:
    """A line through the points without overshoot (Fritsch and Carlson 1980), as it is drawn."""
    from scipy.interpolate import PchipInterpolator

    known = np.isfinite(value) & ((score == "gmi") | (value > 0.0))
    if known.sum() < 3:
        return level[known], value[known]
    level, value = level[known], value[known] if score == "gmi" else np.log10(value[known])
    dense = np.linspace(level[0], level[-1], 200)
    drawn = PchipInterpolator(level, value)(dense)
    return dense, drawn if score == "gmi" else 10.0**drawn


def _legend(curves: Sequence[_Curve]) -> list[Any]:
    from matplotlib.lines import Line2D

    handles = {}
    by_size = sorted(curves, key=lambda curve: curve.rows[0]["constellation"])
    several = (
        bool(curves)
        and by_size[0].rows[0]["constellation"] < (by_size[-1].rows[0]["constellation"])
    )
    for curve in by_size:
        name, color = f"{curve.rows[0]['constellation']}-QAM", curve.color if several else "0.3"
        handles.setdefault(name, Line2D([], [], color=color, lw=4, label=name))
    for curve in curves:
        row, color = curve.rows[0], "0.3" if several else curve.color
        name = row["receiver"] + (f" ({row['run']})" if row.get("run") else "")
        fill = color if curve.filled else "white"
        handles.setdefault(
            name, Line2D([], [], color=color, ls="", marker=curve.marker, mfc=fill, label=name)
        )
    if curves:
        handles["theory"] = Line2D([], [], color="0.3", lw=1.2, label="channel known, closed form")
    return list(handles.values())
