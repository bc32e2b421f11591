"""The failure modes as tables of at most 100 columns of text."""

import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from wfm_jax.results.failure_rows import QUALITY_SCORES, TENSOR_SCORES
from wfm_jax.results.naming import DASH, Row, number
from wfm_jax.results.sensitivity_rows import Score, distinct, short_name

WIDTH = 100
_RULES = {"min_max": "min-max", "percentile": "99.99 %", "mse": "mse", "entropy": "entropy"}
_SHOWN = (
    "snr_loss_db", "gmi_fraction", "channel_nmse_db", "amc_accuracy", "snr_mae_db", "k_mae_db"
)  # fmt: skip
_CHOSEN = {"most": "most sensitive", "random": "at random", "least": "least sensitive"}
_MARKS = "± half the paired 95 % interval over test frames; + better, - worse beyond it."
_TENSORS_NOTE = f"""\
Less the model in float32, on the same frames; nothing is retrained.
{_MARKS}
share: of the rise of the task loss at {{few}} bits everywhere. Ranked by the rise that each tensor
causes alone, on other frames. At random: means of {{draws}} choices, intervals over frames alone.
Task loss and AMC: means of 10, 15 and 20 dB; all else at 20 dB."""
_RANGES_NOTE = f"""\
Retention: smallest over tasks of what the model keeps of its lead over one without encoder. Behind
it, and as single scores: less the same calibrated on matched frames.
{_MARKS}
x: width of the ranges over that of matched ones. Of few frames: means of {{draws}} draws."""
_WEIGHTS_NOTE = """\
no data: to the nearest, or by magnitude. Activations are in float32."""
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
    names = ("task_loss", "gmi_fraction", "channel_nmse_db", "amc_accuracy")
    for title, kinds in titles.items():
        table = _table(title)
        table.add_column("", no_wrap=True, min_width=max(map(len, words.values())))
        for name in ("kB", "share", *(TENSOR_SCORES[name].words for name in names)):
            table.add_column(name, justify="right", no_wrap=True, min_width=6)
        for row in [row for row in rows if row["kind"] in kinds]:
            table.add_row(
                words.get(row["kind"]) or f"{row['count']} {_CHOSEN[row['chosen']]}",
                f"{number(row, 'size_bytes') / 1000:.0f}",
                _share(row),
                *(change_text(row, name, TENSOR_SCORES[name]) for name in names),
            )
        console.print(table)
        console.print()
    _note(f"Most sensitive first: {_ranking(rows)}.", console)
    _note(_TENSORS_NOTE.format(few=few, draws=max(row["draws"] for row in rows)), console)


def print_calibration(rows: Sequence[Row], console: Any) -> None:
    """Prints the retention of every source by rule, then single scores, then GPTQ and Wanda.

    Args:
        rows: columns of ``failure_rows.CALIBRATION_COLUMNS``.
        console: a ``rich.console.Console``.
    """
    ranges = [row for row in rows if row["part"] == "activations"]
    weights = [row for row in rows if row["part"] == "weights"]
    plain = [row for row in ranges if row["source"] is None]
    for row in plain:
        bits = number(row, "weight_bits")
        what = "the model itself" if bits > 8 else f"weights at {bits:g} bits, activations float32"
        console.print(f"{what}: retention {100 * number(row, 'retention'):.1f} %", highlight=False)
    draws = max((row["draws"] for row in rows), default=1)
    of_sources = [row for row in ranges if row["source"]]
    for act_bits in distinct(of_sources, "act_bits"):
        own = [row for row in of_sources if row["act_bits"] == act_bits]
        bits = number(own[0], "weight_bits")
        console.print()
        console.print(
            _grid(own, f"Retention in %: weights {bits:g} bits, activations {act_bits:g} bits",
                  {rule: (lambda row, rule=rule: row["method"] == rule) for rule in _RULES})
        )  # fmt: skip
    console.print()
    lowest = min(distinct(of_sources, "act_bits"), default=0.0)
    console.print(_scores_of(
        [r for r in of_sources if r["act_bits"] == lowest and r["method"] == "mse"],
        f"Single scores at {lowest:g} bits an activation, ranges of least squared error",
    ))  # fmt: skip
    _note(_RANGES_NOTE.format(draws=draws), console)
    if weights:
        for what, floating in (("quantized by GPTQ", False), ("pruned by Wanda", True)):
            own = [row for row in weights if (number(row, "weight_bits") > 8) == floating]
            columns = {
                heading(row): (lambda other, row=row: heading(other) == heading(row)) for row in own
            }
            console.print()
            console.print(_grid(own, f"Retention in %: weights {what}", columns))
        _note(_WEIGHTS_NOTE, console)


def heading(row: Row) -> str:
    """``4 bits`` or ``75 %``, of a compression of weights, with or without data."""
    bits, sparsity = number(row, "weight_bits"), number(row, "sparsity")
    return f"{100 * sparsity:g} %" if bits > 8 else f"{bits:g} bits"


def _grid(rows: Sequence[Row], title: str, columns: Mapping[str, Any]) -> Any:
    """A line a source, a column a method: retention, and what it is less than matched frames."""
    score = QUALITY_SCORES["retention"]
    table = _table(title)
    table.add_column("calibrated on", no_wrap=True)
    for name in columns:
        table.add_column(_RULES.get(name, name), justify="right", no_wrap=True)
    for words in distinct(rows, "words"):
        of_source = [row for row in rows if row["words"] == words]
        texts = [words or "no data"]
        for wanted in columns.values():
            found = [row for row in of_source if wanted(row)]
            texts.append(_retention(found[0], score) if found else "")
        table.add_row(*texts)
    return table


def _retention(row: Row, score: Score) -> str:
    value = f"{score.factor * number(row, 'retention'):.1f}"
    change = "" if row["source"] == "matched" else change_text(row, "retention", score)
    return f"{value} {change:>10}"


def _scores_of(rows: Sequence[Row], title: str) -> Any:
    """A line a source, a column a score: less that of matched frames."""
    table = _table(title)
    table.add_column("calibrated on", no_wrap=True)
    table.add_column("x", justify="right", no_wrap=True)
    for name in _SHOWN:
        table.add_column(QUALITY_SCORES[name].words.replace(" ", "\n", 1), justify="right",
                         no_wrap=True)  # fmt: skip
    for row in rows:
        ratio = f"{number(row, 'range_ratio'):.2f}"
        if row["source"] == "matched":
            texts = (_value(row, name, QUALITY_SCORES[name]) for name in _SHOWN)
        else:
            texts = (change_text(row, name, QUALITY_SCORES[name]) for name in _SHOWN)
        table.add_row(row["words"], ratio, *texts)
    return table


def print_sizes(rows: Sequence[Row], console: Any) -> None:
    """Prints a block an arm: KD less FT, a line a size.

    Args:
        rows: columns of ``failure_rows.SIZE_COLUMNS``.
        console: a ``rich.console.Console``.
    """
    shown = [name for name in _SHOWN if name != "snr_mae_db"]
    for arm in distinct(rows, "arm"):
        own = [row for row in rows if row["arm"] == arm]
        table = _table(arm)
        for name in ("\ncut", "\nparams", "before\n%", "FT\n%", "KD - FT\n%"):
            table.add_column(name, justify="right", no_wrap=True)
        for name in shown:
            words = QUALITY_SCORES[name].words.replace(" ", "\n", 1)
            table.add_column(words, justify="right", no_wrap=True)
        for row in own:
            table.add_row(
                f"{number(row, 'sparsity'):.0%}",
                f"{row['params_total']:,}",
                *(_percent(row, f"retention_{when}") for when in ("untrained", "ft")),
                change_text(row, "retention", QUALITY_SCORES["retention"]),
                *(change_text(row, name, QUALITY_SCORES[name]) for name in shown),
            )
        console.print(table)
        console.print()
    _note(_SIZES_NOTE.format(seeds=max(row["seeds"] for row in rows)), console)


def change_text(row: Row, name: str, score: Score) -> str:
    """``-.476±.038+``: a change, half its interval, and whether it is certain and good or bad."""
    value, low, high = (
        score.factor * number(row, f"{name}_change{end}") for end in ("", "_low", "_high")
    )
    if not all(map(math.isfinite, (value, low, high))):
        return DASH
    certain = low > 0.0 or high < 0.0
    mark = " " if not certain else "+" if (value > 0.0) == score.larger_is_better else "-"
    width = format(0.5 * (high - low), score.spec)
    return f"{format(value, '+z' + score.spec)}±{width}".replace("0.", ".") + mark


def _ranking(rows: Sequence[Row]) -> str:
    """Names of the most sensitive tensors, in lines that fit."""
    longest = max((row for row in rows if row["chosen"] == "most"), key=lambda row: row["count"])
    (names,) = json.loads(longest["tensors"])
    text = ", ".join(map(short_name, names))
    return textwrap.fill(text, WIDTH - 1, initial_indent=" " * 22, break_on_hyphens=False).lstrip()


def _share(row: Row) -> str:
    value, low, high = (100.0 * number(row, f"share{end}") for end in ("", "_low", "_high"))
    if row["kind"] in ("none", "everywhere") or not math.isfinite(value):
        return ""
    return f"{value:z.0f}±{0.5 * (high - low):.0f} %"


def _value(row: Row, name: str, score: Score) -> str:
    value = score.factor * number(row, name)
    return format(value, f"z{score.spec}") + " " if math.isfinite(value) else DASH


def _percent(row: Row, name: str) -> str:
    value = number(row, name)
    return f"{100.0 * value:.1f}" if math.isfinite(value) else DASH


def _table(title: str) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False,
                 title=title, title_justify="left", title_style="bold")  # fmt: skip


def _note(text: str, console: Any) -> None:
    console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)


TABLES = {
    "calibration": print_calibration,
    "student_size": print_sizes,
    "sensitive_tensors": print_sensitive_tensors,
}
"""By study."""
