"""Error-rate curves in a run folder: rows as they come, then Parquet, picture and read-out."""

import io
import os
import pathlib
from collections.abc import Callable, Sequence

from wfm_jax.evaluate import ber
from wfm_jax.evaluate.ber_study import Study
from wfm_jax.results import atomic, ber_rows, ber_table
from wfm_jax.results.ber_picture import ber_picture
from wfm_jax.results.ber_rows import Row
from wfm_jax.results.progress import Progress, Silent

ROWS, PARQUET, PICTURE, SUMMARY = "ber.jsonl", "ber.parquet", "ber.png", "summary.txt"
PICTURE_AXIS = {"snr": "snr_db", "ebn0": "ebn0_db", "ebn0_charged": "ebn0_charged_db"}


def run_in_folder(
    study: Study,
    folder: str | os.PathLike,
    *,
    scores: Sequence[str] = ("ber", "ser", "gmi"),
    added: Sequence[Row] = (),
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Measures what a folder lacks of a study; a line tells each point.

    Args:
        study: what to measure; the folder holds no other study's rows.
        folder: of an open run.
        scores: panels of the picture.
        added: rows of other runs, of :func:`rows_of_runs`, drawn beside.
        progress: display.
        check: called between batches; what it raises ends the run, finished points are kept.

    Returns:
        all rows of the study, curve by curve.
    """
    folder, progress = pathlib.Path(folder), progress or Silent()
    (rows, repaired), title = ber_rows.read_rows(folder / ROWS), None
    if repaired:
        progress.say(repaired)
    if rows:
        progress.say(f"{len(rows)} rows are finished")
    for new in ber.run(study, done=rows, progress=progress, check=check):
        ber_rows.append_rows(folder / ROWS, new)
        rows += new
        if title != (title := ber_table.curve_title(new[0])):
            progress.say(f"\n{title}\n{ber_table.HEADING}")
        for row in new:
            progress.say(ber_table.point_line(row))
    rows = _in_order(study, rows)
    ber_rows.write_parquet(rows, folder / PARQUET)
    axis = PICTURE_AXIS[study.axis]
    ber_picture([*rows, *added], folder / PICTURE, scores=scores, axis=axis)
    atomic.write_bytes(folder / SUMMARY, read_out(rows).encode())
    return rows


def read_out(rows: Sequence[Row]) -> str:
    """The tables of all curves as text of at most 100 columns."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=ber_table.WIDTH)
    ber_table.print_read_out(rows, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def rows_of_runs(folders: Sequence[str]) -> list[Row]:
    """Rows of other run folders, each with its folder's name as ``run``.

    Raises:
        ValueError: a folder without rows.
    """
    found = []
    for folder in folders:
        path = pathlib.Path(folder) / ROWS
        rows, _ = ber_rows.read_rows(path)
        if not rows:
            raise ValueError(f"{path} holds no rows")
        found += [row | {"run": pathlib.Path(folder).resolve().name} for row in rows]
    return found


def _in_order(study: Study, rows: Sequence[Row]) -> list[Row]:
    """Rows as the study lists its curves, SNRs rising."""
    scenarios, receivers = list(study.links), list(study.receivers)

    def place(row: Row) -> tuple:
        receiver = row["receiver"]
        known = receivers.index(receiver) if receiver in receivers else len(receivers)
        return scenarios.index(row["scenario"]), row["constellation"], row["snr_db"], known

    return sorted(rows, key=place)
