"""An evaluation in a run folder: rows, Parquet, pictures and the read-out."""

import io
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wfm_jax.evaluate.frames import frames_hash
from wfm_jax.evaluate.intervals import resample_weights
from wfm_jax.evaluate.model_rows import calibration_rows, evaluation_rows
from wfm_jax.evaluate.model_study import ModelStudy, measure
from wfm_jax.model import ModelConfig
from wfm_jax.results import atomic
from wfm_jax.results import evaluation_rows as files
from wfm_jax.results.calibration_picture import calibration_picture
from wfm_jax.results.confusion_picture import confusion_picture
from wfm_jax.results.evaluation_table import WIDTH, print_read_out
from wfm_jax.results.evaluation_verdict import closing_paragraph
from wfm_jax.results.link_state_picture import link_state_picture
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.results.receiver_pictures import accuracy_picture, ber_picture, nmse_picture
from wfm_jax.results.rows import Row

ROWS, PARQUET, CALIBRATION = "evaluation.jsonl", "evaluation.parquet", "calibration.parquet"
SUMMARY = "summary.txt"
RESAMPLES_SEED = 0


def run_in_folder(
    study: ModelStudy,
    config: ModelConfig,
    params: Any,
    folder: str | os.PathLike,
    *,
    teacher_hash: str,
    classifiers: Sequence[Mapping[str, Any]] = (),
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Measures a model beside classical receivers and leaves all files in a folder, in the place of
    those of an earlier call.

    Args:
        study: what to measure; its link is the model's.
        config: the model.
        params: its parameters.
        folder: of an open run.
        teacher_hash: names the model's weights in the rows.
        classifiers: other classifiers' accuracy, drawn beside: ``extra`` of
            :func:`wfm_jax.results.receiver_pictures.accuracy_picture`.
        progress: display.
        check: called between SNRs; what it raises ends the run, the folder stays as it was.

    Returns:
        rows of ``results.evaluation_rows.COLUMNS``.
    """
    folder, progress = pathlib.Path(folder), progress or Silent()
    named = {"test_frames_hash": frames_hash(study.test_set), "teacher_hash": teacher_hash}
    measured = measure(study, config, params, progress=progress, check=check)
    progress.say("resampling frames, drawing")
    weights = resample_weights(study.test_set.strata, seed=RESAMPLES_SEED)
    found = [
        files.complete_row(row | named) for row in evaluation_rows(measured, study.snrs_db, weights)
    ]
    bins = calibration_rows(measured, study.snrs_db, weights)
    files.write_rows(found, folder / ROWS)
    files.write_parquet(found, folder / PARQUET)
    files.write_calibration(bins, folder / CALIBRATION)
    ber_picture(found, folder / "ber.png")
    accuracy_picture(found, folder / "accuracy.png", classifiers)
    confusion_picture(found, folder / "confusion.png")
    nmse_picture(found, folder / "nmse.png")
    calibration_picture(bins, folder / "calibration.png")
    link_state_picture(found, folder / "link_state.png")
    atomic.write_bytes(folder / SUMMARY, read_out(found).encode())
    return found


def read_out(found: Sequence[Row]) -> str:
    """The tables and the closing paragraph as text of at most 100 columns."""
    from rich.console import Console

    text = io.StringIO()
    console = Console(file=text, width=WIDTH)
    print_read_out(found, console)
    console.print(closing_paragraph(found), markup=False, highlight=False)
    return text.getvalue()
