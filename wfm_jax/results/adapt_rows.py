"""Rows of adaptations: their columns, and ``adapt.jsonl``, the append-only file of them.

A row is one score of one method on one target, from one number of labelled frames.
"""

import functools

from wfm_jax.results import rows
from wfm_jax.results.rows import Column, Row, measured_columns

__all__ = ["COLUMNS", "Row", "append_rows", "complete_row", "read_rows"]


COLUMNS = (
    Column("target", "str", "name of the link that was adapted to"),
    Column("n_labelled", "int64", "labelled frames, those held back among them"),
    Column("method", "str", "probe, lora or full"),
    Column("score", "str", "what was measured, at 20 dB unless its name says otherwise"),
    Column("larger_is_better", "int64", "1, or 0 for an error"),
    Column("trained", "int64", "parameters that were trained"),
    Column("trained_share", "float64", "over all parameters of the model"),
    Column("learning_rate", "float64", "peak of the warm-up and cosine"),
    Column("steps", "int64", "optimizer steps"),
    Column("seeds", "int64", "labelled sets, each drawn and adapted to anew"),
    Column("best_step", "float64", "step of the lowest loss on held-back frames, mean over seeds"),
    Column("before", "float64", "the score of the model as it came"),
    Column("after", "float64", "the score of the adapted model, mean over seeds"),
    *measured_columns("gain", "how much better the score became, mean over seeds"),
    *measured_columns(
        "recovered", "share of full fine-tuning's gain; null where that is not certain"
    ),
    Column("test_frames", "int64", "test frames of the target"),
    Column("test_frames_hash", "str", "hash of them"),
    Column("teacher_hash", "str", "hash of the weights of the model as it came"),
    Column("wall_s", "float64", "time of the method's adaptations, compilation included"),
)

complete_row = functools.partial(rows.complete_row, columns=COLUMNS)
append_rows = functools.partial(rows.append_rows, columns=COLUMNS)
read_rows = functools.partial(rows.read_rows, columns=COLUMNS)
