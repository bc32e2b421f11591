"""An evaluation as text of at most 100 columns: a table a question, a row an SNR."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wfm_jax.results.evaluation_rows import constellations, k_bins, select, snrs_db, values
from wfm_jax.results.naming import DASH
from wfm_jax.results.rows import Row

WIDTH = 100
REFERENCE_SNR_DB = 20.0

Cells = Callable[[float], str]
"""What a column shows at an SNR."""

_LINK_STATE = (  # metric, heading, factor, digits
    ("k_mae_db", "K error\ndB", 1.0, 2),
    ("snr_mae_db", "SNR error\ndB", 1.0, 2),
    ("los_accuracy", "LOS\n%", 100.0, 1),
    ("delay_spread_mae_ns", "delay spread\nerror, ns", 1.0, 1),
    ("doppler_mae_hz", "Doppler\nerror, Hz", 1.0, 2),
)


def print_read_out(found: Sequence[Row], console: Any) -> None:
    """Prints the tables: bits, modulation and channel, LLRs, link state, and all over K.

    Args:
        found: rows of ``evaluation_rows.COLUMNS``.
        console: a ``rich.console.Console``.
    """
    _print_bits(found, console)
    _print_modulation_and_channel(found, console)
    _print_claims(found, console)
    _print_link_state(found, console)
    _print_over_k(found, console)


def _print_bits(found: Sequence[Row], console: Any) -> None:
    columns = []
    for m in constellations(found):
        curve = select(found, "model", "behind_lmmse_db", bits_per_symbol=m)
        heading = "behind LMMSE\n" if not columns else "\n"
        columns.append((f"{heading}{2**m}-QAM", _with_half_width(curve)))
    for i, m in enumerate(constellations(found)):
        curve = select(found, "model", "behind_genie_db", bits_per_symbol=m)
        heading = "behind genie\n" if not i else "\n"
        columns.append((f"{heading}{2**m}-QAM", _number(curve, "+.2f")))
    title = "Extra SNR in dB for the bit error rate of LMMSE, and of a known channel"
    _print(title, snrs_db(found), columns, console)


def _print_modulation_and_channel(found: Sequence[Row], console: Any) -> None:
    def of(receiver: str, metric: str) -> list[Row]:
        return select(found, receiver, metric)

    columns = [
        ("AMC %\nmodel", _number(of("model", "amc_accuracy"), ".1f", 100.0)),
        ("\nlikel.", _number(of("lmmse", "amc_accuracy"), ".1f", 100.0)),
        ("\nceiling", _number(of("genie", "amc_accuracy"), ".1f", 100.0)),
        ("model - likelihood\npoints", _with_ends(of("model", "amc_minus_likelihood"), 1, 100.0)),
        ("NMSE dB\nmodel", _number(of("model", "nmse_db"), ".1f")),
        ("\nLMMSE", _number(of("lmmse", "nmse_db"), ".1f")),
        ("\nbound", _number(of("lmmse_bound", "nmse_db"), ".1f")),
        ("model - LMMSE\ndB", _with_ends(of("model", "nmse_over_lmmse_db"), 2)),
    ]
    title = "Modulation (likelihood behind LMMSE; ceiling: channel known) and channel estimate"
    _print(title, snrs_db(found), columns, console)


def _print_claims(found: Sequence[Row], console: Any) -> None:
    columns = []
    for m in constellations(found):
        for receiver, heading in (("model", f"{2**m}-QAM\nmodel"), ("lmmse", "\nLMMSE")):
            observed = select(found, receiver, "ber", bits_per_symbol=m)
            claimed = select(found, receiver, "ber_claimed", bits_per_symbol=m)
            columns.append((heading, _quotient(observed, claimed)))
    title = "Bit error rate over that which the LLRs promise (1: calibrated, above: overconfident)"
    _print(title, snrs_db(found), columns, console)


def _print_link_state(found: Sequence[Row], console: Any) -> None:
    columns = []
    for metric, heading, factor, digits in _LINK_STATE:
        model = _number(select(found, "model", metric), f".{digits}f", factor)
        constant = _number(select(found, "constant", metric), f".{digits}f", factor)
        columns.append((heading, _beside(model, constant)))
    title = "Link state, mean absolute errors (in brackets: the best constant answer)"
    _print(title, snrs_db(found), columns, console)


def _print_over_k(found: Sequence[Row], console: Any) -> None:
    snr_db, table = reference_snr(snrs_db(found)), _table()
    headings = ["K", "AMC %\nmodel", "\nlikel.", "NMSE dB\nmodel", "\nLMMSE"]
    for heading in (*headings, *(heading for _, heading, _, _ in _LINK_STATE)):
        table.add_column(heading, justify="right", no_wrap=True)
    for k_bin in k_bins(found):

        def cell(
            receiver: str, metric: str, spec: str, factor: float = 1.0, k_bin: str = k_bin
        ) -> str:
            return _number(select(found, receiver, metric, k_bin=k_bin), spec, factor)(snr_db)

        line = [cell(name, "amc_accuracy", ".1f", 100.0) for name in ("model", "lmmse")]
        line += [cell(name, "nmse_db", ".1f") for name in ("model", "lmmse")]
        line += [
            cell("model", metric, f".{digits}f", factor)
            for metric, _, factor, digits in _LINK_STATE
        ]
        table.add_row(k_bin, *line)
    _show(f"Over the K-factor, at {snr_db:g} dB", table, console)


def reference_snr(levels: Sequence[float]) -> float:
    """The level nearest to 20 dB."""
    return min(levels, key=lambda snr_db: abs(snr_db - REFERENCE_SNR_DB))


def _print(
    title: str, levels: Sequence[float], columns: Sequence[tuple[str, Cells]], console: Any
) -> None:
    table = _table()
    table.add_column("SNR\ndB", justify="right", no_wrap=True)
    for heading, _ in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for snr_db in levels:
        table.add_row(f"{snr_db:g}", *(cell(snr_db) for _, cell in columns))
    _show(title, table, console)


def _table() -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)


def _show(title: str, table: Any, console: Any) -> None:
    console.print(title, style="bold", markup=False, highlight=False)
    console.print(table)
    console.print()


def _number(curve: Sequence[Row], spec: str, factor: float = 1.0) -> Cells:
    def cell(snr_db: float) -> str:
        value = factor * values(curve, [snr_db])[0]
        return format(value, spec) if math.isfinite(value) else DASH

    return cell


def _with_half_width(curve: Sequence[Row]) -> Cells:
    def cell(snr_db: float) -> str:
        value, width = (values(curve, [snr_db], column)[0] for column in ("value", "ci95"))
        if not math.isfinite(value):
            return DASH
        return f"{value:+.2f} ±{width:.2f}" if math.isfinite(width) else f"{value:+.2f}"

    return cell


def _with_ends(curve: Sequence[Row], digits: int, factor: float = 1.0) -> Cells:
    def cell(snr_db: float) -> str:
        numbers = [factor * values(curve, [snr_db], name)[0] for name in ("value", "low", "high")]
        if not np.isfinite(numbers).all():
            return DASH
        return "{:+.{d}f} ({:+.{d}f}, {:+.{d}f})".format(*numbers, d=digits)

    return cell


def _quotient(above: Sequence[Row], below: Sequence[Row]) -> Cells:
    def cell(snr_db: float) -> str:
        over, under = values(above, [snr_db])[0], values(below, [snr_db])[0]
        return f"{over / under:.2f}" if over > 0.0 and under > 0.0 else DASH

    return cell


def _beside(model: Cells, constant: Cells) -> Cells:
    return lambda snr_db: f"{model(snr_db)} ({constant(snr_db)})"
