"""The picture of a model on a recording: the spectrogram, and below it the answers over time."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from wfm_jax.results import atomic
from wfm_jax.results.naming import Row, numbers
from wfm_jax.results.receiver_looks import new_figure, tidy
from wfm_jax.results.recording_table import time_unit, views_of, views_words

_COLORS = ("#E69F00", "#0072B2", "#009E73", "#CC79A7")
_PANELS = {  # column: its label on the axis, the column of its label, what the axis spans at least
    "snr_db": ("SNR (dB)", "true_snr_db", (0.0, 30.0)),
    "k_db": ("K (dB)", "true_k_db", (-5.0, 15.0)),
    "los_probability": ("P(LOS)", "true_los", (-0.08, 1.08)),
    "delay_spread_ns": ("spread (ns)", "true_delay_spread_ns", (0.0, 50.0)),
}


class Spectrogram(NamedTuple):
    """What is shown on top: ``decibel`` float32[n_frequencies, n_times], in rising order of
    frequency, over ``rate_hz``, from the recording's first sample to ``end_s``."""

    decibel: np.ndarray
    rate_hz: float
    end_s: float


def recording_picture(
    rows: Sequence[Row], spectrogram: Spectrogram, title: str, path: str | os.PathLike
) -> None:
    """Draws spectrogram and answers over time as a PNG, in one step.

    Args:
        rows: columns of ``recording_rows.SEGMENT_COLUMNS``.
        spectrogram: of what was read.
        title: above the picture.
        path: of the PNG.
    """
    figure = new_figure(10.0, 10.0)
    unit, factor = time_unit(spectrogram.end_s)
    panels = figure.subplots(
        2 + len(_PANELS), 1, sharex=True, height_ratios=(2.0, 1.5, 1.0, 1.0, 1.0, 1.0)
    )
    _draw_spectrogram(figure, panels[0], spectrogram, factor)
    _draw_modulation(panels[1], rows, factor)
    for axes, (column, (label, truth, (low, high))) in zip(
        panels[2:], _PANELS.items(), strict=True
    ):
        for views, color in zip(views_of(rows), _COLORS, strict=False):
            of = [row for row in rows if row["views"] == views]
            _draw(axes, of, column, factor, color=color, label=f"from {views_words(views)}")
        _draw_labels(axes, rows, truth, factor)
        tidy(axes, "", label)
        bottom, top = axes.get_ylim()
        axes.set_ylim(min(bottom, low), max(top, high))
    panels[-1].set_xlabel(f"time ({unit})")
    panels[0].set_xlim(0.0, factor * spectrogram.end_s)
    handles, labels = panels[2].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=4, frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11, x=0.02, ha="left")
    figure.align_ylabels(panels)
    figure.tight_layout(rect=(0, 0.03, 1, 1), h_pad=0.6)
    # The colour bar takes its room from one panel; the others keep the same width.
    for axes in panels[1:]:
        box, top = axes.get_position(), panels[0].get_position()
        axes.set_position((top.x0, box.y0, top.width, box.height))
    with atomic.replacing(path) as beside:
        figure.savefig(beside, format="png")


def _draw_spectrogram(figure: Any, axes: Any, shown: Spectrogram, factor: float) -> None:
    top = float(np.percentile(shown.decibel, 99.5))
    half = 0.5e-6 * shown.rate_hz
    image = axes.imshow(
        shown.decibel, origin="lower", aspect="auto", interpolation="nearest", cmap="magma",
        extent=(0.0, factor * shown.end_s, -half, half), vmin=top - 50.0, vmax=top,
    )  # fmt: skip
    axes.set_ylabel("frequency (MHz)")
    figure.colorbar(image, ax=axes, pad=0.01, fraction=0.03, label="dBFS")


def _draw_modulation(axes: Any, rows: Sequence[Row], factor: float) -> None:
    """A marker at each segment's modulation, the fainter the less likely."""
    points = sorted(
        {row[name] for row in rows for name in ("modulation", "true_modulation")} - {None}
    )
    place = {value: i for i, value in enumerate(points)}
    subsets = views_of(rows)
    for shift, views, color in zip(_shifts(len(subsets)), subsets, _COLORS, strict=False):
        of = [row for row in rows if row["views"] == views]
        at = [place[row["modulation"]] + shift for row in of]
        axes.scatter(
            factor * numbers(of, "start_s"), at, s=14, color=color, lw=0,
            alpha=np.clip(numbers(of, "modulation_probability"), 0.15, 1.0),
        )  # fmt: skip
    true = [row for row in rows if row["views"] == subsets[0] and row["true_modulation"]]
    axes.scatter(factor * numbers(true, "start_s"), [place[row["true_modulation"]] for row in true],
                 marker="_", s=40, color="black", lw=1.0)  # fmt: skip
    axes.set_yticks(range(len(points)), [f"{value}-QAM" for value in points])
    axes.set_ylim(-0.6, len(points) - 0.4)
    tidy(axes, "", "modulation")


def _draw(axes: Any, rows: Sequence[Row], column: str, factor: float, **look: Any) -> None:
    value = numbers(rows, column)
    if column == "k_db":
        value = np.where(numbers(rows, "los_probability") >= 0.5, value, np.nan)
    axes.plot(factor * numbers(rows, "start_s"), value, "o", ms=3, mew=0, alpha=0.8, **look)


def _draw_labels(axes: Any, rows: Sequence[Row], column: str, factor: float) -> None:
    of = [row for row in rows if row["views"] == rows[0]["views"]]
    value = numbers(of, column)
    if np.isfinite(value).any():
        axes.plot(factor * numbers(of, "start_s"), value, ls="none", marker="_", ms=6, mew=1.0,
                  color="black", label="label")  # fmt: skip


def _shifts(n: int) -> np.ndarray:
    """So that what lies at one height is seen apart."""
    return np.linspace(0.2, -0.2, n) if n > 1 else np.array([0.2])
