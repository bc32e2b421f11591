"""Packed models at places that no training saw, in a run folder: rows, picture, read-out."""

import io
import os
import pathlib
from collections.abc import Callable, Sequence

from wfm_jax.evaluate.generalisation import GeneralisationStudy, Teacher, measure_place
from wfm_jax.evaluate.generalisation_rows import rows_of_place
from wfm_jax.results import atomic
from wfm_jax.results.generalisation_picture import generalisation_picture
from wfm_jax.results.generalisation_rows import COLUMNS, HOME, read_rows
from wfm_jax.results.generalisation_table import print_generalisation
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.results.rows import Row, append_rows

ROWS, PICTURE, SUMMARY = "generalisation.jsonl", "generalisation.png", "summary.txt"
WIDTH = 100


def generalise_in_folder(
    study: GeneralisationStudy,
    teacher: Teacher,
    folder: str | os.PathLike,
    *,
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Measures the places that the folder has no rows of, and draws all of them.

    The rows of a place are written in one step when all its models are measured.

    Args:
        study: what to measure; the folder holds no other models' rows.
        teacher: the uncompressed model.
        folder: of an open run.
        progress: display.
        check: called between models; what it raises ends the run, without the place at hand.

    Returns:
        all rows of the folder, in the order of the study's places.
    """
    path, progress = pathlib.Path(folder) / ROWS, progress or Silent()
    rows = read_rows(path)[0]
    missing = [p for p in study.places if p.name not in {row["place"] for row in rows}]
    each = 1 + len(study.packed)
    n_done = len(study.places) - len(missing)
    progress.start("places", each * len(study.places), each * n_done)
    for place in missing:
        measured = measure_place(place, teacher, study.packed, progress=progress, check=check)
        at_home = [row for row in rows if row["place"] == HOME]
        new = rows_of_place(
            place, measured, study.packed, at_home, teacher_hash=teacher.hash, seed=study.seed
        )
        with atomic.replacing(path) as beside:
            append_rows(beside, [*rows, *new], COLUMNS)
        rows = read_rows(path)[0]
    order = {place.name: i for i, place in enumerate(study.places)}
    rows.sort(key=lambda row: order[row["place"]])
    generalisation_picture(rows, path.with_name(PICTURE))
    return rows


def read_out(rows: Sequence[Row]) -> str:
    """The tables as text of at most 100 columns."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=WIDTH)
    print_generalisation(rows, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def write_summary(text: str, folder: str | os.PathLike) -> None:
    """Puts the read-out beside the rows."""
    atomic.write_bytes(pathlib.Path(folder) / SUMMARY, text.encode())
