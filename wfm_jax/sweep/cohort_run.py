"""A cohort's way through its pipelines: rounds of training, rungs and checkpoints."""

import time
from typing import Any, NamedTuple

import jax
import numpy as np

from wfm_jax.results import atomic, checkpoint, status
from wfm_jax.results.checkpoint import CheckpointError
from wfm_jax.sweep import cohort as cohorts
from wfm_jax.sweep import processes
from wfm_jax.sweep.cohort import Cohort
from wfm_jax.sweep.configuration import from_columns
from wfm_jax.sweep.group import Group
from wfm_jax.sweep.plan import Start, work_of
from wfm_jax.sweep.run import COHORT, COMPILE, FINISH, TRAIN, Run
from wfm_jax.sweep.rung import hold_rung

SWEEP_STREAM = 0x5EEE


class Way(NamedTuple):
    """How far a cohort has come.

    Attributes:
        cohort: where everybody is.
        clock: steps of the data stream before this round.
        at: steps of this round.
    """

    cohort: Cohort
    clock: int = 0
    at: int = 0

    @property
    def trained(self) -> int:
        """Configuration-steps of those that are still there."""
        now = zip(self.cohort.configurations, self.cohort.position, strict=True)
        return sum(c.done_steps(stage, self.at) for c, stage in now)


def train_cohort(run: Run, group: Group, start: Start) -> Way:
    """A cohort at the end of its pipelines; the state is on disk.

    Args:
        run: the sweep.
        group: the cohort's.
        start: its configurations, and how far they had come.

    Raises:
        Stopped: a signal came; the state is saved.
    """
    way = _begin(run, group, start)
    save(run, group, way)  # a disk that is full is found now, not after an hour
    expected = work_of(start.configurations, run.settings.halving)
    before, paid = way.trained, 0
    run.expect(TRAIN, -before)
    n_round = 0
    while not way.cohort.finished:
        if way.at == 0:
            run.tell(f"{group.name}: pruning and quantizing", stage=status.SHAPING)
            with run.doing(FINISH, 0.0, program=(group.name, "act")):
                students = cohorts.prepare_round(way.cohort)
                way = way._replace(cohort=jax.block_until_ready(students))
        n_round += 1
        way, trained = _train_round(run, group, way, n_round)
        paid += trained
    run.expect(TRAIN, paid - max(0.0, expected.train - before))
    save(run, group, way)
    return way


def _begin(run: Run, group: Group, start: Start) -> Way:
    members = start.configurations
    width = max(group.width, group.padded(len(members)))
    if start.saved is not None and run.settings.halving is not None:
        width = group.padded(max(start.saved["width"], len(members)))  # of the last rung
    cohort = cohorts.gather(
        members, width, group.initial, group.choices, group.stats, group.devices
    )
    if start.saved is None:
        return Way(cohort)
    saved, like, restored = start.saved, cohorts.stored(cohort), []

    def read() -> None:
        path, identity = run.folder / COHORT, run.problem.hash
        restored.append(
            checkpoint.restore(path, like, config_hash=identity, generation=start.generation)
        )

    processes.agree(read)
    students = processes.from_first(restored[0] if restored else like)
    cohort = cohorts.resume(cohort, students)._replace(
        position=tuple(saved["position"]), diverged_at=tuple(saved["diverged_at"])
    )
    return Way(cohort, saved["clock"], saved["at"])


def saved_start(run: Run, group: Group) -> Start | None:
    """The cohort of a group that was stopped; a damaged checkpoint is told of."""

    def find() -> dict[str, Any] | None:
        path = run.folder / COHORT
        if not checkpoint.exists(path):
            return None
        try:
            return checkpoint.last_good(path)._asdict()
        except CheckpointError as error:
            aside = atomic.unused_name(path.with_name(f"{path.name}.damaged"))
            path.rename(aside)
            run.say(f"{error}: its cohort begins again, the checkpoint is now {aside}")
            return None

    found = processes.agree(find)
    if found is None or found["metadata"]["group"] != group.name:
        return None
    if found["damage"]:
        run.say(f"{found['damage']}: going on from the one before")
    metadata = found["metadata"]
    members = [from_columns(columns, group.members) for columns in metadata["configurations"]]
    return Start(members, metadata, found["generation"])


def save(run: Run, group: Group, way: Way) -> None:
    """Puts the state on disk."""
    cohort = way.cohort
    metadata = {
        "group": group.name,
        "width": cohort.width,
        "configurations": [c.columns() for c in cohort.configurations],
        "position": list(cohort.position),
        "diverged_at": list(cohort.diverged_at),
        "clock": way.clock,
        "at": way.at,
    }
    students = cohorts.stored(cohort)

    def write() -> None:
        path, identity = run.folder / COHORT, run.problem.hash
        checkpoint.save(path, students, config_hash=identity, metadata=metadata)

    processes.agree(write)


def _train_round(run: Run, group: Group, way: Way, n_round: int) -> tuple[Way, int]:
    """The rest of a round, and the configuration-steps that it took."""
    paid, saved_at = 0, time.monotonic()
    recipes, length = cohorts.recipes(way.cohort), cohorts.round_steps(way.cohort)
    stream = jax.random.fold_in(jax.random.key(way.cohort.configurations[0].seed), SWEEP_STREAM)
    stream = run.devices.copied(stream)
    while way.at < length:
        if not group.programs.is_ready(way.cohort.width):
            run.tell(f"{group.name}: compiling the training program", stage=status.COMPILING)
            with run.doing(COMPILE, 1.0):
                group.programs.of(way.cohort.width)
        before = way
        way = way._replace(at=way.at + run.settings.chunk_steps)
        paid += (units := way.trained - before.trained)
        with run.doing(TRAIN, units):
            first = run.devices.copied(np.int32(before.clock + before.at))
            students = group.train(way.cohort.students, recipes, run.teacher_params, stream, first)
            students = jax.block_until_ready(students)
        way = way._replace(cohort=way.cohort._replace(students=students))
        left = hold_rung(run, group, way.cohort, recipes, before.at, way.at)
        if left is not way.cohort:
            way, recipes = way._replace(cohort=left), cohorts.recipes(left)
        n, done = cohorts.training(way.cohort), min(way.at, length)
        seen = {"stage": status.TRAINING, "round": n_round, "step": done, "steps": length}
        run.tell(f"{group.name}: {n} in training, step {done} of {length}", **seen)
        due = time.monotonic() - saved_at > run.settings.save_every_s
        if run.asked_to_stop() or processes.largest(due):
            save(run, group, way)
            saved_at = time.monotonic()
            run.raise_if_asked()
    cohort = cohorts.finish_round(way.cohort)
    steps = zip(cohort.configurations, cohort.diverged_at, strict=True)
    run.lost((configuration, step) for configuration, step in steps if step >= 0)
    return Way(cohort, way.clock + way.at), paid
