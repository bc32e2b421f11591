"""Adaptations as a table of at most 100 columns: a block for each target and number of frames."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from wfm_jax.results.naming import DASH, Row, number

WIDTH = 100
MAIN_SCORE = "gmi_fraction"


def print_read_out(rows: Sequence[Row], console: Any) -> None:
    """Prints what each method gains in GMI, its share of full fine-tuning's gain, and the gains in
    the other scores.

    Args:
        rows: of ``adapt_rows.COLUMNS``.
        console: a ``rich.console.Console``.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    for title, methods in _blocks(rows).items():
        table = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False,
                      title=title, title_justify="left", title_style="bold")  # fmt: skip
        for i, (heading, _) in enumerate(_FIELDS):
            table.add_column(heading, justify="left" if i == 0 else "right", no_wrap=True)
        for scores in methods.values():
            table.add_row(*(text(scores) for _, text in _FIELDS))
        console.print(table)
    console.print(
        "Gains are paired; intervals (95 %) resample test frames and labelled sets together. Of\n"
        "full: share of full fine-tuning's gain in GMI, where that gain's interval excludes zero.\n"
        "All scores at 20 dB (AMC: mean of 10, 15 and 20 dB); + is better, also for errors.",
        style="dim", markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip


_Scores = dict[str, Row]
"""The rows of a target, a number of labelled frames and a method, by score."""


def _blocks(rows: Sequence[Row]) -> dict[str, dict[str, _Scores]]:
    blocks: dict[str, dict[str, _Scores]] = {}
    for row in rows:
        sets = "1 labelled set" if row["seeds"] == 1 else f"{row['seeds']} labelled sets"
        title = f"{row['target']}: {sets} of {row['n_labelled']} frames"
        methods = blocks.setdefault(title, {})
        methods.setdefault(row["method"], {})[row["score"]] = row
    return blocks


def _format(column: str, spec: str, score: str = MAIN_SCORE, factor: float = 1.0):
    def text(scores: _Scores) -> str:
        value = factor * number(scores.get(score, {}), column)
        return format(value, spec) if math.isfinite(value) else DASH

    return text


_FIELDS: tuple[tuple[str, Callable[[_Scores], str]], ...] = (
    ("\nmethod", lambda scores: str(next(iter(scores.values()))["method"])),
    ("\ntrained", _format("trained", ".0f")),
    ("share\n%", _format("trained_share", ".1f", factor=100.0)),
    ("GMI\nbefore", _format("before", ".3f")),
    ("\nafter", _format("after", ".3f")),
    ("\ngain", _format("gain", "+.3f")),
    ("\nfrom", _format("gain_low", "+.3f")),
    ("\nto", _format("gain_high", "+.3f")),
    ("of full\n%", _format("recovered", ".0f", factor=100.0)),
    ("\nfrom", _format("recovered_low", ".0f", factor=100.0)),
    ("\nto", _format("recovered_high", ".0f", factor=100.0)),
    ("AMC\n%", _format("gain", "+.1f", "amc_accuracy", 100.0)),
    ("NMSE\ndB", _format("gain", "+.1f", "channel_nmse_db")),
    ("SNR\ndB", _format("gain", "+.2f", "snr_mae_db")),
    ("K\ndB", _format("gain", "+.2f", "k_mae_db")),
    ("LOS\n%", _format("gain", "+.0f", "los_accuracy", 100.0)),
)
