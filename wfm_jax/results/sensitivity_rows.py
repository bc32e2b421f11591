"""Rows of sensitivity: their columns.

``sensitivity.jsonl`` holds one row a tensor and level, ``allocation.jsonl`` one a mixed precision.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

from wfm_jax.results import rows
from wfm_jax.results.naming import Row
from wfm_jax.results.rows import Column

__all__ = [
    "ALLOCATION_COLUMNS",
    "COLUMNS",
    "SCORES",
    "Row",
    "Score",
    "distinct",
    "group",
    "read_allocations",
    "read_rows",
    "short_name",
]


class Score(NamedTuple):
    """What a score is called, how many of it are shown, in which format, and whether more is
    better."""

    words: str
    factor: float
    spec: str
    larger_is_better: bool


SCORES = {
    "task_loss": Score("task loss", 1.0, ".3f", False),
    "gmi_fraction": Score("GMI", 1.0, ".3f", True),
    "channel_nmse_db": Score("NMSE dB", 1.0, ".2f", False),
    "amc_accuracy": Score("AMC %", 100.0, ".1f", True),
    "los_accuracy": Score("LOS %", 100.0, ".1f", True),
    "snr_mae_db": Score("SNR err dB", 1.0, ".2f", False),
    "k_mae_db": Score("K err dB", 1.0, ".2f", False),
}
"""Scores of a configuration; task loss and AMC are means of 10, 15 and 20 dB, the rest at 20 dB."""


def _scored(against: str) -> tuple[Column, ...]:
    columns = []
    for name in SCORES:
        change = f"{name}_change"
        columns += [
            Column(name, "float64", f"{SCORES[name].words}, as it is"),
            Column(change, "float64", f"less that of {against}, on the same frames"),
            Column(f"{change}_low", "float64", f"lower end of the 95 % interval of {change}"),
            Column(f"{change}_high", "float64", f"upper end of the 95 % interval of {change}"),
        ]
    return tuple(columns)


_FRAMES = (
    Column("n_frames", "int64", "frames, each at three SNRs"),
    Column("frames_hash", "str", "hash of the frames"),
    Column("teacher_hash", "str", "hash of the model's weights"),
)

COLUMNS = (
    Column("method", "str", "bits | sparsity"),
    Column("level", "float64", "bits of the tensor, or the share of its weights that is removed"),
    Column("tensor", "str", "path name of the only tensor that is compressed"),
    Column("weights", "int64", "of the tensor"),
    Column("size_bytes", "int64", "of the tensor at these bits; null where it is pruned"),
    Column("expected_rise", "float64", "of the task loss, estimated from the Fisher diagonal"),
    *_scored("the model itself"),
    *_FRAMES,
)

ALLOCATION_COLUMNS = (
    Column("budget", "str", "what the bytes are those of: the name of a baseline"),
    Column("configuration", "str", "baseline | measured | expected | larger"),
    Column("mean_bits", "float64", "mean over weights"),
    Column("size_bytes", "int64", "of the packed file"),
    Column("tensor_bytes", "int64", "of the compressed tensors: values and scales"),
    Column("budget_bytes", "int64", "what the tensors may take"),
    Column("bits", "str", "JSON object: bits by path name"),
    *_scored("the baseline"),
    *_FRAMES,
)

read_rows = functools.partial(rows.read_rows, columns=COLUMNS)
read_allocations = functools.partial(rows.read_rows, columns=ALLOCATION_COLUMNS)


def distinct(found: Sequence[Row], column: str) -> list:
    """The values of a column in the order in which they come."""
    return list(dict.fromkeys(row[column] for row in found))


def group(tensor: str) -> str:
    """What a tensor belongs to: ``block_0``, ``embed``, ``head``."""
    first = tensor.split("/")[0]
    return first if first.startswith("block_") else first.split("_")[0]


def short_name(tensor: str) -> str:
    """Its name without what all have in common."""
    return tensor.removesuffix("/kernel").replace("attention/", "")
