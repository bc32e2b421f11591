"""The teacher beside the classical receivers over SNR: is the model worth compressing at all?"""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from wfm_jax.evaluate.frames import TestSet
from wfm_jax.evaluate.scores import Scored
from wfm_jax.evaluate.snr_loss import log_ber, read_snr_db
from wfm_jax.sweep.measure import load_scores

RECEIVERS = ("teacher", "ls", "lmmse", "genie")


class Line(NamedTuple):
    """One SNR and one constellation.

    Attributes:
        snr_db: nominal SNR.
        bits_per_symbol: the constellation.
        ber: bit error rate by receiver, in the order of :data:`RECEIVERS`.
        behind_lmmse_db: extra SNR the teacher needs to reach what LMMSE reaches at this SNR, read
            from LMMSE's own curve; negative where the teacher is better.
        amc_accuracy: of the teacher, and of the likelihood classifier behind LMMSE.
    """

    snr_db: float
    bits_per_symbol: int
    ber: tuple[float, ...]
    behind_lmmse_db: float
    amc_accuracy: tuple[float, ...]


def yardstick(folder: str | os.PathLike, test_set: TestSet) -> list[Line]:
    """Lines for every SNR and constellation, from the frame scores that a run saved."""
    scored = {name: load_scores(folder, name, test_set) for name in RECEIVERS}
    snrs_db, lines = scored["teacher"].snrs_db, []
    for index, m in enumerate(test_set.link.bits_per_symbol):
        curves = {name: _curve(scored[name], index) for name in RECEIVERS}
        own = [
            float(read_snr_db(curves["lmmse"], snrs_db, curves["teacher"][:, i])[0])
            for i in range(len(snrs_db))
        ]
        for i, snr_db in enumerate(snrs_db):
            accuracy = tuple(
                float(np.mean(scored[name].at(snr_db).amc_correct)) for name in ("teacher", "lmmse")
            )
            ber = tuple(float(np.exp(curves[name][0, i])) for name in RECEIVERS)
            lines.append(Line(snr_db, m, ber, snr_db - own[i], accuracy))
    return lines


def print_yardstick(
    lines: Sequence[Line], console: Console, constellations: Sequence[int] = (4, 6)
) -> None:
    """Prints BER of 16- and 64-QAM, the distance to LMMSE, and accuracy, a row an SNR."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.title = "The teacher beside classical receivers: bit error rates over SNR"
    columns: list[str] = ["SNR\ndB"]
    for m in constellations:
        columns += [f"{2**m}-QAM\nteacher", "\nLS", "\nLMMSE", "\ngenie", "behind\nLMMSE"]
    for heading in [*columns, "AMC %\nteacher", "AMC %\nlikel."]:
        table.add_column(heading, justify="right", no_wrap=True)
    by_snr: dict[float, dict[int, Line]] = {}
    for line in lines:
        by_snr.setdefault(line.snr_db, {})[line.bits_per_symbol] = line
    for snr_db, of in by_snr.items():
        cells: list[Any] = [f"{snr_db:g}"]
        for m in constellations:
            cells += [
                *(f"{ber:.4f}".lstrip("0") for ber in of[m].ber),
                f"{of[m].behind_lmmse_db:+.2f}",
            ]
        accuracy = of[constellations[0]].amc_accuracy
        table.add_row(*cells, *(f"{100 * share:.1f}" for share in accuracy))
    console.print(table)


def _curve(scored: Scored, modulation: int) -> np.ndarray:
    """Log BER of one constellation over SNR, float64[1, n_snr]."""
    of = scored.test_set.modulation == modulation
    weights = np.ones((1, int(of.sum())))
    return log_ber(scored.scores.bit_errors[:, of], scored.scores.n_bits[:, of], weights)
