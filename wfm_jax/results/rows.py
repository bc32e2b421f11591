"""Result rows: the schema as data, and the append-only file that is the truth.

``results.jsonl`` holds one JSON object a line, one line per finished configuration. Every line
carries every column of ``COLUMNS``; what is not known is null. Parquet is derived from it. Files of
other rows (``ber_rows``) work alike, on columns of their own.
"""

import json
import math
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from wfm_jax.results import atomic
from wfm_jax.results.identity import config_id

__all__ = [
    "COLUMNS",
    "Column",
    "append_row",
    "append_rows",
    "config_id",
    "measured_columns",
    "read_rows",
    "write_parquet",
]

Row = dict[str, Any]


class Column(NamedTuple):
    """A column's name (with its unit), dtype (``str``, ``int64`` or ``float64``) and meaning."""

    name: str
    dtype: str
    meaning: str


def measured_columns(name: str, meaning: str) -> tuple[Column, Column, Column]:
    """A number and the ends of its 95 % interval: ``name``, ``name_low``, ``name_high``."""
    return (
        Column(name, "float64", meaning),
        Column(f"{name}_low", "float64", f"lower end of the 95 % interval of {name}"),
        Column(f"{name}_high", "float64", f"upper end of the 95 % interval of {name}"),
    )


def _scored(name: str, meaning: str) -> tuple[Column, Column]:
    half_width = Column(f"{name}_ci95", "float64", f"half-width of the 95 % interval of {name}")
    return Column(name, "float64", meaning), half_width


_ASKED = (
    Column("config_id", "str", "hash of the canonical configuration"),
    Column("kind", "str", "configuration | reference"),
    Column("pipeline", "str", "stages joined by '-', or the reference's name"),
    Column("init", "str", "where the student's weights come from"),
    Column("structure", "str", "what is removed together: unstructured | 2:4 | heads | ..."),
    Column("schedule", "str", "how sparse each P of several makes it: one-shot | cubic"),
    Column("score", "str", "what a weight is worth: magnitude | taylor | wanda | random"),
    Column("distribution", "str", "how sparsity is spread over layers"),
    Column("score_on", "str", "what pruning scores: current | latent"),
    Column("train_from", "str", "what training after Q starts from: snapped | latent"),
    Column("scale", "str", "how scales are chosen: absmax | mse | percentile | learned"),
    Column("rounding", "str", "how weights become integers: nearest | gptq | awq"),
    Column("bound", "str", "scale convention: restricted | half_step"),
    Column("group_size", "int64", "weights that share a scale; null: a whole output channel"),
    Column("sparsity", "float64", "share of prunable weights to remove, 0 to 1"),
    Column("weight_bits", "float64", "bits per quantized weight; 16 and more: floating point"),
    Column("table_bits", "float64", "least bits of embeddings and heads"),
    Column("vector_bits", "float64", "bits of norms and biases; 16: float16"),
    Column("act_bits", "float64", "bits per activation; 16 and more: floating point"),
    Column("quant_format", "str", "integer | affine | nf4 | nf4_double"),
    Column("allocation", "str", "bits by tensor, JSON, where they are not weight_bits"),
    Column("rank_share", "float64", "numbers that low rank stores over those there were, 0 to 1"),
    Column("temperature", "float64", "distillation temperature"),
    Column("alpha", "float64", "weight of distillation in the loss, 0 to 1"),
    Column("feature_weight", "float64", "weight of matched residual streams in distillation"),
    Column("relation_weight", "float64", "the same of relations between frames"),
    Column("attention_weight", "float64", "the same of attention maps"),
    Column("learning_rate", "float64", "peak learning rate"),
    Column("seed", "int64", "seed of the data stream and the initial draws"),
    Column("student", "str", "same | smaller; with :grid+csi where it reads these views only"),
    Column("steps", "int64", "optimizer steps in all"),
    Column("recovery_steps", "int64", "of these, steps of task loss at the end"),
    Column("unlabelled_frames", "int64", "frames of a step that the teacher alone labels, if any"),
)

_COST = (
    Column("status", "str", "ok | diverged | dropped (by successive halving)"),
    Column("stopped_at", "int64", "optimizer step at which it diverged or dropped out"),
    Column("validation_loss", "float64", "task loss on other frames when it dropped out"),
    Column("sparsity_achieved", "float64", "share of prunable weights that are zero"),
    Column("params_total", "int64", "parameters"),
    Column("params_nonzero", "int64", "parameters that are not zero"),
    Column("mean_bits", "float64", "bits of a kernel's or a table's weight, mean over all"),
    Column("size_bytes", "int64", "size of the packed file"),
    Column("compression_ratio", "float64", "the teacher's float32 file over this file"),
    Column("flops", "float64", "floating-point operations per frame"),
    Column("bit_ops", "float64", "bit operations per frame"),
)

_QUALITY = (
    *_scored("amc_accuracy", "modulation classification, mean of 10, 15 and 20 dB, 0 to 1"),
    *_scored("gmi_fraction", "mean over constellations of GMI / bits per symbol, 0 to 1"),
    *_scored("ber_4", "bit error rate of 4-QAM"),
    *_scored("ber_16", "bit error rate of 16-QAM"),
    *_scored("ber_64", "bit error rate of 64-QAM"),
    *_scored("ber_256", "bit error rate of 256-QAM"),
    *_scored("snr_loss_db", "extra SNR to reach the teacher's BER, worst constellation"),
    *_scored("channel_nmse_db", "channel estimation error over channel power"),
    *_scored("k_mae_db", "mean absolute error of the K-factor"),
    *_scored("snr_mae_db", "mean absolute error of the SNR"),
    *_scored("los_accuracy", "line of sight or not, 0 to 1"),
    *_scored("example_score", "of a model that is not ours: mean of its own score over examples"),
    *_scored("retention", "smallest over tasks of (m - m_null) / (m_teacher - m_null)"),
    Column("teacher_agreement", "float64", "share of decisions equal to the teacher's, 0 to 1"),
    Column("loss", "float64", "task loss on the test frames"),
)

_PROVENANCE = (
    Column("wall_s", "float64", "wall time of the program that made the row"),
    Column("device", "str", "what it ran on"),
    Column("versions", "str", "library versions"),
    Column("test_frames_hash", "str", "hash of the frozen test frames"),
    Column("teacher_hash", "str", "hash of the teacher's weights"),
)

COLUMNS: tuple[Column, ...] = _ASKED + _COST + _QUALITY + _PROVENANCE


def complete_row(row: Mapping[str, Any], columns: Sequence[Column] = COLUMNS) -> Row:
    """``row`` with every column in schema order; missing and non-finite values become None.

    Raises ValueError for a column the schema lacks or a value its dtype does not hold.
    """
    if unknown := sorted(set(row) - {column.name for column in columns}):
        raise ValueError(f"unknown column {', '.join(unknown)}")
    return {column.name: _cell(column, row.get(column.name)) for column in columns}


def append_row(path: str | os.PathLike, row: Mapping[str, Any]) -> None:
    """Adds one line to ``path``, as :func:`append_rows` does."""
    append_rows(path, [row])


def append_rows(
    path: str | os.PathLike,
    rows: Iterable[Mapping[str, Any]],
    columns: Sequence[Column] = COLUMNS,
) -> None:
    """Adds lines to ``path`` in one write and returns when they are on disk.

    Raises OSError where they cannot be written (a full disk), ValueError as ``complete_row`` does,
    and when the file ends in a torn row (``read_rows`` repairs it); the file is then as it was.
    """
    lines = [
        json.dumps(complete_row(row, columns), separators=(",", ":"), allow_nan=False) + "\n"
        for row in rows
    ]
    with open(path, "ab+", buffering=0) as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                raise ValueError(f"{path} ends in a torn row: read_rows repairs it")
        before, rest = file.seek(0, os.SEEK_END), memoryview("".join(lines).encode())
        try:
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError:  # a full disk: half a row helps nobody
            file.truncate(before)
            raise


def read_rows(
    path: str | os.PathLike, columns: Sequence[Column] = COLUMNS
) -> tuple[list[Row], str | None]:
    """The rows of ``path`` and, if its last line was torn, one line saying what was cut off.

    A process killed while appending leaves a last line without its newline or half of one; that
    line is removed from the file, in one step. No file is no rows. Raises ValueError naming file
    and line for anything else that is not a row.
    """
    path = pathlib.Path(path)
    rows, lines, torn = _parsed(path, columns)
    if not torn:
        return rows, None
    kept = b"".join(line + b"\n" for line in lines[: len(rows)])
    atomic.write_bytes(path, kept)
    return rows, f"{path}: cut off a torn row of {len(torn)} bytes after line {len(rows)}"


def rows_so_far(path: str | os.PathLike, columns: Sequence[Column] = COLUMNS) -> list[Row]:
    """As :func:`read_rows`, for a file that another process may be writing: a torn last line is
    left out, and left there."""
    return _parsed(pathlib.Path(path), columns)[0]


def _parsed(path: pathlib.Path, columns: Sequence[Column]) -> tuple[list[Row], list[bytes], bytes]:
    """Rows, whole lines, and a torn last one."""
    if not path.exists():
        return [], [], b""
    *lines, rest = path.read_bytes().split(b"\n")
    rows, torn = [], rest
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(complete_row(_object(line), columns))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            if number < len(lines) or rest:
                raise ValueError(f"{path}, line {number}: {error}") from None
            torn = line + b"\n"
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    return rows, lines, torn


def write_parquet(
    rows: Iterable[Mapping[str, Any]],
    path: str | os.PathLike,
    columns: Sequence[Column] = COLUMNS,
) -> None:
    """Writes ``rows`` as Parquet with the schema's dtypes, whatever the rows hold (also none)."""
    import pyarrow
    import pyarrow.parquet

    types = {"str": pyarrow.string(), "int64": pyarrow.int64(), "float64": pyarrow.float64()}
    schema = pyarrow.schema([(column.name, types[column.dtype]) for column in columns])
    lines = [complete_row(row, columns) for row in rows]
    table = pyarrow.Table.from_pylist(lines, schema=schema)
    with atomic.replacing(path) as beside:
        pyarrow.parquet.write_table(table, beside)


def _object(line: bytes) -> dict:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _cell(column: Column, value: Any) -> Any:
    name, dtype, _ = column
    if hasattr(value, "item"):
        value = value.item()
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if dtype == "str" and isinstance(value, str):
        return value
    if dtype != "str" and isinstance(value, int | float) and not isinstance(value, bool):
        if dtype == "float64":
            return float(value)
        if value == int(value):
            return int(value)
    raise ValueError(f"column {name} holds {dtype}, got {value!r}")
