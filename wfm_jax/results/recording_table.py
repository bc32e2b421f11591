"""A model on a recording, as text of at most 100 columns."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from wfm_jax.results.naming import DASH, Row, number, numbers

WIDTH = 100
MOST = 40
_SCORES = {  # task: what people read, factor and format of its score
    "modulation": ("modulation, accuracy %", 100.0, ".1f"),
    "bits": ("bits, GMI fraction", 1.0, ".3f"),
    "channel": ("channel, NMSE dB", 1.0, ".1f"),
    "snr": ("SNR, error dB", 1.0, ".2f"),
    "k": ("K-factor, error dB", 1.0, ".2f"),
    "los": ("line of sight, accuracy %", 100.0, ".1f"),
    "delay_spread": ("delay spread, error ns", 1.0, ".1f"),
}
_SUMMARY = (  # column, factor and format
    ("modulation_probability", 100.0, ".0f"),
    ("snr_db", 1.0, ".1f"),
    ("k_db", 1.0, ".1f"),
    ("los_probability", 100.0, ".0f"),
    ("delay_spread_ns", 1.0, ".0f"),
)
_NOTE = """\
P: probability of the modulation, and of a line of sight (LOS); K – where a line of sight is
unlikely. Behind a stroke the labels."""  # noqa: RUF001


def print_scores(rows: Sequence[Row], console: Any) -> None:
    """Prints scores with 95 % intervals, a column a subset of views.

    Args:
        rows: columns of ``recording_rows.SCORE_COLUMNS``; none prints nothing.
        console: a ``rich.console.Console``.
    """
    if not rows:
        return
    subsets = views_of(rows)
    table = _table(f"Scores of {rows[0]['frames']} labelled frames, 95 % intervals")
    table.add_column("task", no_wrap=True)
    for views in subsets:
        table.add_column(f"from {views_words(views)}", justify="right", no_wrap=True)
    table.add_column("best constant", justify="right", no_wrap=True)
    cells = {(row["views"], row["task"]): row for row in rows}
    for task, (words, factor, spec) in _SCORES.items():
        line = [_with_ends(cells[views, task], factor, spec) for views in subsets]
        guess = _text(factor * number(cells[subsets[0], task], "guess"), spec)
        table.add_row(words, *line, guess)
    console.print(table)
    for views in subsets:
        guesses = [_SCORES[row["task"]][0] for row in rows if _is_a_guess(row, views)]
        if words := [words.partition(",")[0] for words in guesses]:
            line = (
                f"From {views_words(views)} no better than the best constant: {', '.join(words)}."
            )
            console.print(line, markup=False, highlight=False)


def print_segments(rows: Sequence[Row], console: Any) -> None:
    """Prints what the model says of each segment, with the most views that it was given; of more
    than :data:`MOST` segments the first.

    Args:
        rows: columns of ``recording_rows.SEGMENT_COLUMNS``.
        console: a ``rich.console.Console``.
    """
    views = views_of(rows)[-1]
    shown = [row for row in rows if row["views"] == views]
    labelled = any(row["true_modulation"] is not None for row in shown)
    table = _table(f"Segments, from {views_words(views)}")
    unit, factor = time_unit(max(number(row, "start_s") for row in shown))
    headings = ["", f"start {unit}", "dBFS", "QAM", "P %", "SNR dB", "K dB", "LOS %", "spread ns"]
    headings += ["| QAM", "SNR", "K", "LOS", "spread"] if labelled else []
    if any(row["coherence"] is not None for row in shown):
        headings += ["carrier Hz", "coh."]
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in shown[:MOST]:
        cells = _answers(row, factor) + (_labels(row) if labelled else [])
        if row["coherence"] is not None:
            cells += [_text(number(row, "carrier_offset_hz"), ".0f"),
                      _text(number(row, "coherence"), ".2f")]  # fmt: skip
        table.add_row(*cells)
    console.print(table)
    if len(shown) > MOST:
        more = f"The first {MOST} of {len(shown):,}; all of them are in segments.jsonl."
        console.print(more, style="dim", highlight=False)
    note = _NOTE if labelled else _NOTE.partition(" Behind")[0]
    console.print(note, style="dim", markup=False, highlight=False)


def print_summary(rows: Sequence[Row], console: Any) -> None:
    """Prints how often each modulation was told, and beside it the middle of what was told: what
    hardly differs between segments was not read from them.

    Args:
        rows: columns of ``recording_rows.SEGMENT_COLUMNS``.
        console: a ``rich.console.Console``.
    """
    table = _table("All segments: where nine of ten lie")
    headings = ("views", "QAM", "segments", "P %", "SNR dB", "K dB", "LOS %", "spread ns")
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="right" if i else "left", no_wrap=True)
    for views in views_of(rows):
        of_views = [row for row in rows if row["views"] == views]
        for points in sorted({row["modulation"] for row in of_views}):
            of = [row for row in of_views if row["modulation"] == points]
            line = [_middle(of, column, factor, spec) for column, factor, spec in _SUMMARY]
            table.add_row(views_words(views), str(points), str(len(of)), *line)
    console.print(table)
    console.print()


def views_of(rows: Sequence[Row]) -> list[str]:
    """Subsets of views, fewest first."""
    return sorted({row["views"] for row in rows}, key=lambda views: views.count("+"))


def views_words(views: str) -> str:
    """``iq alone``, or ``all views`` of which there are four."""
    if "+" not in views:
        return f"{views} alone"
    return "all views" if views.count("+") == 3 else views.replace("+", " + ")


def time_unit(longest_s: float) -> tuple[str, float]:
    """What times up to ``longest_s`` are told in: the unit, and seconds times which they are."""
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if factor * longest_s >= 1.0:
            return unit, factor
    return "µs", 1e6


def _answers(row: Row, factor: float) -> list[str]:
    los = number(row, "los_probability")
    return [
        str(row["segment"]),
        f"{factor * number(row, 'start_s'):.{1 if factor == 1e6 else 3}f}",
        f"{number(row, 'power_dbfs'):.1f}",
        str(row["modulation"]),
        f"{100 * number(row, 'modulation_probability'):.0f}",
        f"{number(row, 'snr_db'):.1f}",
        f"{number(row, 'k_db'):.1f}" if los >= 0.5 else DASH,
        f"{100 * los:.0f}",
        f"{number(row, 'delay_spread_ns'):.0f}",
    ]


def _labels(row: Row) -> list[str]:
    los = {None: DASH, 0: "no", 1: "yes"}[row["true_los"]]
    return [
        f"| {row['true_modulation'] or DASH}",
        _text(number(row, "true_snr_db"), ".1f"),
        _text(number(row, "true_k_db"), ".1f"),
        los,
        _text(number(row, "true_delay_spread_ns"), ".0f"),
    ]


def _is_a_guess(row: Row, views: str) -> bool:
    """Whether the score's interval reaches the best constant's, or the score is worse."""
    better = -1.0 if row["metric"].endswith(("_mae_db", "_mae_ns", "nmse_db")) else 1.0
    ends = [
        better * (number(row, end) - number(row, "guess")) for end in ("score_low", "score_high")
    ]
    return row["views"] == views and min(ends) <= 0.0


def _middle(rows: Sequence[Row], column: str, factor: float, spec: str) -> str:
    """From where to where nine of ten rows lie."""
    low, high = factor * np.quantile(numbers(rows, column), [0.05, 0.95])
    return f"{low:z{spec}} to {high:z{spec}}"


def _with_ends(row: Row, factor: float, spec: str) -> str:
    value, low, high = (factor * number(row, f"score{end}") for end in ("", "_low", "_high"))
    if not math.isfinite(low + high):
        return _text(value, spec)
    return f"{value:z{spec}} [{low:z{spec}}, {high:z{spec}}]"


def _text(value: float, spec: str) -> str:
    return format(value, f"z{spec}") if math.isfinite(value) else DASH


def _table(title: str) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False,
                 title=title, title_justify="left", title_style="bold")  # fmt: skip
