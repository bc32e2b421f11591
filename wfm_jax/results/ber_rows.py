"""Rows of error-rate curves: their columns, and ``ber.jsonl``, the append-only file of them."""

import functools

from wfm_jax.results import rows
from wfm_jax.results.rows import Column, Row, measured_columns

__all__ = ["COLUMNS", "Row", "append_rows", "complete_row", "read_rows", "write_parquet"]


def _with_theory(name: str, meaning: str) -> tuple[Column, ...]:
    return (
        *measured_columns(name, meaning),
        Column(f"{name}_theory", "float64", f"closed form of {name} for a known channel"),
        Column(
            f"{name}_z", "float64", "genie, from 10 wrong frames on: (measured - theory) / error"
        ),
    )


COLUMNS = (
    Column("scenario", "str", "name of the scenario"),
    Column("constellation", "int64", "points of the square QAM"),
    Column("receiver", "str", "genie, lmmse, lmmse_true, ls, data_aided or the user's own"),
    Column("snr_db", "float64", "mean SNR of a resource element"),
    Column("ebn0_db", "float64", "mean Eb/N0 of uncoded bits on a data element"),
    Column("ebn0_charged_db", "float64", "the same, pilots and cyclic prefix charged to the bits"),
    Column("frames", "int64", "frames simulated"),
    Column("bits", "int64", "payload bits in them"),
    Column("symbols", "int64", "payload symbols in them"),
    Column("bit_errors", "int64", "wrong bits"),
    Column("symbol_errors", "int64", "wrong symbols"),
    Column("frame_errors", "int64", "frames with a wrong bit"),
    *_with_theory("ber", "bit error rate"),
    *_with_theory("ser", "symbol error rate"),
    *_with_theory("gmi", "generalised mutual information, bits per symbol"),
    *measured_columns("fer", "frame error rate, uncoded"),
    *measured_columns("channel_nmse_db", "channel estimation error over channel power"),
    Column("predicted_nmse_db", "float64", "the same as the receiver itself expects it"),
    Column("status", "str", "why the point ended"),
    Column("ends_curve", "int64", "1: the curve was not followed to higher SNRs, else 0"),
    Column("wall_s", "float64", "run time of the point, all its receivers together"),
)

complete_row = functools.partial(rows.complete_row, columns=COLUMNS)
append_rows = functools.partial(rows.append_rows, columns=COLUMNS)
read_rows = functools.partial(rows.read_rows, columns=COLUMNS)
write_parquet = functools.partial(rows.write_parquet, columns=COLUMNS)
