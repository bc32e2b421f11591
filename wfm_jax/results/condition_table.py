"""Receivers under conditions they were not made for, as text of at most 100 columns."""

import math
from collections.abc import Sequence
from typing import Any

from wfm_jax.results.condition_rows import row_of
from wfm_jax.results.naming import DASH, Row, number

SHOWN = {"model": "model", "lmmse": "LMMSE", "lmmse_interpolate": "LMMSE~"}
_NOTE = """\
loss: SNR here less the SNR at which the receiver itself has this bit error rate on the link it was
made for (dB, {size}-QAM); – beyond its curve, or without an error. The genie's loss is what the
condition costs anybody. NMSE (dB) and AMC (%) of all frames. LMMSE averages the pilot symbols,
LMMSE~ interpolates between them; both have the covariance of the link they were made for.
ahead: SNR that the better of the two needs more than the model under the condition, with the
half-width of its 95 % interval; – more than {beside:g} dB either way."""  # noqa: RUF001


def print_conditions(
    rows: Sequence[Row], console: Any, *, constellations: Sequence[int] = (64, 16), beside: float
) -> None:
    """Prints a table for each SNR and constellation.

    Args:
        rows: columns of ``condition_rows.COLUMNS``.
        console: a ``rich.console.Console``.
        constellations: points of the square QAM; those without rows are passed over.
        beside: how far from each SNR the LMMSE receivers were measured, in dB.
    """
    known = {row["constellation"] for row in rows}
    sizes = [size for size in constellations if size in known]
    for snr_db in sorted({row["snr_db"] for row in rows}):
        for size in sizes:
            console.print(_table(rows, snr_db, size))
            console.print()
    if sizes:
        note = _NOTE.format(size=" or ".join(map(str, sizes)), beside=beside)
        console.print(note, style="dim", markup=False, highlight=False, soft_wrap=True)


def _table(rows: Sequence[Row], snr_db: float, size: int) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False,
                  title=f"{snr_db:g} dB, {size}-QAM", title_justify="left",
                  title_style="bold")  # fmt: skip
    table.add_column("\ncondition", no_wrap=True)
    headings = [f"{words if i == 0 else ''}\n{part}" for words in SHOWN.values()
                for i, part in enumerate(("loss", "NMSE", "AMC"))]  # fmt: skip
    for heading in (*headings, "genie\nloss", "model\nahead"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, words in {row["condition"]: row["words"] for row in rows}.items():
        cells = []
        for receiver in SHOWN:
            one, every = (row_of(rows, name, receiver, snr_db, of) for of in (size, None))
            cells += [
                _text(number(one, "loss_db"), "+z.2f"),
                _text(number(every, "nmse_db"), "z.1f"),
                _percent(number(every, "amc_accuracy")),
            ]
        genie = row_of(rows, name, "genie", snr_db, size)
        model = row_of(rows, name, "model", snr_db, size)
        cells += [_text(number(genie, "loss_db"), "+z.2f"), _with_half_width(model, "ahead_db")]
        table.add_row(words, *cells)
    return table


def _with_half_width(row: Row, column: str) -> str:
    half = 0.5 * (number(row, f"{column}_high") - number(row, f"{column}_low"))
    text = _text(number(row, column), "+z.2f")
    if not math.isfinite(half):
        return text
    return f"{text}±{half:.2f}".replace("±0.", "±.") if half < 0.995 else f"{text}±{half:.1f}"


def _percent(share: float) -> str:
    return "100" if share >= 0.9995 else _text(100.0 * share, ".1f")


def _text(value: float, spec: str) -> str:
    return format(value, spec) if math.isfinite(value) else DASH
