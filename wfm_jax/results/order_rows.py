"""The rows of a study of order: of one or several runs, checked to be of one experiment."""

import os
import pathlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from wfm_jax.results import naming
from wfm_jax.results.naming import Row
from wfm_jax.results.rows import complete_row, read_rows

FILES = ("results.jsonl", "results.parquet", "rows.parquet")
"""What is read of a folder: the first of them that is there."""

_TRAINING = ("KD", "FT")
_OF_P = ("sparsity", "structure", "score_on", "distribution", "score")
_OF_Q = ("weight_bits", "act_bits", "table_bits", "train_from", "scale", "rounding")
_VIEWS = "views"
_ONE_VALUE = (
    *("distribution", "score", "rounding", "bound", "group_size", "quant_format", "allocation"),
    *("act_bits", "vector_bits", "rank_share", "temperature", "alpha", "feature_weight"),
    *("relation_weight", "attention_weight", "learning_rate", "steps", "unlabelled_frames"),
    _VIEWS,
)
_ONE_VALUE_AT_BITS = ("scale", "table_bits")


class StudyRows(NamedTuple):
    """Rows of one experiment.

    Attributes:
      rows: all of them, each configuration of each teacher once.
      compared: the configurations that differ in nothing but what the study varies: pipeline,
        operating point, structure, student, start, recovery, ``score_on``, ``train_from``, seed.
      aside: how many others there are, by the setting that sets them apart, like ``alpha=1``.
    """

    rows: list[Row]
    compared: list[Row]
    aside: dict[str, int]


def read_study(paths: Sequence[str | os.PathLike]) -> StudyRows:
    """The rows of files, or of run folders.

    Args:
        paths: each a ``.jsonl`` or ``.parquet`` of result rows, or a folder with one of
            :data:`FILES`.

    Raises:
        ValueError: one line that names file and column where something is no result row, or is of
            another experiment than the rows before: other test frames, a teacher of another size,
            another result of the same configuration.
        OSError: a path that is not there.
    """
    merged: dict[tuple, tuple[pathlib.Path, Row]] = {}
    for path in map(_file, paths):
        for row in _read(path):
            key = tuple(row[name] for name in ("teacher_hash", "kind", "config_id"))
            if key not in merged:
                merged[key] = path, row
            elif column := _differs(merged[key][1], row):
                raise ValueError(
                    f"{path}: column {column} of configuration {row['config_id']} is "
                    f"{row[column]}, {merged[key][1][column]} in {merged[key][0]}"
                )
    if not any(row["kind"] == "configuration" for _, row in merged.values()):
        raise ValueError(f"{', '.join(map(str, paths))}: no rows of configurations")
    _check_one_experiment(list(merged.values()))
    rows = [row for _, row in merged.values()]
    return StudyRows(rows, *_set_aside(naming.configurations(rows)))


def as_stored(row: Row) -> Row:
    """A row with null for what does not act in its pipeline, as ``results.jsonl`` has it; the
    Parquet of a run repeats a row for every setting that was asked for."""
    if naming.is_reference(row):
        return row
    stages = naming.stages(row)
    before_prune = stages[: stages.index("P")] if "P" in stages else ()
    unused: set[str] = set()
    if "P" not in stages:
        unused.update(_OF_P)
    if "Q" not in before_prune:
        unused.add("score_on")
    if "Q" not in stages:
        unused.update(_OF_Q)
    trains = bool(set(stages) & set(_TRAINING)) or bool(row["recovery_steps"])
    if not trains:
        unused.update(("learning_rate", "train_from", "steps"))
    if "KD" not in stages:
        unused.update(("temperature", "alpha"))
    if not trains and "P" not in stages and row["init"] != "scratch":
        unused.add("seed")
    return {name: None if name in unused else value for name, value in row.items()}


def _file(path: str | os.PathLike) -> pathlib.Path:
    path = pathlib.Path(path)
    if not path.is_dir():
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder")
        return path
    found = next((path / name for name in FILES if (path / name).is_file()), None)
    if found is None:
        raise ValueError(f"{path}: none of {', '.join(FILES)} is in this folder")
    return found


def _read(path: pathlib.Path) -> list[Row]:
    if path.suffix == ".jsonl":
        rows, _ = read_rows(path)
    elif path.suffix == ".parquet":
        rows = _of_parquet(path)
    else:
        raise ValueError(f"{path}: rows are in a .jsonl or a .parquet file")
    for number, row in enumerate(rows, start=1):
        for name in ("kind", "config_id", "pipeline", "test_frames_hash", "teacher_hash"):
            if row[name] is None:
                raise ValueError(f"{path}, row {number}: column {name} is empty")
    return [as_stored(row) for row in rows]


def _of_parquet(path: pathlib.Path) -> list[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except pyarrow.ArrowException as error:
        raise ValueError(f"{path}: {error}") from None
    try:
        return [complete_row(row) for row in rows]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _differs(one: Row, other: Row) -> str | None:
    """A column of cost or quality in which two rows of a configuration differ."""
    measured = ("status", "size_bytes", "gmi_fraction", "retention", "test_frames_hash")
    return next((name for name in measured if one[name] != other[name]), None)


def _check_one_experiment(found: Sequence[tuple[pathlib.Path, Row]]) -> None:
    first_path, first = found[0]
    teacher = next((of for of in found if of[1]["pipeline"] == "teacher"), None)
    for path, row in found:
        if row["test_frames_hash"] != first["test_frames_hash"]:
            raise ValueError(
                f"{path}: column test_frames_hash is {row['test_frames_hash']}, "
                f"{first['test_frames_hash']} in {first_path}: other frames do not compare"
            )
        is_teacher = naming.is_reference(row) and row["pipeline"] == "teacher"
        if teacher and is_teacher and row["params_total"] != teacher[1]["params_total"]:
            raise ValueError(
                f"{path}: column params_total of the teacher is {row['params_total']}, "
                f"{teacher[1]['params_total']} in {teacher[0]}: teachers of one size are needed"
            )


def _set_aside(rows: Sequence[Row]) -> tuple[list[Row], dict[str, int]]:
    """Rows at the study's usual settings, those that most rows have, and counts of the others."""
    usual = {
        **{(name, None): _most_common(rows, name) for name in _ONE_VALUE},
        **{
            (name, bits): _most_common([r for r in rows if r["weight_bits"] == bits], name)
            for name in _ONE_VALUE_AT_BITS
            for bits in {row["weight_bits"] for row in rows} - {None}
        },
        ("recovery_steps", None): _most_common([r for r in rows if r["recovery_steps"]],
                                               "recovery_steps"),
    }  # fmt: skip
    compared, aside = [], Counter()
    for row in rows:
        unusual = [
            f"{name}={_setting(row, name)}"
            for (name, bits), value in usual.items()
            if bits in (None, row["weight_bits"]) and _setting(row, name) not in (None, value)
            if not (name == "recovery_steps" and row[name] == 0)
        ]
        if unusual:
            aside[unusual[0]] += 1
        else:
            compared.append(row)
    return compared, dict(aside)


def _most_common(rows: Iterable[Row], name: str) -> Any:
    """The value that most rows have; of equally many the least, so that no order of rows counts."""
    values = [_setting(row, name) for row in rows]
    counts = Counter(value for value in values if value is not None)
    return max(sorted(counts), key=counts.__getitem__, default=None)


def _setting(row: Row, name: str) -> Any:
    """A column, or the views that the student reads."""
    return (naming.student_views(row) or "all") if name == _VIEWS else row[name]
