"""The picture of receivers under conditions they were not made for."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from wfm_jax.results import atomic
from wfm_jax.results.condition_rows import RECEIVERS, row_of
from wfm_jax.results.naming import Row, number
from wfm_jax.results.receiver_looks import LOOKS, new_figure

_LOOKS = {  # colour and marker; hollow: made for the condition
    "model": (LOOKS["model"].color, LOOKS["model"].marker, True),
    "lmmse": (LOOKS["lmmse"].color, LOOKS["lmmse"].marker, True),
    "lmmse_interpolate": ("#D55E00", "D", True),
    "lmmse_matched": (LOOKS["lmmse"].color, LOOKS["lmmse"].marker, False),
    "lmmse_matched_interpolate": ("#D55E00", "D", False),
    "genie": (LOOKS["genie"].color, LOOKS["genie"].marker, True),
}
_NOTE = (
    "loss: SNR more than the receiver itself needs for the same bit error rate on the link it was "
    "made for; bars: 95 % intervals, frames resampled\n"
    "arrows: beyond the axis; no mark: beyond the receiver's curve, or without a wrong bit"
)
_REACH_DB = 6.0


def condition_picture(
    rows: Sequence[Row], path: str | os.PathLike, *, constellation: int = 64
) -> None:
    """Draws the loss of every receiver under every condition as a PNG, in one step; a panel an SNR.

    Args:
        rows: columns of ``condition_rows.COLUMNS``.
        path: of the PNG.
        constellation: points of the square QAM; the largest there is where it has no rows.
    """
    known = {row["constellation"] for row in rows} - {None}
    size = constellation if constellation in known else max(known)
    words = {row["condition"]: row["words"] for row in rows}
    snrs_db = sorted({row["snr_db"] for row in rows})
    receivers = [name for name in RECEIVERS if any(row["receiver"] == name for row in rows)]
    height = 0.52 * len(words) + 2.0
    figure = new_figure(2.2 + 4.4 * len(snrs_db), height)
    panels = figure.subplots(1, len(snrs_db), sharey=True, squeeze=False)[0]
    for axes, snr_db in zip(panels, snrs_db, strict=True):
        for i, name in enumerate(receivers):
            at = np.arange(len(words)) + 0.11 * (i - 0.5 * (len(receivers) - 1))
            of = [row_of(rows, condition, name, snr_db, size) for condition in words]
            _draw(axes, at, of, name)
        axes.axvline(0.0, color="0.6", lw=0.8, zorder=1)
        axes.set_yticks(range(len(words)), list(words.values()))
        for line in np.arange(len(words) - 1) + 0.5:
            axes.axhline(line, color="0.93", lw=0.8, zorder=0)
        axes.set_ylim(len(words) - 0.5, -0.5)
        axes.set_title(f"{snr_db:g} dB, {size}-QAM", loc="left", fontsize=11)
        axes.set_xlabel("loss (dB)")
        axes.grid(axis="x", color="0.92", zorder=0)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    figure.legend(
        handles=[_handle(name) for name in receivers], loc="lower center", ncols=3,
        frameon=False, fontsize=9, bbox_to_anchor=(0.5, 0.42 / height),
    )  # fmt: skip
    figure.text(0.5, 0.1 / height, _NOTE, ha="center", fontsize=8, color="0.4")
    figure.tight_layout(rect=(0, 0.95 / height, 1, 1))
    with atomic.replacing(path) as beside:
        figure.savefig(beside, format="png")


def _draw(axes: Any, at: np.ndarray, rows: Sequence[Row], name: str) -> None:
    color, marker, filled = _LOOKS[name]
    value, low, high = (
        np.array([number(row, column) for row in rows])
        for column in ("loss_db", "loss_db_low", "loss_db_high")
    )
    shown = np.clip(value, -_REACH_DB, _REACH_DB)
    inside = value == shown
    axes.hlines(
        at[inside], np.maximum(low, -_REACH_DB)[inside], np.minimum(high, _REACH_DB)[inside],
        color=color, lw=0.9, alpha=0.55, zorder=2,
    )  # fmt: skip
    face = color if filled else "white"
    axes.plot(shown[inside], at[inside], marker, ls="", color=color, mfc=face, ms=5, zorder=3)
    for end, arrow in ((-_REACH_DB, "<"), (_REACH_DB, ">")):
        beyond = np.isfinite(value) & (np.sign(end) * value > _REACH_DB)
        axes.plot(shown[beyond], at[beyond], arrow, ls="", color=color, ms=6, zorder=3)
        for x, y in zip(value[beyond], at[beyond], strict=True):
            axes.annotate(f"{x:+.0f}", (end, y), (-np.sign(end) * 12, 0), fontsize=7,
                          textcoords="offset points", ha="center", va="center",
                          color=color)  # fmt: skip


def _handle(name: str) -> Any:
    from matplotlib.lines import Line2D

    color, marker, filled = _LOOKS[name]
    face = color if filled else "white"
    return Line2D([], [], color=color, marker=marker, mfc=face, ls="", label=RECEIVERS[name])
