"""Rows of error-rate curves: their columns, and ``ber.jsonl``, the append-only file of them."""

import json
import math
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wfm_jax.results import atomic
from wfm_jax.results.rows import Column

Row = dict[str, Any]


def _measured(name: str, meaning: str) -> tuple[Column, ...]:
    return (
        Column(name, "float64", meaning),
        Column(f"{name}_low", "float64", f"lower end of the 95 % interval of {name}"),
        Column(f"{name}_high", "float64", f"upper end of the 95 % interval of {name}"),
    )


def _with_theory(name: str, meaning: str) -> tuple[Column, ...]:
    return (
        *_measured(name, meaning),
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
    *_measured("fer", "frame error rate, uncoded"),
    *_measured("channel_nmse_db", "channel estimation error over channel power"),
    Column("predicted_nmse_db", "float64", "the same as the receiver itself expects it"),
    Column("status", "str", "why the point ended"),
    Column("ends_curve", "int64", "1: the curve was not followed to higher SNRs, else 0"),
    Column("wall_s", "float64", "run time of the point, all its receivers together"),
)
_TYPES = {"str": str, "int64": int, "float64": (int, float)}


def complete_row(row: Mapping[str, Any]) -> Row:
    """All columns in order; missing values and those that are not finite become None.

    Raises:
        ValueError: an unknown column, or a value that its dtype does not hold.
    """
    unknown = set(row) - {column.name for column in COLUMNS}
    if unknown:
        raise ValueError(f"unknown columns {sorted(unknown)}")
    return {column.name: _cell(column, row.get(column.name)) for column in COLUMNS}


def append_rows(path: str | os.PathLike, rows: Iterable[Mapping[str, Any]]) -> None:
    """Adds rows in one write and returns when they are on disk; other values than the columns'
    dtypes are a ValueError, and nothing is written."""
    lines = [json.dumps(complete_row(row), allow_nan=False) + "\n" for row in rows]
    with open(path, "ab", buffering=0) as file:
        file.write("".join(lines).encode())
        os.fsync(file.fileno())


def read_rows(path: str | os.PathLike) -> list[Row]:
    """The rows of a file; no file is no rows. A last line that a killed process left torn is not
    read.

    Raises:
        ValueError: any other line is not a row; the message names file and line.
    """
    path = pathlib.Path(path)
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(complete_row(json.loads(line)))
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    return rows


def repair(path: str | os.PathLike) -> bool:
    """Cuts a torn last line off, so that rows can be appended; whether there was one."""
    path = pathlib.Path(path)
    whole, newline, torn = path.read_bytes().rpartition(b"\n") if path.exists() else (b"",) * 3
    if torn:
        atomic.write_bytes(path, whole + newline)
    return bool(torn)


def write_parquet(rows: Sequence[Mapping[str, Any]], path: str | os.PathLike) -> None:
    """Writes rows as Parquet with the columns' dtypes, also none."""
    import pyarrow
    import pyarrow.parquet

    types = {"str": pyarrow.string(), "int64": pyarrow.int64(), "float64": pyarrow.float64()}
    schema = pyarrow.schema([(column.name, types[column.dtype]) for column in COLUMNS])
    table = pyarrow.Table.from_pylist([complete_row(row) for row in rows], schema=schema)
    with atomic.replacing(path) as beside:
        pyarrow.parquet.write_table(table, beside)


def _cell(column: Column, value: Any) -> Any:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if not isinstance(value, _TYPES[column.dtype]) or isinstance(value, bool):
        raise ValueError(f"column {column.name} holds {column.dtype}, got {value!r}")
    return float(value) if column.dtype == "float64" else value
