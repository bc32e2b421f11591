"""The picture of what a model says of the link: K, SNR, delay spread, Doppler, line of sight."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from wfm_jax.results.evaluation_rows import k_bins, select, snrs_db, values
from wfm_jax.results.receiver_looks import LOOKS, draw_receivers, finish, new_figure, tidy
from wfm_jax.results.rows import Row

_PANELS = (  # metric, words, factor
    ("k_mae_db", "K-factor error (dB)", 1.0),
    ("snr_mae_db", "SNR error (dB)", 1.0),
    ("delay_spread_mae_ns", "delay spread error (ns)", 1.0),
    ("doppler_mae_hz", "Doppler error (Hz)", 1.0),
    ("los_accuracy", "line of sight told rightly (%)", 100.0),
)
_SHADES = ("#9ECAE1", "#4292C6", "#08519C")
_WANTED_DB = (10.0, 20.0, 30.0)


def link_state_picture(found: Sequence[Row], path: str | os.PathLike) -> None:
    """Draws mean absolute errors, and the accuracy of the LOS flag: above over SNR beside the best
    constant answer, below over K bins at 10, 20 and 30 dB (or the nearest that were measured).

    Args:
        found: rows of ``evaluation_rows.COLUMNS``.
        path: of the PNG.
    """
    figure = new_figure(3.2 * len(_PANELS), 6.6)
    panels = figure.subplots(2, len(_PANELS))
    levels, bins = snrs_db(found), k_bins(found)
    shown = sorted({min(levels, key=lambda at: abs(at - wanted)) for wanted in _WANTED_DB})
    for (top, below), (metric, words, factor) in zip(panels.T, _PANELS, strict=True):
        curves = {name: select(found, name, metric) for name in ("constant", "model")}
        draw_receivers(top, curves, factor=factor)
        tidy(top, "SNR (dB)", words)
        for snr_db, shade in zip(shown, _SHADES, strict=False):
            _draw_bins(below, found, metric, bins, snr_db, factor, shade)
        tidy(below, "K-factor (dB)", words)
        below.set_xticks(range(len(bins)), [_short(name) for name in bins], fontsize=7)
        for axes in (top, below):
            if factor == 1.0:
                axes.set_ylim(bottom=0.0)
    finish(figure, path, note="bars: 95 % intervals over frames; the best constant is the median "
           "of the test frames' own labels (the more frequent flag)")  # fmt: skip


def _draw_bins(
    axes: Any,
    found: Sequence[Row],
    metric: str,
    bins: Sequence[str],
    snr_db: float,
    factor: float,
    color: str,
) -> None:
    curves = [select(found, "model", metric, k_bin=k_bin) for k_bin in bins]
    value, width = (
        factor * np.array([values(curve, [snr_db], column)[0] for curve in curves])
        for column in ("value", "ci95")
    )
    axes.errorbar(
        range(len(bins)), value, np.nan_to_num(width), color=color, marker=LOOKS["model"].marker,
        ms=4, lw=1.2, elinewidth=0.8, label=f"model at {snr_db:g} dB",
    )  # fmt: skip


def _short(k_bin: str) -> str:
    return k_bin.removesuffix(" dB")
