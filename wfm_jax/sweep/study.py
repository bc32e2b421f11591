"""A study from start to end: run folder, teacher, references, sweep, and what people read."""

import contextlib
import dataclasses
import io
import os
import pathlib
import platform
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from tempfile import TemporaryDirectory
from typing import Any

import jax
from rich.console import Console

from wfm_jax.evaluate.curves import curve_rows, write_curves
from wfm_jax.evaluate.frames import TestSet
from wfm_jax.model import ModelConfig, build
from wfm_jax.results import atomic, rows
from wfm_jax.results.manifest import Manifest, open_run
from wfm_jax.results.plots import pareto_picture
from wfm_jax.results.progress import Both, Progress, Silent
from wfm_jax.results.status_file import StatusFile
from wfm_jax.results.tables import print_table
from wfm_jax.results.verdict import closing_paragraph
from wfm_jax.sweep import contrasts, processes
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.engine import ROWS, check_machine, run_sweep
from wfm_jax.sweep.group import check_fit
from wfm_jax.sweep.measure import FrameExaminer, load_scores
from wfm_jax.sweep.references import references
from wfm_jax.sweep.settings import SweepSettings
from wfm_jax.sweep.yardstick import Line, print_yardstick, yardstick
from wfm_jax.train.interrupt import StopRequest
from wfm_jax.train.model_files import Teacher, load_teacher
from wfm_jax.train.problem import Problem
from wfm_jax.train.teacher import TeacherSettings, train_teacher
from wfm_jax.train.wireless import wireless

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "orbax-checkpoint")
PARQUET, CURVES, CONTRASTS = "results.parquet", "curves.parquet", "contrasts.jsonl"
PICTURE, SUMMARY = "pareto.png", "summary.txt"


@dataclasses.dataclass(frozen=True)
class Study:
    """What a sweep is asked to do.

    Attributes:
        configurations: every point of the axes, also those that are the same thing.
        model: architecture of a teacher to be trained.
        teacher: how to train it, or the path of one that is.
        settings: how the sweep runs.
        test_set: the frozen test frames.
    """

    configurations: Sequence[Configuration]
    model: ModelConfig
    teacher: TeacherSettings | str
    settings: SweepSettings
    test_set: TestSet


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    return {"python": platform.python_version()} | {p: metadata.version(p) for p in PACKAGES}


def devices() -> list[str]:
    """The devices of all processes in words."""
    kinds = [(device.platform, device.device_kind) for device in jax.devices()]
    return [" ".join(dict.fromkeys(kind)) for kind in kinds]


def run_study(
    study: Study,
    workdir: str | os.PathLike,
    flags: Mapping[str, Any],
    *,
    growable: Sequence[str] = (),
    uncompared: Sequence[str] = (),
    overwrite: bool = False,
    references_in: str | os.PathLike | None = None,
    progress: Progress | None = None,
    console: Console | None = None,
) -> list[dict[str, Any]]:
    """Runs what is missing of a study and writes what people read; returns all rows.

    In a run of several processes all call this; the first one reads and writes the folder, and the
    others return no rows.

    Args:
        study: what to do.
        workdir: the run folder.
        flags: recorded in the manifest; the same flags resume.
        growable: flags whose lists may grow between runs.
        uncompared: flags that change no result: a run may go on with others.
        overwrite: move a run that is there aside.
        references_in: folder that keeps the references' scores between runs, or None.
        progress: where to tell of it.
        console: where to print the read-out; nowhere if None.

    Raises:
        RunFolderError, CheckpointError: the folder or the teacher cannot be used; one line.
        ValueError: configurations that do not fit the students, or a teacher to be trained by
            several processes; one line.
        Stopped: SIGINT or SIGTERM came; what was done is saved.
    """
    progress = progress or Silent()
    teacher = teacher_of(study)
    if teacher is None and processes.count() > 1:
        raise ValueError("several processes need a teacher that is trained: --teacher=PATH")
    check_fit(study.configurations, problem_of(study, teacher))
    check_machine(study.configurations, study.settings)
    manifest = manifest_of(study, teacher, flags, uncompared)
    with contextlib.ExitStack() as ends:
        folder = enter(workdir, manifest, tuple(growable), overwrite, progress, ends)
        progress = Both(progress, StatusFile(folder))
        stop = ends.enter_context(StopRequest())
        began = time.monotonic()
        try:
            if teacher is None:
                assert isinstance(study.teacher, TeacherSettings)
                teacher = train_teacher(
                    study.model, study.teacher, folder, progress=progress, stop=stop
                )
            stored = _sweep(study, teacher, folder, references_in, progress, stop, began)
            if not processes.is_first():
                return []
            found, lines = publish(study, stored, folder, progress)
        finally:
            progress.close()
        if console is not None:
            read_out(stored, found, lines, console)
        return stored


def teacher_of(study: Study) -> Teacher | None:
    """The teacher of a study; None where it is to be trained. Raises CheckpointError."""
    return load_teacher(study.teacher) if isinstance(study.teacher, str) else None


def manifest_of(
    study: Study, teacher: Teacher | None, flags: Mapping[str, Any], uncompared: Sequence[str]
) -> Manifest:
    """What decides the run of a study, a teacher's hash where there is one.

    Args:
        study, teacher, flags, uncompared: as of :func:`run_study`; no teacher before it is trained.
    """
    hashes = {} if teacher is None else {"teacher_hash": teacher.hash}
    ignored = (*Manifest.IGNORED, *uncompared)
    return Manifest({**flags, **hashes}, versions(), devices(), ignored=ignored)


def enter(
    workdir: str | os.PathLike,
    manifest: Manifest,
    growable: tuple[str, ...],
    overwrite: bool,
    progress: Progress,
    ends: contextlib.ExitStack,
) -> pathlib.Path:
    """The run folder, held by the first process; the others work in one that vanishes.

    Args:
        workdir, manifest, growable, overwrite: as of :func:`wfm_jax.results.manifest.open_run`.
        progress: told where the run went that was there.
        ends: lets go of the folder.
    """
    opened = []

    def enter() -> None:
        run = open_run(workdir, manifest, growable=growable, overwrite=overwrite)
        opened.append(ends.enter_context(run))
        if run.moved_aside:
            progress.say(f"the run that was here is now {run.moved_aside}")

    processes.agree(enter)
    return opened[0].path if opened else pathlib.Path(ends.enter_context(TemporaryDirectory()))


def _sweep(
    study: Study,
    teacher: Teacher,
    folder: pathlib.Path,
    references_in: str | os.PathLike | None,
    progress: Progress,
    stop: StopRequest,
    began: float,
) -> list[dict[str, Any]]:
    if not processes.is_first():
        progress = Silent()
    progress.say(f"teacher {teacher.hash} ready after {time.monotonic() - began:.0f} s")
    provenance: dict[str, Any] = {
        "device": ", ".join(devices()),
        "versions": " ".join(f"{name}={version}" for name, version in versions().items()),
    }
    measured = references(teacher, study.test_set, provenance, references_in, progress.say)
    if study.settings.unlabelled is not None:
        provenance["unlabelled_frames"] = study.settings.unlabelled.n_frames
    examiner = FrameExaminer(teacher, study.test_set, measured, folder, provenance)
    compiles = run_sweep(
        study.configurations,
        problem_of(study, teacher),
        study.settings,
        examiner,
        folder,
        progress=progress,
        stop=stop,
    )
    for name, count in compiles.items():
        progress.say(f"{name}: training program compiled {count} time{'s' * (count != 1)}")
    progress.say(f"finished after {time.monotonic() - began:.0f} s")
    return rows.read_rows(folder / ROWS)[0]


def problem_of(study: Study, teacher: Teacher | None) -> Problem:
    """What a study compresses; of a teacher that is not trained yet, one as it will start."""
    settings = study.settings
    teacher = teacher or Teacher(study.model, build(study.model, jax.random.key(0))[1], "")
    return wireless(
        teacher,
        batch_size=settings.batch_size,
        weights=settings.weights,
        unlabelled=settings.unlabelled,
    )


def publish(
    study: Study,
    stored: Sequence[dict[str, Any]],
    folder: pathlib.Path,
    progress: Progress | None = None,
) -> tuple[list[dict[str, Any]], list[Line]]:
    """Writes what is derived from the rows: Parquet, curves, picture, text.

    Args:
        study: what was asked.
        stored: all rows.
        folder: of the run.
        progress: told of pairs that are compared.

    Returns:
        Contrasts and yardstick lines, for :func:`read_out`.
    """
    rows.write_parquet(at_every_point(stored, study.configurations), folder / PARQUET)
    curves: list[dict[str, Any]] = []
    for row in stored:
        if row["status"] == "ok":
            name = row["pipeline"] if row["kind"] == "reference" else row["config_id"]
            scored = load_scores(folder, name, study.test_set)
            labels = {column: row[column] for column in ("config_id", "kind", "pipeline")}
            curves += curve_rows(scored, **labels)
    (folder / CURVES).unlink(missing_ok=True)
    write_curves(folder / CURVES, curves)
    found = contrasts.contrasts(stored, folder, study.test_set, progress)
    contrasts.write_contrasts(found, folder / CONTRASTS)
    pareto_picture(stored, folder / PICTURE)
    text = io.StringIO()
    lines = yardstick(folder, study.test_set)
    read_out(stored, found, lines, Console(file=text, width=100))
    atomic.write_bytes(folder / SUMMARY, text.getvalue().encode())
    return found, lines


def read_out(
    stored: Sequence[dict[str, Any]],
    found: Sequence[dict[str, Any]],
    lines: Sequence[Line],
    console: Console,
) -> None:
    """Prints the teacher's yardstick, the table, the contrasts and the closing paragraph.

    Args:
        stored: rows of the run.
        found: its contrasts.
        lines: of the yardstick.
        console: where to.
    """
    print_yardstick(lines, console)
    console.print()
    print_table(stored, console)
    console.print()
    if found:
        contrasts.print_contrasts(found, console)
        console.print()
    console.print(closing_paragraph(stored), highlight=False, markup=False)


def at_every_point(
    stored: Sequence[dict[str, Any]], configurations: Sequence[Configuration]
) -> list[dict[str, Any]]:
    """References, then a row for every configuration that was asked for.

    Configurations that are the same thing (``none`` at every operating point) are stored once;
    here each shows that row with the settings as they were asked.
    """
    by_id = {row["config_id"]: row for row in stored}
    shown = [row for row in stored if row["kind"] == "reference"]
    for configuration in configurations:
        if row := by_id.get(configuration.config_id):
            shown.append({**row, **configuration.columns()})
    return shown
