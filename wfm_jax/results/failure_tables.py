"""Sensitive tensors and student sizes as 100 columns of text; and the table of each study."""

import json
import math
import textwrap
from collections.abc import Sequence
from typing import Any

from wfm_jax.results.calibration_table import print_calibration
from wfm_jax.results.failure_rows import QUALITY_SCORES, TENSOR_SCORES
from wfm_jax.results.failure_text import MARKS, WIDTH, change_text, print_note, table
from wfm_jax.results.naming import DASH, Row, number
from wfm_jax.results.sensitivity_rows import distinct, short_name

_OF_TENSORS = ("task_loss", "gmi_fraction", "channel_nmse_db", "amc_accuracy")
_OF_SIZES = ("snr_loss_db", "gmi_fraction", "channel_nmse_db", "amc_accuracy", "k_mae_db")
_CHOSEN = {"most": "most sensitive", "random": "at random", "least": "least sensitive"}
_TENSORS_NOTE = f"""\
Less the model in float32, on the same frames; nothing is retrained.
{MARKS}
share: of the rise of the task loss at {{few}} bits everywhere. Ranked by the rise that each tensor
causes alone, on other frames. At random: means of {{draws}} choices, intervals over frames alone.
Task loss and AMC: means of 10, 15 and 20 dB; all else at 20 dB."""
_SIZES_NOTE = """\
before, FT: retention of the student as it was cut out, and fine-tuned; then KD less FT: retention
and single scores, same start, data and steps. Means over {seeds} seeds. ± half the 95 % interval
over test frames and seeds; + KD better, - KD worse beyond it."""


def print_sensitive_tensors(rows: Sequence[Row], console: Any) -> None:
    """Prints what a few tensors cost, and what sparing them saves.

    Args:
        rows: columns of ``failure_rows.TENSOR_COLUMNS``.
        console: a ``rich.console.Console``.
    """
    few, spared = int(rows[0]["few_bits"]), int(rows[0]["spared_bits"])
    words = {
        "none": "float32",
        "everywhere": f"{few} bits everywhere",
        "blocks": f"{few} bits in blocks, {spared} elsewhere",
        "tables": f"{spared} bits in blocks, {few} elsewhere",
    }
    titles = {
        f"Naive {few} bits": tuple(words),
        f"{few} bits on these alone, float32 on all else": ("alone",),
        f"{spared} bits on these, {few} bits on all else": ("spared",),
    }
    for title, kinds in titles.items():
        lines = table(title)
        lines.add_column("", no_wrap=True, min_width=max(map(len, words.values())))
        for heading in ("kB", "share", *(TENSOR_SCORES[name].words for name in _OF_TENSORS)):
            lines.add_column(heading, justify="right", no_wrap=True, min_width=6)
        for row in [row for row in rows if row["kind"] in kinds]:
            lines.add_row(
                words.get(row["kind"]) or f"{row['count']} {_CHOSEN[row['chosen']]}",
                f"{number(row, 'size_bytes') / 1000:.0f}",
                _share(row),
                *(change_text(row, name, TENSOR_SCORES[name]) for name in _OF_TENSORS),
            )
        console.print(lines)
        console.print()
    print_note(_ranking(rows), console)
    print_note(_TENSORS_NOTE.format(few=few, draws=max(row["draws"] for row in rows)), console)


def print_sizes(rows: Sequence[Row], console: Any) -> None:
    """Prints a block an arm: KD less FT, a line a size.

    Args:
        rows: columns of ``failure_rows.SIZE_COLUMNS``.
        console: a ``rich.console.Console``.
    """
    for arm in distinct(rows, "arm"):
        lines = table(arm)
        for heading in ("\ncut", "\nparams", "before\n%", "FT\n%", "KD - FT\n%"):
            lines.add_column(heading, justify="right", no_wrap=True)
        for name in _OF_SIZES:
            words = QUALITY_SCORES[name].words.replace(" ", "\n", 1)
            lines.add_column(words, justify="right", no_wrap=True)
        for row in [row for row in rows if row["arm"] == arm]:
            lines.add_row(
                f"{number(row, 'sparsity'):.0%}",
                f"{row['params_total']:,}",
                *(_percent(row, f"retention_{when}") for when in ("untrained", "ft")),
                *(
                    change_text(row, name, QUALITY_SCORES[name])
                    for name in ("retention", *_OF_SIZES)
                ),
            )
        console.print(lines)
        console.print()
    print_note(_SIZES_NOTE.format(seeds=max((row["seeds"] for row in rows), default=0)), console)


def _ranking(rows: Sequence[Row]) -> str:
    """Names of the most sensitive tensors, in lines that fit."""
    longest = max((row for row in rows if row["chosen"] == "most"), key=lambda row: row["count"])
    (names,) = json.loads(longest["tensors"])
    text = f"Most sensitive first: {', '.join(map(short_name, names))}."
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)


def _share(row: Row) -> str:
    value, low, high = (100.0 * number(row, f"share{end}") for end in ("", "_low", "_high"))
    if row["kind"] in ("none", "everywhere") or not math.isfinite(value):
        return ""
    return f"{value:z.0f}±{0.5 * (high - low):.0f} %"


def _percent(row: Row, name: str) -> str:
    value = 100.0 * number(row, name)
    return f"{value:.1f}" if math.isfinite(value) else DASH


TABLES = {
    "calibration": print_calibration,
    "student_size": print_sizes,
    "sensitive_tensors": print_sensitive_tensors,
}
"""By study."""
