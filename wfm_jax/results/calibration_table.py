"""Calibrations on wrong distributions beside that on matched frames: 100 columns of text."""

from collections.abc import Callable, Sequence
from typing import Any

from wfm_jax.results.failure_rows import QUALITY_SCORES
from wfm_jax.results.failure_text import MARKS, change_text, print_note, table, value_text
from wfm_jax.results.naming import Row, number
from wfm_jax.results.sensitivity_rows import distinct

_RULES = {"min_max": "min-max", "percentile": "99.99 %", "mse": "mse", "entropy": "entropy"}
_SCORES = (
    "snr_loss_db", "gmi_fraction", "channel_nmse_db", "amc_accuracy", "snr_mae_db", "k_mae_db"
)  # fmt: skip
_NOTE = f"""\
Behind a value, and for single scores instead of it: less the same calibrated on matched frames.
{MARKS}
x: width of the ranges over that of matched ones. Of few frames: means of {{draws}} draws, intervals
over test frames alone. AMC: mean of 10, 15 and 20 dB; all else at 20 dB."""
_WEIGHTS_NOTE = """\
Retention: smallest over tasks of what the model keeps of its lead over one without encoder.
no data: rounded to the nearest, or pruned by magnitude. Activations are in float32."""


def print_calibration(rows: Sequence[Row], console: Any) -> None:
    """Prints the channel's error by source and rule, then single scores, then GPTQ and Wanda.

    Args:
        rows: columns of ``failure_rows.CALIBRATION_COLUMNS``.
        console: a ``rich.console.Console``.
    """
    ranges = [row for row in rows if row["part"] == "activations"]
    for row in ranges:
        if row["source"] is None:
            console.print(_plain(row), highlight=False)
    of_sources = [row for row in ranges if row["source"]]
    for act_bits in distinct(of_sources, "act_bits"):
        own = [row for row in of_sources if row["act_bits"] == act_bits]
        title = f"Channel NMSE in dB: weights {own[0]['weight_bits']:g} bits, activations"
        console.print()
        _print_grid(own, f"{title} {act_bits:g} bits", "channel_nmse_db", _rule, console)
    few = min(distinct(of_sources, "act_bits"), default=0.0)
    own = [row for row in of_sources if row["act_bits"] == few and row["method"] == "mse"]
    console.print()
    _print_scores(own, f"Single scores at {few:g} bits, ranges of least squared error", console)
    print_note(_NOTE.format(draws=max((row["draws"] for row in rows), default=1)), console)

    weights = [row for row in rows if row["part"] == "weights"]
    for what, pruned in (("quantized by GPTQ", False), ("pruned by Wanda", True)):
        own = [row for row in weights if (number(row, "weight_bits") > 8) == pruned]
        if own:
            hardest = setting(own[-1])
            console.print()
            _print_grid(own, f"Retention in %: weights {what}", "retention", setting, console)
            console.print()
            own = [row for row in own if setting(row) == hardest]
            _print_scores(own, f"Single scores: weights {what}, {hardest}", console)
    if weights:
        print_note(_WEIGHTS_NOTE, console)


def setting(row: Row) -> str:
    """``4 bits`` or ``75 %``, of a compression of weights, with or without data."""
    bits, sparsity = number(row, "weight_bits"), number(row, "sparsity")
    return f"{100 * sparsity:g} %" if bits > 8 else f"{bits:g} bits"


def _rule(row: Row) -> str:
    return _RULES[row["method"]]


def _plain(row: Row) -> str:
    bits = number(row, "weight_bits")
    what = "The model itself" if bits > 8 else f"Weights at {bits:g} bits, activations in float32"
    nmse, retention = (
        value_text(row, name, QUALITY_SCORES[name]) for name in ("channel_nmse_db", "retention")
    )
    return f"{what}: channel NMSE {nmse} dB, retention {retention} %."


def _print_grid(
    rows: Sequence[Row], title: str, name: str, column_of: Callable[[Row], str], console: Any
) -> None:
    """A line a source: a score, and what it is less than on matched frames."""
    grid, score = table(title), QUALITY_SCORES[name]
    grid.add_column("calibrated on", no_wrap=True)
    columns = list(dict.fromkeys(map(column_of, rows)))
    for heading in columns:
        grid.add_column(heading, justify="right", no_wrap=True)
    for words in distinct(rows, "words"):
        texts = {}
        for row in rows:
            if row["words"] == words:
                change = "" if row["source"] == "matched" else change_text(row, name, score)
                texts[column_of(row)] = f"{value_text(row, name, score)} {change:>10}"
        grid.add_row(words or "no data", *(texts.get(heading, "") for heading in columns))
    console.print(grid)


def _print_scores(rows: Sequence[Row], title: str, console: Any) -> None:
    """A line a source, a column a score: less that of matched frames."""
    grid = table(title)
    grid.add_column("calibrated on", no_wrap=True)
    with_ranges = any(row["range_ratio"] is not None for row in rows)
    if with_ranges:
        grid.add_column("x", justify="right", no_wrap=True)
    for name in _SCORES:
        words = QUALITY_SCORES[name].words.replace(" ", "\n", 1)
        grid.add_column(words, justify="right", no_wrap=True)
    for row in rows:
        matched = row["source"] == "matched"
        texts = [
            value_text(row, name, QUALITY_SCORES[name]) + " "
            if matched
            else change_text(row, name, QUALITY_SCORES[name])
            for name in _SCORES
        ]
        ratio = [f"{number(row, 'range_ratio'):.2f}"] if with_ranges else []
        grid.add_row(row["words"] or "no data", *ratio, *texts)
    console.print(grid)
