"""Rows as a table for a terminal or a log of 100 columns."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from wfm_jax.results import naming
from wfm_jax.results.naming import DASH, Row, number
from wfm_jax.results.pareto import pareto_ranks, ranked

__all__ = ["pareto_ranks", "print_table"]

WIDTH = 100
MOST = 120  # configurations that are read on a screen
_WORDS = ("\npipeline", "\npoint", "\nstudent", "\nhow")


class _Field(NamedTuple):
    """A column of the table: two lines of heading, its width, and a row's text in it."""

    heading: str
    width: int
    text: Callable[[Row], str]


def print_table(rows: Sequence[Row], console: Any = None) -> None:
    """Prints references, then configurations by Pareto rank and size, in 100 columns; of more than
    :data:`MOST` the first.

    Args:
      rows: result rows; missing values show as a dash, a diverged row's rank as ``div.``.
      console: a ``rich.console.Console``; standard output if None, 100 wide where that is no
        terminal.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    if console is None:
        console = Console()
        console = console if console.is_terminal else Console(width=WIDTH)
    fields = _fields(rows)
    table = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    for field in fields:
        side = "left" if field.heading in _WORDS else "right"
        table.add_column(
            field.heading, justify=side, no_wrap=True, overflow="ellipsis", max_width=field.width
        )
    table.add_column("\nrank", justify="right", no_wrap=True, max_width=4)
    for name in naming.REFERENCES:
        if row := naming.reference(rows, name):
            table.add_row(*(field.text(row) for field in fields), DASH, style="dim")
    table.add_section()
    found = ranked(rows)
    for rank, row in found[:MOST]:
        mark = "div." if naming.diverged(row) else str(rank)
        style = "red" if naming.diverged(row) else "bold" if rank == 1 else None
        table.add_row(*(field.text(row) for field in fields), mark, style=style)
    console.print(table)
    if len(found) > MOST:
        more = f"The first {MOST} of {len(found):,}; all of them are in results.parquet."
        console.print(more, style="dim", highlight=False)
    if n_dropped := sum(map(naming.dropped, rows)):
        console.print(f"Dropped by successive halving: {n_dropped}.", style="dim", highlight=False)
    if shared := naming.shared_ways(rows):
        console.print(
            f"Everywhere: {', '.join(shared)}", style="dim", markup=False, highlight=False
        )
    seen = {mark for row in naming.configurations(rows) for mark in naming.marks(row)}
    if seen:
        meanings = (f"{mark} {words}" for mark, words in naming.MARKS.items() if mark in seen)
        console.print("; ".join(meanings), style="dim", markup=False, highlight=False)


def _fields(rows: Sequence[Row]) -> list[_Field]:
    seeds = {row.get("seed") for row in naming.configurations(rows)} - {None}

    def name(row: Row) -> str:
        seed = row.get("seed")
        shown = len(seeds) > 1 and seed is not None and not naming.is_reference(row)
        return naming.pipeline_name(row) + (f" s{seed}" if shown else "")

    shared = naming.shared_ways(rows)

    def ways(row: Row) -> str:
        return " ".join(way for way in naming.ways(row) if way not in shared)

    several = any(naming.student_size(row) != "same" for row in rows)
    student = _Field(
        "\nstudent", 7, lambda row: naming.student_size(row) if row.get("student") else DASH
    )
    differ = any(ways(row) for row in naming.configurations(rows))
    return [
        _Field("\npipeline", 13, name),
        _Field("\npoint", 9, naming.operating_point),
        *([student] if several else []),
        *([_Field("\nhow", 10 if several else 18, ways)] if differ else []),
        _Field("\nkB", 6, _kilobytes),
        _Field("\nratio", 6, _ratio),
        *_scores(rows),
        _Field("ret.\n%", 5, _format("retention", ".1f", 100)),
    ]


def _scores(rows: Sequence[Row]) -> list[_Field]:
    """The one score of a model that is not ours, or those of every task."""

    def known(column: str) -> bool:
        return any(math.isfinite(number(row, column)) for row in rows)

    if known("example_score"):
        return [_Field("\nscore", 7, _format("example_score", ".3f"))]
    detection = (
        _Field("loss\ndB", 6, _format("snr_loss_db", ".2f"))
        if known("snr_loss_db")
        else _Field("BER\n16-QAM", 7, _format("ber_16", ".1e"))
    )
    return [
        _Field("AMC\n%", 5, _format("amc_accuracy", ".1f", 100)),
        _Field("\nGMI", 6, _gmi),
        detection,
        _Field("NMSE\ndB", 5, _format("channel_nmse_db", ".1f")),
        _Field("K err\ndB", 5, _format("k_mae_db", ".2f")),
        _Field("SNR\ndB", 5, _format("snr_mae_db", ".2f")),
        _Field("LOS\n%", 5, _format("los_accuracy", ".1f", 100)),
    ]


def _format(column: str, spec: str, factor: float = 1.0) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        value = factor * number(row, column)
        if not math.isfinite(value):
            return DASH
        return format(value, spec)

    return text


def _gmi(row: Row) -> str:
    """Three decimals of a fraction; LLRs that are confidently wrong reach far below zero."""
    return _format("gmi_fraction", ".3f" if number(row, "gmi_fraction") > -10 else ".0f")(row)


def _kilobytes(row: Row) -> str:
    value = number(row, "size_bytes") / 1000
    if not math.isfinite(value):
        return DASH
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def _ratio(row: Row) -> str:
    value = number(row, "compression_ratio")
    return f"{value:.3g}×" if math.isfinite(value) else DASH  # noqa: RUF001
