"""The engine: every configuration through its pipeline, many at a time, nothing lost.

Configurations are grouped by what is static (the student's architecture) and by seed; a group's
training program is compiled once, for a fixed width. A cohort that is stopped is checkpointed and
goes on when the sweep is started again; rows are written as soon as they are known.
"""

import dataclasses
import os
import pathlib
import shutil
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from wfm_jax.results import checkpoint, rows
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.sweep import cohort as cohorts
from wfm_jax.sweep.architecture import rebuilt_groups
from wfm_jax.sweep.cohort import Cohort
from wfm_jax.sweep.configuration import Configuration, distinct, from_columns
from wfm_jax.sweep.group import Group, SweepSettings
from wfm_jax.sweep.handover import everybody, one_of
from wfm_jax.sweep.measure import Examiner
from wfm_jax.train.interrupt import StopRequest
from wfm_jax.train.model_files import Teacher

SWEEP_STREAM = 0x5EEE
ROWS, COHORT = "results.jsonl", "cohort"


def run_sweep(
    configurations: Sequence[Configuration],
    teacher: Teacher,
    settings: SweepSettings,
    examiner: Examiner,
    folder: str | os.PathLike,
    *,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> dict[str, int]:
    """Runs what is missing of a sweep in ``folder``.

    Args:
        configurations: what is asked for; those that are the same thing run once.
        teacher: the model to compress.
        settings: how to run.
        examiner: measures finished configurations and the references.
        folder: the run folder; its ``results.jsonl`` is read and appended to.
        progress: where to tell of it.
        stop: asked between chunks and rows; when it says so, the state is saved first.

    Returns:
        Training programs compiled, by group.

    Raises:
        Stopped: ``stop`` asked for it.
    """
    folder = pathlib.Path(folder)
    progress, stop = progress or Silent(), stop or StopRequest()
    known, repaired = rows.read_rows(folder / ROWS)
    if repaired:
        progress.say(repaired)
    done = {row["config_id"] for row in known}
    for row in examiner.references(done):
        rows.append_row(folder / ROWS, row)

    asked = distinct(list(configurations))
    missing = [c for c in asked if c.config_id not in done]
    if len(missing) < len(asked):
        progress.say(f"{len(asked) - len(missing)} of {len(asked)} configurations are finished")
    compiles = {}
    # All of them first: what does not fit an architecture is said before anything runs.
    for group, members in list(_groups(asked, missing, teacher, settings)):
        pending = [c for c in members if c in missing]
        for start in _cohorts(group, pending, folder):
            _run_cohort(group, start, teacher, settings, examiner, folder, progress, stop)
        compiles[group.name] = group.n_compiles
    return compiles


def _groups(
    asked: Sequence[Configuration],
    missing: Sequence[Configuration],
    teacher: Teacher,
    settings: SweepSettings,
) -> Iterator[tuple[Group, list[Configuration]]]:
    """Static groups that still have something to do, each with its configurations."""
    for name in dict.fromkeys(c.student for c in asked):
        whole = [c for c in asked if c.student == name and not c.rebuilding]
        if any(c in missing for c in whole):
            yield Group(name, teacher, whole, settings), whole
        rebuilt = [c for c in asked if c.student == name and c.rebuilding]
        if any(c in missing for c in rebuilt):
            for group in rebuilt_groups(name, teacher, rebuilt, settings):
                yield group, list(group.members)


@dataclasses.dataclass
class _Start:
    """A cohort to run, from its beginning or from a checkpoint, whose metadata is ``saved``."""

    configurations: list[Configuration]
    saved: dict[str, Any] | None = None


def _cohorts(
    group: Group, pending: Sequence[Configuration], folder: pathlib.Path
) -> Iterator[_Start]:
    """The pending configurations by seed, at most a width at a time; a saved cohort first."""
    rest = list(pending)
    if saved := _saved_cohort(group, folder):
        members = [from_columns(columns) for columns in saved["configurations"]]
        held = {c.config_id for c in members}
        if held & {c.config_id for c in pending}:
            yield _Start(members, saved)
            rest = [c for c in rest if c.config_id not in held]
    for seed in dict.fromkeys(c.seed for c in rest):
        of_seed = [c for c in rest if c.seed == seed]
        for i in range(0, len(of_seed), group.width):
            yield _Start(of_seed[i : i + group.width])


def _saved_cohort(group: Group, folder: pathlib.Path) -> dict[str, Any] | None:
    if not checkpoint.exists(folder / COHORT):
        return None
    saved = checkpoint.read_metadata(folder / COHORT)
    return saved if (saved["group"], saved["width"]) == (group.name, group.width) else None


def _run_cohort(
    group: Group,
    start: _Start,
    teacher: Teacher,
    settings: SweepSettings,
    examiner: Examiner,
    folder: pathlib.Path,
    progress: Progress,
    stop: StopRequest,
) -> None:
    began = time.monotonic()
    if group.choices.need_statistics:
        progress.say(f"{group.name}: statistics of calibration frames, for all configurations")
    cohort = cohorts.gather(
        start.configurations, group.width, group.initial, group.choices, group.stats
    )
    clock = at = 0  # steps of the data stream before this round, and steps of this round
    if start.saved:
        cohort, clock, at = _restore(cohort, start.saved, teacher, folder)
    # Placed the same way whether new or restored: otherwise the program is compiled for each.
    cohort = cohort._replace(students=jax.device_put(cohort.students, jax.devices()[0]))

    def save(cohort: Cohort, clock: int, at: int) -> None:
        metadata = {
            "group": group.name,
            "width": group.width,
            "configurations": [c.columns() for c in cohort.configurations],
            "position": list(cohort.position),
            "clock": clock,
            "at": at,
        }
        checkpoint.save(
            folder / COHORT, cohort.students, config_hash=teacher.hash, metadata=metadata
        )

    stream = jax.random.fold_in(jax.random.key(start.configurations[0].seed), SWEEP_STREAM)
    saved = time.monotonic()
    while not cohort.finished:
        if at == 0:
            progress.say(f"{group.name}: pruning and quantizing up to the next training stage")
            cohort = cohorts.prepare_round(cohort)
        recipes, length = cohorts.recipes(cohort), cohorts.round_steps(cohort)
        n_training = int(jnp.sum(jnp.asarray(recipes.total_steps) > 0))
        if length:
            progress.start(f"{group.name}: {n_training} configurations", length, at)
        while at < length:
            students = group.train(
                cohort.students, recipes, teacher.params, stream, jnp.int32(clock + at)
            )
            cohort = cohort._replace(students=jax.block_until_ready(students))
            n_steps = min(settings.chunk_steps, length - at)
            at += settings.chunk_steps
            progress.advance(n_steps)
            if stop.signum is not None or time.monotonic() - saved > settings.save_every_s:
                save(cohort, clock, at)
                saved = time.monotonic()
                stop.raise_if_asked()
        clock, at = clock + at, 0
        cohort = cohorts.finish_round(cohort)
    save(cohort, clock, at)
    _measure(group, cohort, began, examiner, folder, progress, stop)
    shutil.rmtree(folder / COHORT)


def _restore(
    cohort: Cohort, saved: dict[str, Any], teacher: Teacher, folder: pathlib.Path
) -> tuple[Cohort, int, int]:
    students = checkpoint.restore(folder / COHORT, cohort.students, config_hash=teacher.hash)
    cohort = cohort._replace(students=students, position=tuple(saved["position"]))
    return cohort, saved["clock"], saved["at"]


def _measure(
    group: Group,
    cohort: Cohort,
    began: float,
    examiner: Examiner,
    folder: pathlib.Path,
    progress: Progress,
    stop: StopRequest,
) -> None:
    """Rows of everybody in a finished cohort that has none yet."""
    known, _ = rows.read_rows(folder / ROWS)
    done = {row["config_id"] for row in known}
    share_s = (time.monotonic() - began) / len(cohort.configurations)
    stacked = jax.device_get(everybody(cohort.students, choices=group.choices))
    progress.start(f"{group.name}: measuring", len(cohort.configurations))
    for i, configuration in enumerate(cohort.configurations):
        if configuration.config_id not in done:
            own = one_of(stacked, i, configuration, group.choices)
            row = examiner.examine(group.config, group.apply, configuration, own, share_s)
            rows.append_row(folder / ROWS, row)
        progress.advance(1)
        stop.raise_if_asked()
