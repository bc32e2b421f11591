"""Error-rate curves as text of at most 100 columns: lines as points finish, and the read-out."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from wfm_jax.results.naming import DASH, Row, number

WIDTH = 100
HEADING = (
    f"{'SNR':>6} {'Eb/N0':>6} {'receiver':<11} {'bit err.':>8} {'bits':>9} {'fr. err.':>8} "
    f"{'frames':>7} {'BER':>8} {'FER':>8} {'s':>5} reached"
)


def curve_title(row: Row) -> str:
    """Scenario and constellation: what a block of lines is about."""
    return f"{row['scenario']}, {row['constellation']}-QAM"


def point_line(row: Row) -> str:
    """One finished point of one receiver, under ``HEADING``."""
    reached = row["status"].removeprefix("target ")
    if row["ends_curve"]:
        reached = "BER, end" if row["frame_errors"] else "no errors, end"
    return (
        f"{row['snr_db']:6.2f} {row['ebn0_db']:6.2f} {row['receiver']:<11.11} "
        f"{row['bit_errors']:8d} {row['bits']:9d} {row['frame_errors']:8d} {row['frames']:7d} "
        f"{row['ber']:8.2e} {row['fer']:8.2e} {row['wall_s']:5.1f} {reached}"
    )


def print_read_out(rows: Sequence[Row], console: Any) -> None:
    """Prints every curve with its intervals, and the genie beside theory.

    Args:
        rows: columns of ``ber_rows.COLUMNS``, points of a curve in rising order of SNR.
        console: a ``rich.console.Console``.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    curves: dict[str, list[Row]] = {}
    for row in rows:
        curves.setdefault(curve_title(row), []).append(row)
    for title, members in curves.items():
        table = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False,
                      title=title, title_justify="left", title_style="bold")  # fmt: skip
        for i, (heading, _) in enumerate(_FIELDS):
            table.add_column(heading, justify="left" if i == 2 else "right", no_wrap=True)
        for row in sorted(members, key=lambda row: row["snr_db"]):
            table.add_row(*(text(row) for _, text in _FIELDS))
        console.print(table)
    console.print(
        "Eb/N0* charges pilots and cyclic prefix to the bits. z = (measured - theory) / standard\n"
        "error, for the receiver that knows the channel. Intervals (95 %) resample frames;\n"
        "without an error the upper end is that of the frame error rate. NMSE* is what the\n"
        "receiver expects of its own estimate.",
        style="dim", markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip


def _format(column: str, spec: str) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        value = number(row, column)
        return format(value, spec) if math.isfinite(value) else DASH

    return text


_FIELDS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("SNR\ndB", _format("snr_db", "z.1f")),
    ("Eb/N0*\ndB", _format("ebn0_charged_db", "z.1f")),
    ("\nreceiver", lambda row: f"{row['receiver']:.11}"),
    ("\nframes", _format("frames", ".0f")),
    ("\nBER", _format("ber", ".2e")),
    ("\nfrom", _format("ber_low", ".1e")),
    ("\nto", _format("ber_high", ".1e")),
    ("\ntheory", _format("ber_theory", ".2e")),
    ("\nz", _format("ber_z", "+.1f")),
    ("\nSER", _format("ser", ".1e")),
    ("GMI\nbits", _format("gmi", ".3f")),
    ("NMSE\ndB", _format("channel_nmse_db", ".1f")),
    ("NMSE*\ndB", _format("predicted_nmse_db", ".1f")),
)
