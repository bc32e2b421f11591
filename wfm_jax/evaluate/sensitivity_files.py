"""Sensitivity and allocations in a run folder: rows, Parquet, heat map, packed files, read-out."""

import io
import json
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from wfm_jax.evaluate import sensitivity_study
from wfm_jax.evaluate.sensitivity_study import SensitivityStudy, Subject
from wfm_jax.results import atomic, sensitivity_table
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.results.rows import Column, Row, append_rows, read_rows, write_parquet
from wfm_jax.results.sensitivity_picture import sensitivity_picture
from wfm_jax.results.sensitivity_rows import ALLOCATION_COLUMNS, COLUMNS

CELLS, ALLOCATIONS, SUMMARY = "sensitivity.jsonl", "allocation.jsonl", "summary.txt"
PARQUET, PICTURE, FILES = "sensitivity.parquet", "heat_map.png", "files"


def run_in_folder(
    study: SensitivityStudy,
    subject: Subject,
    folder: str | os.PathLike,
    *,
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> tuple[list[Row], list[Row]]:
    """Measures what the folder has no rows of, and draws it.

    Args:
        study: what to measure; the folder holds no other study's rows.
        subject: the model.
        folder: of an open run.
        progress: display.
        check: called between calls of the program; what it raises ends the run.

    Returns:
        rows of tensors and levels, and of allocations.
    """
    path, progress = pathlib.Path(folder), progress or Silent()
    cells = read_rows(path / CELLS, COLUMNS)[0]
    if not cells:
        found = sensitivity_study.measure_cells(study, subject, progress=progress, check=check)
        cells = _write(COLUMNS, path / CELLS, found)
    write_parquet(cells, path / PARQUET, COLUMNS)
    sensitivity_picture(cells, path / PICTURE)
    given = read_rows(path / ALLOCATIONS, ALLOCATION_COLUMNS)[0]
    if not given:
        bits = sensitivity_study.allocations(study, subject, cells)
        found = sensitivity_study.measure_allocations(
            study, subject, bits, progress=progress, check=check
        )
        given = _write(ALLOCATION_COLUMNS, path / ALLOCATIONS, found)
    (path / FILES).mkdir(exist_ok=True)
    for i, row in enumerate(given):
        data = sensitivity_study.packed(subject, np.array(list(json.loads(row["bits"]).values())))
        atomic.write_bytes(path / FILES / f"{i}_{row['configuration']}.wfm", data)
    return cells, given


def read_out(cells: Sequence[Row], given: Sequence[Row]) -> str:
    """All tables as text of at most 100 columns."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=sensitivity_table.WIDTH)
    sensitivity_table.print_cells(cells, console)
    console.print()
    sensitivity_table.print_bits(given, console)
    console.print()
    sensitivity_table.print_allocations(given, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def write_summary(text: str, folder: str | os.PathLike) -> None:
    """Puts the read-out beside the rows."""
    atomic.write_bytes(pathlib.Path(folder) / SUMMARY, text.encode())


def _write(columns: Sequence[Column], path: pathlib.Path, rows: Sequence[Row]) -> list[Row]:
    """All rows in one step: they are there as a whole or not at all."""
    with atomic.replacing(path) as beside:
        append_rows(beside, rows, columns)
    return read_rows(path, columns)[0]
