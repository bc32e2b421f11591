"""Rows of receivers under conditions they were not made for: their columns, and what is read.

``robustness.jsonl`` holds one row a condition, receiver, SNR and constellation; a row without a
constellation is of all frames together, and has no bit error rate.
"""

import functools
from collections.abc import Sequence

from wfm_jax.results import rows
from wfm_jax.results.naming import Row
from wfm_jax.results.rows import Column, measured_columns

__all__ = ["COLUMNS", "RECEIVERS", "Row", "read_rows", "row_of"]

RECEIVERS = {
    "model": "model",
    "lmmse": "LMMSE, average",
    "lmmse_interpolate": "LMMSE, interpolating",
    "lmmse_matched": "LMMSE for it, average",
    "lmmse_matched_interpolate": "LMMSE for it, interpolating",
    "genie": "genie",
}
"""Receivers and what people read for them."""


COLUMNS = (
    Column("condition", "str", "name of the condition; baseline: the model's own link"),
    Column("words", "str", "the condition as people read it"),
    Column("receiver", "str", f"of {', '.join(RECEIVERS)}"),
    Column("snr_db", "float64", "nominal SNR"),
    Column("constellation", "int64", "points of the square QAM; null: all frames"),
    Column("frames", "int64", "test frames behind the row"),
    *measured_columns("ber", "bit error rate"),
    *measured_columns(
        "loss_db", "extra SNR over what the receiver itself needs under the baseline"
    ),
    *measured_columns(
        "ahead_db", "SNR that the better LMMSE made for the link needs more than this one"
    ),
    Column("ahead_of", "str", "which of the LMMSE receivers made for the link is the better one"),
    *measured_columns("nmse_db", "channel estimation error over channel power"),
    *measured_columns("amc_accuracy", "share of modulations told rightly"),
    *measured_columns("gmi_fraction", "GMI over bits per symbol"),
    Column("test_frames_hash", "str", "hash of the condition's test frames"),
    Column("teacher_hash", "str", "hash of the model's weights"),
)

read_rows = functools.partial(rows.read_rows, columns=COLUMNS)


def row_of(
    found: Sequence[Row], condition: str, receiver: str, snr_db: float, constellation: int | None
) -> Row:
    """The one row of those ``found`` that is of this condition, receiver, ``snr_db`` and
    constellation (None for all of them together); an empty one where there is none."""
    wanted = (condition, receiver, snr_db, constellation)
    names = ("condition", "receiver", "snr_db", "constellation")
    of = (row for row in found if tuple(row.get(name) for name in names) == wanted)
    return next(of, {})
