"""A model on a recording in a run folder: rows, Parquet, the picture and the read-out."""

import io
import os
import pathlib
from collections.abc import Sequence

from wfm_jax.evaluate.recording_study import Heard
from wfm_jax.results import atomic
from wfm_jax.results.recording_picture import Spectrogram, recording_picture
from wfm_jax.results.recording_rows import SCORE_COLUMNS, SEGMENT_COLUMNS
from wfm_jax.results.recording_table import WIDTH, print_scores, print_segments, print_summary
from wfm_jax.results.rows import Column, Row, append_rows, read_rows, write_parquet
from wfm_jax.signal.waterfall import waterfall

SEGMENTS, SCORES, PARQUET = "segments.jsonl", "scores.jsonl", "segments.parquet"
PICTURE, SUMMARY = "recording.png", "summary.txt"


def write_heard(heard: Heard, title: str, folder: str | os.PathLike) -> str:
    """Leaves all files in a folder, in the place of an earlier call's; returns the read-out.

    Args:
        heard: what came of a recording.
        title: above the picture.
        folder: of an open run.
    """
    folder = pathlib.Path(folder)
    rows = _write(heard.segments, folder / SEGMENTS, SEGMENT_COLUMNS)
    scores = _write(heard.scores, folder / SCORES, SCORE_COLUMNS)
    write_parquet(rows, folder / PARQUET, SEGMENT_COLUMNS)
    end_s = heard.samples.size / heard.rate_hz
    shown = Spectrogram(waterfall(heard.samples), heard.rate_hz, end_s)
    recording_picture(rows, shown, title, folder / PICTURE)
    text = read_out(rows, scores, heard.notes)
    atomic.write_bytes(folder / SUMMARY, text.encode())
    return text


def read_out(rows: Sequence[Row], scores: Sequence[Row], notes: Sequence[str]) -> str:
    """The tables as text of at most 100 columns, what may be wrong first."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=WIDTH)
    for note in notes:
        console.print(f"Note: {note}", markup=False, highlight=False)
    print_segments(rows, console)
    console.print()
    print_summary(rows, console)
    print_scores(scores, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def _write(rows: Sequence[Row], path: pathlib.Path, columns: Sequence[Column]) -> list[Row]:
    """All rows in one step, and as they are stored."""
    with atomic.replacing(path) as beside:
        append_rows(beside, rows, columns)
    return read_rows(path, columns)[0]
