"""Rows of packed models beside their teacher at places that no training saw: their columns.

``generalisation.jsonl`` holds one row a place, model and metric. A row of the teacher says what the
place costs it, one of a packed model what compression costs there; every loss is positive where
something got worse.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

from wfm_jax.results import rows
from wfm_jax.results.naming import Row
from wfm_jax.results.rows import Column, measured_columns

TEACHER = "teacher"
HOME = "as_trained"
SNR_LOSS = "snr_loss_db"


class Score(NamedTuple):
    """How a metric is shown.

    Attributes:
        words: heading of at most eight characters.
        unit: of what is shown, a point being a hundredth.
        factor: from the row's unit to that one.
        digits: behind the point, of its value.
        larger_is_better: which way it runs.
    """

    words: str
    unit: str
    factor: float
    digits: int
    larger_is_better: bool


SCORES = {
    "gmi_fraction": Score("GMI", "points", 100.0, 1, True),
    "amc_accuracy": Score("modul.", "points", 100.0, 1, True),
    "channel_nmse_db": Score("channel", "dB", 1.0, 1, False),
    "snr_mae_db": Score("SNR", "dB", 1.0, 2, False),
    "k_mae_db": Score("K", "dB", 1.0, 2, False),
    "los_accuracy": Score("LOS", "points", 100.0, 1, True),
}
"""Metrics that teacher and models have."""

LOSSES = SCORES | {SNR_LOSS: Score("at BER", "dB SNR", 1.0, 2, False)}
"""And the one that is a loss by itself: extra SNR for the teacher's bit error rate."""


COLUMNS = (
    Column("place", "str", f"name of the place; {HOME}: the teacher's own link"),
    Column("words", "str", "the place as people read it"),
    Column("model", "str", f"{TEACHER}, or a packed file's size and what made it"),
    Column("model_hash", "str", "hash of the packed file, or of the teacher's weights"),
    Column("size_bytes", "int64", "of the packed file; null: the teacher"),
    Column("metric", "str", f"of {', '.join(LOSSES)}"),
    *measured_columns("value", "the metric in its own unit"),
    *measured_columns("place_loss", "of the teacher: how much worse it is here than at home"),
    *measured_columns(
        "loss", "of a packed file: how much worse it is than the teacher, same frames"
    ),
    *measured_columns("excess", "of a packed file: its loss here less its loss at home"),
    Column("frames", "int64", "test frames behind the row, at each SNR"),
    Column("test_frames_hash", "str", "hash of the place's frames"),
    Column("teacher_hash", "str", "hash of the teacher's weights"),
)

read_rows = functools.partial(rows.read_rows, columns=COLUMNS)


def row_of(found: Sequence[Row], *, place: str | None, model_hash: str, metric: str) -> Row:
    """The one row of those ``found`` that is of this ``place`` (None: of any), ``model_hash`` and
    ``metric``; an empty one where there is none."""
    of = (
        row
        for row in found
        if place in (None, row["place"])
        and (row["model_hash"], row["metric"]) == (model_hash, metric)
    )
    return next(of, {})


def labels(found: Sequence[Row]) -> dict[str, str]:
    """The models' labels by their hashes, the teacher first, then the smallest file first."""
    ordered = sorted(found, key=lambda row: row["size_bytes"] or -1)
    return {row["model_hash"]: row["model"] for row in ordered}


def places(found: Sequence[Row]) -> dict[str, str]:
    """What people read for the places, by their names, in the order of the rows."""
    return {row["place"]: row["words"] for row in found}
