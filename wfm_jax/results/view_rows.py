"""Rows of a model on frames that lack views: their columns.

``views.jsonl`` holds one row a subset of views and task.
"""

import functools
from collections.abc import Sequence

from wfm_jax.results import rows
from wfm_jax.results.naming import Row
from wfm_jax.results.rows import Column, measured_columns

__all__ = ["COLUMNS", "TASKS", "Row", "read_rows", "subset_words", "subsets"]

TASKS = {
    "modulation": "modulation",
    "bits": "bits",
    "channel": "channel",
    "snr": "SNR",
    "k": "K",
    "los": "LOS",
    "delay_spread": "delay spread",
}
"""Tasks and what people read for them."""


COLUMNS = (
    Column("views", "str", "views that are present, joined by '+'"),
    Column("removed", "str", "views of the model that are not; null: none"),
    Column("task", "str", f"of {', '.join(TASKS)}"),
    Column("information", "str", "whether the views tell the task: yes | part | no"),
    Column("reason", "str", "why"),
    Column("metric", "str", "the score with its unit"),
    *measured_columns("score", "the score with these views"),
    Column("full", "float64", "the score with all views"),
    Column("prior", "float64", "the score of who never saw the frame"),
    Column("null", "float64", "the score of the model with every prunable weight zero, all views"),
    *measured_columns("retention", "(score - prior) / (full - prior); null: nothing to retain"),
    *measured_columns("retention_null", "(score - null) / (full - null)"),
    Column("verdict", "str", "kept | lost | open: retention against .9, where the views tell all"),
    Column("test_frames_hash", "str", "hash of the test frames"),
    Column("teacher_hash", "str", "hash of the model's weights"),
)

read_rows = functools.partial(rows.read_rows, columns=COLUMNS)


def subsets(found: Sequence[Row]) -> list[str]:
    """The subsets of views, in the order in which they come."""
    return list(dict.fromkeys(row["views"] for row in found))


def subset_words(found: Sequence[Row], views: str) -> str:
    """``all views``, ``without csi``, ``iq alone``, or the views that are there."""
    removed = next(row["removed"] for row in found if row["views"] == views)
    if not removed:
        return "all views"
    if "+" not in removed:
        return f"without {removed}"
    return views.replace("+", " + ") if "+" in views else f"{views} alone"
