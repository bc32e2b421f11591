"""The engine: every configuration through its pipeline, many at a time, nothing lost.

Configurations are grouped by what is static (the student's architecture) and by seed; a group's
training program is compiled once, for a fixed width. A cohort that is stopped is checkpointed and
goes on when the sweep is started again, on as many devices as there are then; rows are written as
soon as they are known.
"""

import concurrent.futures
import os
import pathlib
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Protocol

from wfm_jax.results import rows, status
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.results.room import check_room
from wfm_jax.results.status import Board, Part
from wfm_jax.sweep import plan, processes
from wfm_jax.sweep.architecture import rebuilt_groups
from wfm_jax.sweep.cohort_run import saved_start, train_cohort
from wfm_jax.sweep.configuration import Configuration, distinct
from wfm_jax.sweep.devices import Devices
from wfm_jax.sweep.examiner import Examiner
from wfm_jax.sweep.finish import finish_cohort
from wfm_jax.sweep.group import Group
from wfm_jax.sweep.plan import Start
from wfm_jax.sweep.run import COHORT, COMPILE, FINISH, ROWS, TRAIN, Run
from wfm_jax.sweep.settings import SweepSettings
from wfm_jax.train.interrupt import StopRequest
from wfm_jax.train.problem import Problem

__all__ = ["COHORT", "ROWS", "Group", "check_machine", "run_sweep"]

_SCORES_BYTES = 200e3
_PROGRAMS = 3  # of a group: its training, its P and Q, and its scores


def run_sweep(
    configurations: Sequence[Configuration],
    problem: Problem,
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
        problem: the model to compress, its data and its losses.
        settings: how to run.
        examiner: measures finished configurations and the references.
        folder: the run folder; its ``results.jsonl`` is read and appended to.
        progress: where to tell of it.
        stop: asked between chunks and rows; when it says so, the state is saved first.

    Returns:
        Training programs compiled, by group.

    Raises:
        Stopped: ``stop`` asked for it.
        ValueError: what is asked for cannot run as asked; one line.
    """
    folder = pathlib.Path(folder)
    progress, stop = progress or Silent(), stop or StopRequest()
    asked = distinct(list(configurations))
    check_machine(asked, settings)
    done = processes.agree(lambda: _repair(folder, progress))
    if references := examiner.references(set(done)):
        processes.agree(lambda: rows.append_rows(folder / ROWS, references))
    known = set(done)
    missing = [c for c in asked if c.config_id not in known]
    devices = Devices.take(settings.n_devices)
    teacher_params = devices.copied(problem.params)
    run = Run(
        problem,
        teacher_params,
        settings,
        examiner,
        folder,
        devices,
        progress,
        stop,
        total=len(missing),
    )
    run.forecast.suppose(FINISH, examiner.pace_s)
    if len(missing) < len(asked):
        run.say(f"{len(asked) - len(missing)} of {len(asked)} configurations are finished")
    # All of them first: what does not fit an architecture is said before anything runs.
    ids = {c.config_id for c in missing}
    groups = list(_groups(asked, ids, problem, settings))
    processes.agree(
        lambda: check_room(folder, bytes_to_write([group for group, _ in groups], len(missing)))
    )
    if missing and processes.is_first():
        progress.start("sweep", len(missing))
    todo = [(group, list(_starts(run, group, members, ids))) for group, members in groups]
    for group, starts in todo:
        _expect(run, group, starts)
    _pin_up(run, todo, {c.config_id for c in asked})
    pool = concurrent.futures.ThreadPoolExecutor(max(1, (os.cpu_count() or 2) // 2))
    try:
        for group, _ in todo[1:]:
            group.programs.ahead(group.width, pool)
        for group, starts in todo:
            for start in starts:
                _run_cohort(run, group, start)
    finally:  # who was stopped does not wait for programs that nobody will call
        pool.shutdown(wait=False, cancel_futures=True)
    return {group.name: group.n_compiles for group, _ in todo}


def check_machine(configurations: Sequence[Configuration], settings: SweepSettings) -> None:
    """Raises ValueError, one line, for devices that are not there, or more processes than work."""
    Devices.take(settings.n_devices)
    n = len(distinct(list(configurations)))
    if 0 < n < processes.count():
        raise ValueError(
            f"{processes.count()} processes for {n} configuration{'s' * (n != 1)}: "
            f"start at most {n}"
        )


def _run_cohort(run: Run, group: Group, start: Start) -> None:
    began, run.at = time.monotonic(), run.at + 1
    if group.choices.need_statistics:
        run.say(f"{group.name}: statistics of calibration frames, for all configurations")
    way = train_cohort(run, group, start)
    finish_cohort(run, group, way.cohort, began)
    run.see(stage=status.FINISHED)
    if processes.is_first():
        shutil.rmtree(run.folder / COHORT)


def _repair(folder: pathlib.Path, progress: Progress) -> list[str]:
    """Identities of the rows there are; what was cut off of them is told."""
    known, repaired = rows.read_rows(folder / ROWS)
    if repaired:
        progress.say(repaired)
    return [row["config_id"] for row in known]


def _groups(
    asked: Sequence[Configuration],
    missing: set[str],
    problem: Problem,
    settings: SweepSettings,
) -> Iterator[tuple[Group, list[Configuration]]]:
    """Static groups that still have something to do, each with its configurations."""
    for name in dict.fromkeys(c.student for c in asked):
        whole = [c for c in asked if c.student == name and not c.rebuilding]
        if any(c.config_id in missing for c in whole):
            yield Group(name, problem, whole, settings), whole
        rebuilt = [c for c in asked if c.student == name and c.rebuilding]
        if any(c.config_id in missing for c in rebuilt):
            for group in rebuilt_groups(name, problem, rebuilt, settings):
                yield group, list(group.members)


class Sized(Protocol):
    """A group, or the outline of one."""

    @property
    def width(self) -> int:
        """Of its cohorts."""
        ...

    @property
    def cohort_bytes(self) -> int:
        """What the students of one take."""
        ...


def bytes_to_write(groups: Sequence[Sized], n_rows: int) -> float:
    """Three checkpoints of the largest cohort, and of every row its model and its scores."""
    if not groups:
        return 0.0
    largest = max(group.cohort_bytes for group in groups)
    of_params = max(group.cohort_bytes / group.width for group in groups) / 4
    return 3.0 * largest + n_rows * (of_params + _SCORES_BYTES)


def _starts(
    run: Run,
    group: Group,
    members: Sequence[Configuration],
    missing: set[str],
) -> Iterator[Start]:
    """The group's cohorts; one that was stopped comes first."""
    pending = [c for c in members if c.config_id in missing]
    if stopped := saved_start(run, group):
        held = {c.config_id for c in stopped.configurations}
        if held & {c.config_id for c in pending}:
            yield stopped
            pending = [c for c in pending if c.config_id not in held]
    at_most = min(group.width, run.settings.max_width)
    yield from plan.starts(pending, at_most, run.settings.halving)


def _pin_up(run: Run, todo: Sequence[tuple[Group, Sequence[Start]]], asked: set[str]) -> None:
    """Begins the board: the rows that are there, and the cohorts to come."""
    stored = rows.read_rows(run.folder / ROWS)[0] if processes.is_first() else []
    stored = [row for row in stored if row["config_id"] in asked]
    known, parts, places = {row["config_id"] for row in stored}, [], Counter()
    for group, starts in todo:
        for start in starts:
            members, seed = start.configurations, start.configurations[0].seed
            places[group.name, seed] += 1
            part = Part(group.name, seed, places[group.name, seed], len(members))
            work = plan.work_of(members, run.settings.halving)
            n_rows = sum(c.config_id in known for c in members)
            parts.append(part._replace(rows=n_rows, train_left=work.train, finish_left=work.finish))
    run.board = Board(len(asked), tuple(parts))
    run.wrote(stored)


def _expect(run: Run, group: Group, starts: Sequence[Start]) -> None:
    """Tells the forecast what a group will take."""
    run.forecast.expect(COMPILE, _PROGRAMS if starts else 0)
    for start in starts:
        work = plan.work_of(start.configurations, run.settings.halving)
        run.forecast.expect(TRAIN, work.train)
        run.forecast.expect(FINISH, work.finish)
