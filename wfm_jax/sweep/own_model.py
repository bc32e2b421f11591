"""A sweep of one's own model: the engine, the rows and the read-out of the wireless one.

problem = Problem(apply, params, batch, task_loss, score=score)
asked = space.configurations(space.grid(pipeline=["P-Q", "P-Q-KD"], weight_bits=[4, 8]))
rows = sweep_problem(problem, asked, "runs/mine")
"""

import contextlib
import functools
import io
import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console

from wfm_jax import compress
from wfm_jax.results import atomic, rows
from wfm_jax.results.checkpoint import hash_arrays
from wfm_jax.results.manifest import Manifest
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.results.tables import print_table
from wfm_jax.results.verdict import closing_paragraph
from wfm_jax.sweep import processes
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.engine import ROWS, check_machine, run_sweep
from wfm_jax.sweep.examples import ExampleExaminer, examples_hash, score_examples
from wfm_jax.sweep.group import check_fit, student_of
from wfm_jax.sweep.handover import by_path
from wfm_jax.sweep.settings import SweepSettings
from wfm_jax.sweep.sound import check_problem
from wfm_jax.sweep.study import PARQUET, SUMMARY, at_every_point, devices, enter, versions
from wfm_jax.train.interrupt import StopRequest
from wfm_jax.train.problem import Problem, softened_classes, squared_answers

__all__ = ["Problem", "SweepSettings", "softened_classes", "squared_answers", "sweep_problem"]


def sweep_problem(
    problem: Problem,
    configurations: Sequence[Configuration],
    folder: str | os.PathLike,
    settings: SweepSettings = SweepSettings(),
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    console: Console | None = None,
) -> list[dict[str, Any]]:
    """Runs what is missing of a sweep of anybody's model; returns all rows.

    The folder then holds ``results.jsonl`` (the truth, one row a configuration),
    ``results.parquet``, ``summary.txt``, ``files/`` (packed models) and ``scores/`` (of every
    example). Called again after an interrupt, only what is missing runs; another model, other test
    examples or other kernels are refused. Other data and losses the folder cannot tell: give them
    one of their own. In a run of several processes all call this; the first one writes the folder,
    and the others return no rows.

    Args:
        problem: the model, its data and its losses.
        configurations: what to run; those that are the same thing run once.
        folder: of the run; made if need be.
        settings: how to run.
        overwrite: move a run that is there aside.
        progress: where to tell of it.
        console: where to print the read-out; nowhere if None.

    Returns:
        Rows of ``wfm_jax.results.rows.COLUMNS``; ``example_score`` is the mean of the problem's
        score, ``retention`` where it lies between null (every prunable weight zero: 0) and the
        uncompressed model (1), and ``_ci95`` the half-width of their 95 % interval over examples.

    Raises:
        RunFolderError: the folder holds another run; one line.
        ValueError: a problem that is not as :class:`Problem` says, or configurations that it does
            not provide for; one line.
        Stopped: SIGINT or SIGTERM came; what was done is saved.
    """
    progress = progress or Silent()
    problem, scores = _checked(problem, configurations)
    check_machine(configurations, settings)
    flags = {
        "teacher_hash": problem.hash,
        "examples_hash": examples_hash(scores),
        "kernels": sorted(compress.select(problem.params, problem.prunable)),
        "halving": None if settings.halving is None else list(settings.halving),
    }
    manifest = Manifest(flags, versions(), devices())
    with contextlib.ExitStack() as ends:
        path = enter(folder, manifest, (), overwrite, progress, ends)
        stop = ends.enter_context(StopRequest())
        began = time.monotonic()
        try:
            words = (f"{name}={version}" for name, version in versions().items())
            provenance = {"device": ", ".join(devices()), "versions": " ".join(words)}
            examiner = ExampleExaminer(problem, scores, path, provenance)
            run_sweep(
                configurations, problem, settings, examiner, path, progress=progress, stop=stop
            )
            progress.say(f"finished after {time.monotonic() - began:.0f} s")
        finally:
            progress.close()
        if not processes.is_first():
            return []
        stored, _ = rows.read_rows(path / ROWS)
        rows.write_parquet(at_every_point(stored, configurations), path / PARQUET)
        text = io.StringIO()
        read_out(stored, Console(file=text, width=100))
        atomic.write_bytes(path / SUMMARY, text.getvalue().encode())
        if console is not None:
            read_out(stored, console)
        return stored


def read_out(stored: Sequence[dict[str, Any]], console: Console) -> None:
    """Prints the table and the closing paragraph."""
    print_table(stored, console)
    console.print()
    console.print(closing_paragraph(stored), highlight=False, markup=False)


def _checked(
    problem: Problem, configurations: Sequence[Configuration]
) -> tuple[Problem, np.ndarray]:
    """The problem with its parameters' hash, and its scores; ValueError for what does not fit."""
    check_problem(problem)
    if problem.smaller is not None:
        problem = problem._replace(smaller=functools.cache(problem.smaller))
    check_fit(configurations, problem)
    scores = score_examples(problem, problem.params)
    if not np.isfinite(scores).all():
        raise ValueError("score(params) gives NaN or infinity for the trained params")
    for name in dict.fromkeys(c.student for c in configurations if c.student != "same"):
        student = student_of(name, problem)
        check_problem(student)
        n = score_examples(student, student.params).size
        if n != scores.size:
            raise ValueError(f"{name} must score the same {scores.size} examples, it scores {n}")
    identity = problem.hash or hash_arrays(by_path(problem.params))
    return problem._replace(hash=identity), scores
