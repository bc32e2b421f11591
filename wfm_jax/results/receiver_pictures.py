"""Pictures of a model among receivers over SNR: bit error rates, modulation, channel."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from wfm_jax.results.evaluation_rows import constellations, select
from wfm_jax.results.receiver_looks import (
    LOOKS,
    draw_curve,
    draw_receivers,
    finish,
    more_look,
    new_figure,
    tidy,
)
from wfm_jax.results.rows import Row

SNR = "SNR (dB)"
_OURS = ("likelihood_lmmse", "likelihood_genie")
_NOTE = "bars: 95 % intervals over frames; below, paired with LMMSE on the same frames"
_ON_THE_RIGHT = (
    "bars: 95 % intervals over frames; on the right the model's, paired with {} on the same frames"
)


def ber_picture(found: Sequence[Row], path: str | os.PathLike) -> None:
    """Draws bit error rates over SNR, a column a constellation; below, the distance to LMMSE in dB.

    Args:
        found: rows of ``evaluation_rows.COLUMNS``.
        path: of the PNG.
    """
    orders = constellations(found)
    figure = new_figure(3.4 * len(orders) + 0.4, 6.2)
    panels = figure.subplots(2, len(orders), squeeze=False, sharex=True, height_ratios=(3, 2))
    shown = ("ls", "lmmse", "lmmse_true", "data_aided", "genie", "model")
    for i, m in enumerate(orders):
        top, below = panels[:, i]
        curves = {name: select(found, name, "ber", bits_per_symbol=m) for name in shown}
        draw_receivers(top, curves, positive=True)
        top.set_yscale("log")
        top.set_title(f"{2**m}-QAM", fontsize=11)
        tidy(top, "", "bit error rate" if not i else "")
        curves = {name: select(found, name, "behind_lmmse_db", bits_per_symbol=m) for name in shown}
        below.axhline(0.0, color=LOOKS["lmmse"].color, lw=1.2)
        draw_receivers(below, curves)
        tidy(below, SNR, "behind LMMSE (dB)" if not i else "")
    limits = _limits([select(found, name, "behind_lmmse_db", bits_per_symbol=m)
                      for m in orders for name in ("model", "genie")])  # fmt: skip
    for below in panels[1]:
        below.set_ylim(*limits)
    finish(figure, path, note=_NOTE)


def accuracy_picture(
    found: Sequence[Row], path: str | os.PathLike, extra: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Draws the accuracy of modulation classification over SNR, and its distance to the likelihood
    classifier behind LMMSE.

    Args:
        found: rows of ``evaluation_rows.COLUMNS``.
        path: of the PNG.
        extra: other classifiers on the same link, a dict a point: ``receiver`` (its name),
            ``snr_db``, ``accuracy`` (0 to 1), and optionally ``params`` (how many) and ``ci95``.
            Those called ``likelihood_lmmse`` and ``likelihood_genie`` are there already.

    Raises:
        ValueError: a point of ``extra`` without name, SNR or accuracy.
    """
    figure = new_figure(10.4, 4.8)
    left, right = figure.subplots(1, 2)
    for name, label in (
        ("genie", "likelihood, channel known (ceiling)"),
        ("lmmse", "likelihood behind LMMSE"),
        ("model", "model"),
    ):
        curve = select(found, name, "amc_accuracy")
        draw_curve(left, curve, LOOKS[name], label, factor=100.0)
    likelihood = {row["snr_db"]: row["value"] for row in select(found, "lmmse", "amc_accuracy")}
    for i, (label, curve) in enumerate(_others(extra).items()):
        draw_curve(left, curve, more_look(i), label, factor=100.0)
        beside = [
            {**row, "value": row["value"] - likelihood[row["snr_db"]]}
            for row in curve
            if row["snr_db"] in likelihood
        ]
        if beside:
            draw_curve(right, beside, more_look(i), label, factor=100.0)
    right.axhline(0.0, color=LOOKS["lmmse"].color, lw=1.2)
    curve = select(found, "model", "amc_minus_likelihood")
    draw_curve(right, curve, LOOKS["model"], "model", factor=100.0)
    tidy(left, SNR, "modulations told rightly (%)")
    tidy(right, SNR, "points above the likelihood behind LMMSE")
    finish(figure, path, note=_ON_THE_RIGHT.format("the likelihood"), n_columns=4)


def nmse_picture(found: Sequence[Row], path: str | os.PathLike) -> None:
    """Draws the error of the channel estimate over SNR, and its distance to LMMSE.

    Args:
        found: rows of ``evaluation_rows.COLUMNS``.
        path: of the PNG.
    """
    figure = new_figure(10.4, 4.8)
    left, right = figure.subplots(1, 2)
    shown = ("lmmse_bound", "ls", "lmmse", "lmmse_true", "data_aided", "model")
    curves = {name: select(found, name, "nmse_db") for name in shown}
    draw_receivers(left, curves)
    lmmse = {row["snr_db"]: row["value"] for row in curves["lmmse"]}
    right.axhline(0.0, color=LOOKS["lmmse"].color, lw=1.2)
    for name in ("lmmse_bound", "ls", "lmmse_true", "data_aided"):
        beside = [
            {**row, "value": row["value"] - lmmse[row["snr_db"]], "ci95": None}
            for row in curves[name]
        ]
        draw_receivers(right, {name: beside})
    draw_receivers(right, {"model": select(found, "model", "nmse_over_lmmse_db")})
    tidy(left, SNR, "channel NMSE (dB)")
    tidy(right, SNR, "channel NMSE over that of LMMSE (dB)")
    finish(figure, path, note=_ON_THE_RIGHT.format("LMMSE"), n_columns=6)


def _others(extra: Sequence[Mapping[str, Any]]) -> dict[str, list[Row]]:
    """Curves of other classifiers by their labels."""
    curves: dict[str, list[Row]] = {}
    for point in extra:
        try:
            name, snr_db = str(point["receiver"]), float(point["snr_db"])
            accuracy = float(point["accuracy"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"a classifier's point needs receiver, snr_db and accuracy, got {dict(point)}"
            ) from error
        if name in _OURS:
            continue
        label = f"{name} ({_count(point['params'])})" if point.get("params") else name
        row = {"snr_db": snr_db, "value": accuracy, "ci95": point.get("ci95")}
        curves.setdefault(label, []).append(row)
    return {label: sorted(curve, key=lambda row: row["snr_db"]) for label, curve in curves.items()}


def _count(params: float) -> str:
    return f"{params / 1e6:.3g}M" if params >= 1e6 else f"{params / 1e3:.3g}k"


def _limits(curves: Sequence[Sequence[Row]]) -> tuple[float, float]:
    """An axis that shows these curves whole, within -4 and 8 dB."""
    shown = [row["value"] for curve in curves for row in curve if row["value"] is not None]
    low, high = min([-1.0, *shown]), max([1.0, *shown])
    return max(low - 0.4, -4.0), min(high + 0.4, 8.0)
