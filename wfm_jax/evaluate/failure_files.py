"""Failure modes in a run folder: rows, and the table that people read."""

import io
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from wfm_jax.evaluate import sensitive_tensors, wrong_calibration_study
from wfm_jax.evaluate.robustness_files import Subject
from wfm_jax.evaluate.sensitive_tensors import SensitiveTensors
from wfm_jax.evaluate.sensitivity import FrameLoss
from wfm_jax.evaluate.sensitivity_study import Subject as Tensors
from wfm_jax.evaluate.wrong_calibration_study import Bench, WrongCalibration
from wfm_jax.model import ModelConfig
from wfm_jax.results import atomic
from wfm_jax.results.failure_rows import CALIBRATION_COLUMNS, TENSOR_COLUMNS
from wfm_jax.results.failure_text import WIDTH
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.results.rows import Column, Row, append_rows, read_rows

PARTS = {
    "activations": wrong_calibration_study.measure_activations,
    "weights": wrong_calibration_study.measure_weights,
}


class Model(NamedTuple):
    """The model under study: architecture, parameters, the same with every prunable weight zero,
    the hash that rows carry, and the task loss of frames."""

    config: ModelConfig
    params: Any
    null: Any
    hash: str
    loss: FrameLoss


def measure_in_folder(
    study: SensitiveTensors | WrongCalibration,
    model: Model,
    path: str | os.PathLike,
    *,
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Measures what the file has no rows of: of calibrations a part, activations or weights.

    Args:
        study: what to measure; the file holds no other study's rows.
        model: the model.
        path: of the rows, in an open run.
        progress: display.
        check: called between calls of programs; what it raises ends the run.
    """
    path, progress = pathlib.Path(path), progress or Silent()
    if isinstance(study, WrongCalibration):
        return _calibration(study, model, path, progress, check)
    known = read_rows(path, TENSOR_COLUMNS)[0]
    if known:
        return known
    subject = Tensors(model.config, model.params, model.loss, model.hash)
    found = sensitive_tensors.measure(study, subject, progress=progress, check=check)
    return write_rows(TENSOR_COLUMNS, path, found)


def _calibration(
    study: WrongCalibration,
    model: Model,
    path: pathlib.Path,
    progress: Progress,
    check: Callable[[], None],
) -> list[Row]:
    rows, bench = read_rows(path, CALIBRATION_COLUMNS)[0], None
    for part, measure in PARTS.items():
        if part not in {row["part"] for row in rows}:
            bench = bench or Bench(study, Subject(*model[:4]))
            found = measure(bench, progress=progress, check=check)
            rows = write_rows(CALIBRATION_COLUMNS, path, [*rows, *found])
    return rows


def write_rows(columns: Sequence[Column], path: pathlib.Path, rows: Sequence[Row]) -> list[Row]:
    """All rows of a file in one step: they are there as a whole or not at all."""
    with atomic.replacing(path) as beside:
        append_rows(beside, rows, columns)
    return read_rows(path, columns)[0]


def table_text(show: Callable[[Sequence[Row], object], None], rows: Sequence[Row]) -> str:
    """A table of ``failure_tables`` as text of at most 100 columns."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=WIDTH)
    show(rows, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def write_table(text: str, path: str | os.PathLike) -> None:
    """Puts the table beside the rows."""
    atomic.write_bytes(pathlib.Path(path), text.encode())
