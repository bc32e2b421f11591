"""Rows of an evaluation: their columns, and what is looked up in them.

``evaluation.jsonl`` holds a number a row: a metric of a receiver at one SNR, over one constellation
and one K bin, or over all of them where ``bits_per_symbol`` or ``k_bin`` is null. Bit error rates
are never of all constellations. ``calibration.parquet`` holds a row for each bin of the LLR.
"""

import functools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from wfm_jax.results import atomic, rows
from wfm_jax.results.rows import Column, Row

RECEIVERS = {
    "model": "model",
    "ls": "LS",
    "lmmse": "LMMSE",
    "lmmse_true": "LMMSE, own profile",
    "data_aided": "data-aided",
    "genie": "genie",
    "lmmse_bound": "linear bound, pilots alone",
    "constant": "best constant",
}
"""Receivers and what people read for them."""

COLUMNS = (
    Column("receiver", "str", f"of {', '.join(RECEIVERS)}"),
    Column("metric", "str", "with its unit"),
    Column("snr_db", "float64", "nominal SNR"),
    Column("bits_per_symbol", "int64", "the constellation; null: all"),
    Column("k_bin", "str", "bin of the K-factor; null: all"),
    Column("value", "float64", "the number"),
    Column("ci95", "float64", "half-width of its 95 % interval, frames resampled"),
    Column("low", "float64", "lower end, of differences between receivers on the same frames"),
    Column("high", "float64", "upper end, likewise"),
    Column("frames", "int64", "test frames behind it"),
    Column("test_frames_hash", "str", "hash of the frozen test frames"),
    Column("teacher_hash", "str", "hash of the model's weights"),
)

CALIBRATION_COLUMNS = (
    Column("receiver", "str", "model, lmmse, genie, ..."),
    Column("snr_db", "float64", "nominal SNR"),
    Column("bits_per_symbol", "int64", "the constellation"),
    Column("llr_from", "float64", "lower edge of the bin, ln P(1)/P(0); null: open"),
    Column("llr_to", "float64", "upper edge; null: open"),
    Column("bits", "int64", "payload bits with an LLR in the bin"),
    Column("wrong", "int64", "of these, not what the LLR's sign says"),
    Column("claimed", "float64", "log odds of a one that the LLRs claim, as a mean over the bits"),
    Column("observed", "float64", "log odds of a one as it is; null without a wrong bit"),
    Column("observed_low", "float64", "lower end of its 95 % interval, frames resampled"),
    Column("observed_high", "float64", "upper end"),
)

complete_row = functools.partial(rows.complete_row, columns=COLUMNS)
read_rows = functools.partial(rows.read_rows, columns=COLUMNS)
write_parquet = functools.partial(rows.write_parquet, columns=COLUMNS)
write_calibration = functools.partial(rows.write_parquet, columns=CALIBRATION_COLUMNS)


def write_rows(found: Iterable[Mapping[str, Any]], path: str | os.PathLike) -> None:
    """Puts all rows at ``path`` as JSON lines, in one step.

    Raises:
        ValueError: a column that the schema lacks, or a value that it does not hold.
    """
    lines = [json.dumps(complete_row(row), separators=(",", ":")) + "\n" for row in found]
    atomic.write_bytes(path, "".join(lines).encode())


def select(
    found: Sequence[Row],
    receiver: str,
    metric: str,
    *,
    bits_per_symbol: int | None = None,
    k_bin: str | None = None,
) -> list[Row]:
    """The rows of one curve over SNR, in rising order.

    Args:
        found: rows of an evaluation.
        receiver, metric: what the curve is of.
        bits_per_symbol: of its constellation; None for all together.
        k_bin: its K bin; None for all together.
    """
    wanted = (receiver, metric, bits_per_symbol, k_bin)
    names = ("receiver", "metric", "bits_per_symbol", "k_bin")
    of = [row for row in found if tuple(row[name] for name in names) == wanted]
    return sorted(of, key=lambda row: row["snr_db"])


def constellations(found: Sequence[Row]) -> list[int]:
    """Bits per symbol that occur, rising."""
    return sorted({row["bits_per_symbol"] for row in found} - {None})


def k_bins(found: Sequence[Row]) -> list[str]:
    """The K bins in the order in which they come."""
    return [k_bin for k_bin in dict.fromkeys(row["k_bin"] for row in found) if k_bin is not None]


def snrs_db(found: Sequence[Row]) -> list[float]:
    """SNRs that occur, rising."""
    return sorted({row["snr_db"] for row in found})


def values(curve: Sequence[Row], at: Sequence[float], column: str = "value") -> np.ndarray:
    """A curve's numbers at the SNRs, float64[n_snr]; NaN where there is none."""
    by_snr = {row["snr_db"]: row[column] for row in curve}
    found = [by_snr.get(snr_db) for snr_db in at]
    return np.array([np.nan if value is None else value for value in found], np.float64)
