"""Conditions and missing views in a run folder: rows, pictures, read-out."""

import io
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from wfm_jax.evaluate import condition_study, view_removal
from wfm_jax.evaluate.condition_rows import rows_of_conditions
from wfm_jax.evaluate.condition_study import ConditionStudy
from wfm_jax.evaluate.frames import TestSet, frames_hash
from wfm_jax.evaluate.intervals import resample_weights
from wfm_jax.evaluate.view_rows import rows_of_views
from wfm_jax.model import ModelConfig
from wfm_jax.results import atomic, condition_rows, condition_table, view_rows, view_table
from wfm_jax.results.condition_picture import condition_picture
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.results.rows import Column, Row, append_rows, read_rows
from wfm_jax.results.view_picture import view_picture

CONDITIONS, VIEWS, SUMMARY = "robustness.jsonl", "views.jsonl", "summary.txt"
CONDITIONS_PICTURE, VIEWS_PICTURE = "conditions.png", "views.png"
N_RESAMPLES = 400
WIDTH = 100


class Subject(NamedTuple):
    """The model: architecture, parameters, the same with every prunable weight zero, and the hash
    that rows carry."""

    config: ModelConfig
    params: Any
    null: Any
    hash: str


def conditions_in_folder(
    study: ConditionStudy,
    subject: Subject,
    folder: str | os.PathLike,
    *,
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Measures the conditions, unless the folder has their rows, and draws them.

    Args:
        study: what to measure; the folder holds no other study's rows.
        subject: the model.
        folder: of an open run.
        progress: display.
        check: called between programs; what it raises ends the run, without rows.
    """
    path, progress = pathlib.Path(folder) / CONDITIONS, progress or Silent()
    rows = _read(condition_rows.COLUMNS, path)
    if not rows:
        found = condition_study.measure(
            study, subject.config, subject.params, progress=progress, check=check
        )
        words = {condition.name: condition.words for condition in study.conditions}
        new = [
            row | {"words": words[row["condition"]], "teacher_hash": subject.hash}
            for row in rows_of_conditions(found, study.snrs_db, seed=study.seed)
        ]
        rows = _write(condition_rows.COLUMNS, path, new)
    condition_picture(rows, path.with_name(CONDITIONS_PICTURE))
    return rows


def views_in_folder(
    test_set: TestSet,
    subsets: Sequence[tuple[str, ...]],
    subject: Subject,
    folder: str | os.PathLike,
    *,
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Measures the model without views, unless the folder has the rows, and draws them.

    Args:
        test_set: the frozen frames.
        subsets: of views that are present.
        subject: the model.
        folder: of an open run.
        progress: display.
        check: called between programs; what it raises ends the run, without rows.
    """
    path, progress = pathlib.Path(folder) / VIEWS, progress or Silent()
    rows = _read(view_rows.COLUMNS, path)
    if not rows:
        measured = view_removal.measure(
            test_set, subject.config, subject.params, subject.null, subsets,
            progress=progress, check=check,
        )  # fmt: skip
        weights = resample_weights(test_set.strata, N_RESAMPLES, seed=test_set.seed)
        hashes = {"test_frames_hash": frames_hash(test_set), "teacher_hash": subject.hash}
        new = [row | hashes for row in rows_of_views(measured, weights)]
        rows = _write(view_rows.COLUMNS, path, new)
    view_picture(rows, path.with_name(VIEWS_PICTURE))
    return rows


def read_out(conditions: Sequence[Row], views: Sequence[Row]) -> str:
    """The tables of both studies as text of at most 100 columns."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=WIDTH)
    if conditions:
        beside = condition_study.BESIDE_DB
        condition_table.print_conditions(conditions, console, beside=beside)
    if views:
        console.print()
        view_table.print_views(views, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def write_summary(text: str, folder: str | os.PathLike) -> None:
    """Puts the read-out beside the rows."""
    atomic.write_bytes(pathlib.Path(folder) / SUMMARY, text.encode())


def _read(columns: Sequence[Column], path: pathlib.Path) -> list[Row]:
    return read_rows(path, columns)[0]


def _write(columns: Sequence[Column], path: pathlib.Path, rows: Sequence[Row]) -> list[Row]:
    """All rows in one step: a study is there as a whole or not at all."""
    with atomic.replacing(path) as beside:
        append_rows(beside, rows, columns)
    return _read(columns, path)
