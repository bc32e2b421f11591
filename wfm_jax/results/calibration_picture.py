"""The picture of whether LLRs mean what they say."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from wfm_jax.results.evaluation_rows import RECEIVERS, constellations, snrs_db
from wfm_jax.results.naming import numbers
from wfm_jax.results.receiver_looks import LOOKS, finish, new_figure, tidy
from wfm_jax.results.rows import Row

WANTED_DB = (10.0, 20.0)
_TICKS = (-9.2102, -4.5951, 0.0, 4.5951, 9.2102)
_NAMES = (".0001", ".01", ".5", ".99", ".9999")
_REACH = 13.0


def calibration_picture(found: Sequence[Row], path: str | os.PathLike) -> None:
    """Draws how often a bit is one over how often its LLR says so, a column a constellation and a
    row an SNR (10 and 20 dB, or the nearest that were measured).

    Both axes are stretched as log odds, so that sure bits are seen too. On the diagonal LLRs are
    calibrated; a curve flatter than it claims too much.

    Args:
        found: rows of ``evaluation_rows.CALIBRATION_COLUMNS``.
        path: of the PNG.
    """
    orders, levels = constellations(found), snrs_db(found)
    shown = sorted({min(levels, key=lambda at: abs(at - wanted)) for wanted in WANTED_DB})
    figure = new_figure(3.0 * len(orders) + 0.4, 3.0 * len(shown) + 0.8)
    panels = figure.subplots(len(shown), len(orders), squeeze=False, sharex=True, sharey=True)
    for line, snr_db in zip(panels, shown, strict=True):
        for axes, m in zip(line, orders, strict=True):
            at = [r for r in found if r["snr_db"] == snr_db and r["bits_per_symbol"] == m]
            _draw(axes, at)
            tidy(axes, "P(1) by the LLR" if snr_db == shown[-1] else "",
                 "share of ones" if m == orders[0] else "")  # fmt: skip
            axes.set_title(f"{2**m}-QAM, {snr_db:g} dB", fontsize=10)
    finish(figure, path, note="a point a bin of the LLR with ten wrong bits or more; bars: 95 % "
           "intervals over frames; flatter than the diagonal: overconfident")  # fmt: skip


def _draw(axes: Any, at: Sequence[Row]) -> None:
    axes.plot([-_REACH, _REACH], [-_REACH, _REACH], color="0.6", lw=0.9, zorder=1)
    for name in dict.fromkeys(row["receiver"] for row in at):
        told = [r for r in at if r["receiver"] == name and r["observed_low"] is not None]
        claimed, observed, low, high = (
            numbers(told, column)
            for column in ("claimed", "observed", "observed_low", "observed_high")
        )
        bars = np.maximum([observed - low, high - observed], 0.0)
        look = LOOKS[name]
        axes.errorbar(
            claimed, observed, bars, color=look.color, marker=look.marker, ls=look.line, lw=1.0,
            ms=4, mew=0.5, mec="white", elinewidth=0.8, label=RECEIVERS[name],
            zorder=3 if name == "model" else 2,
        )  # fmt: skip
    axes.set_xticks(_TICKS, _NAMES)
    axes.set_yticks(_TICKS, _NAMES)
    axes.set_xlim(-_REACH, _REACH)
    axes.set_ylim(-_REACH, _REACH)
