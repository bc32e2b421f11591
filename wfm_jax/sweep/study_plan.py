"""What a sweep would do and cost, from its configurations, shapes and a few timed seconds.

Nothing is written, nothing is trained, and the folder is only looked at.
"""

import itertools
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from wfm_jax.evaluate import probe
from wfm_jax.evaluate.probe import Load
from wfm_jax.model import ModelConfig, param_shapes
from wfm_jax.results.manifest import Outlook, foresee
from wfm_jax.results.plan import Fact, Plan, about, counted, disk_fact, folder_fact
from wfm_jax.results.room import in_units
from wfm_jax.results.rows import rows_so_far
from wfm_jax.results.status_file import read_status
from wfm_jax.sweep import cohort, compression, fitting, plan
from wfm_jax.sweep.architecture import unstored
from wfm_jax.sweep.configuration import Configuration, distinct
from wfm_jax.sweep.devices import Devices
from wfm_jax.sweep.engine import ROWS, bytes_to_write, check_machine
from wfm_jax.sweep.group import check_fit, student_of, width_of
from wfm_jax.sweep.references import CURVE_SNRS_DB, MODEL_SNRS_DB
from wfm_jax.sweep.run import COMPILE, FINISH, TRAIN
from wfm_jax.sweep.settings import SweepSettings
from wfm_jax.sweep.study import Study, manifest_of, problem_of, teacher_of
from wfm_jax.train.model_files import Teacher
from wfm_jax.train.problem import Problem
from wfm_jax.train.teacher import TeacherSettings

GROUP_COMPILES, REFERENCES_COMPILES = 10.0, 15.0
"""How many times as long as of a forward pass compiling takes, of a group's programs and of those
that draw test frames and score the references; what XLA's log says of the smoke preset."""
GROUP_PROGRAMS, REFERENCES_PROGRAMS = 4, 4


class Outline(NamedTuple):
    """A static group before there is one.

    Attributes:
        name: of the student, and whether its pipelines rebuild it first.
        members: its configurations that have no row.
        width: of its cohorts.
        starts: its cohorts.
        cohort_bytes: what the students of one take.
        flops: of a frame's forward pass.
    """

    name: str
    members: Sequence[Configuration]
    width: int
    starts: Sequence[plan.Start]
    cohort_bytes: int
    flops: float


def plan_study(
    study: Study,
    workdir: str | os.PathLike,
    flags: Mapping[str, Any],
    *,
    growable: Sequence[str] = (),
    uncompared: Sequence[str] = (),
    overwrite: bool = False,
) -> Plan:
    """What :func:`wfm_jax.sweep.study.run_study` would do with the same arguments.

    Args:
        study, workdir, flags, growable, uncompared, overwrite: as there.

    Raises:
        CheckpointError: the teacher cannot be used; one line.
        ValueError: configurations that do not fit the students or the machine; one line.
    """
    teacher = teacher_of(study)
    config = study.model if teacher is None else teacher.config
    problem = problem_of(study, teacher)
    check_fit(study.configurations, problem)
    check_machine(study.configurations, study.settings)
    manifest = manifest_of(study, teacher, flags, uncompared)
    outlook = foresee(workdir, manifest, growable=growable, overwrite=overwrite)
    known = _known(pathlib.Path(workdir), outlook)
    asked = distinct(list(study.configurations))
    missing = [c for c in asked if c.config_id not in known]
    groups = list(outlines(asked, known, problem, study.settings))
    folder = folder_fact(outlook, counted(len(known), "row") if known else "")
    points = f"of {counted(len(study.configurations), 'point')} asked for"
    there = f"{len(asked) - len(missing)} have their rows, {len(missing)} are missing"
    facts = [folder, Fact("configurations", f"{len(asked):,}", f"{points}; {there}")]
    facts += [_teacher_fact(study, teacher, pathlib.Path(workdir)), *map(_group_fact, groups)]
    if not missing:
        return Plan("sweep, nothing is missing", (*facts, _time_of_nothing()))
    facts += [_programs_fact(study, groups), _training_fact(groups, study.settings)]
    facts += [_measuring_fact(study, groups), _memory_fact(groups, study.settings)]
    of = "checkpoints of the largest cohort, a packed file and frame scores of each"
    facts += [disk_fact(workdir, bytes_to_write(groups, len(missing)), of)]
    return Plan(
        f"sweep of {counted(len(missing), 'configuration')}",
        (*facts, _time_fact(study, groups, config, workdir, outlook)),
    )


def _known(folder: pathlib.Path, outlook: Outlook) -> set[str]:
    """Identities of the rows that would be kept."""
    return {row["config_id"] for row in rows_so_far(folder / ROWS)} if outlook.goes_on else set()


def outlines(
    asked: Sequence[Configuration], known: set[str], teacher: Problem, settings: SweepSettings
) -> Iterable[Outline]:
    """Groups with something to do. Those of rebuilt models are outlined as one of each student, of
    its size before: how many there are, and how large, is known when they are rebuilt."""
    devices = Devices.take(settings.n_devices)
    for (student, rebuilt), of in _by_student(asked).items():
        missing = [c for c in of if c.config_id not in known]
        if not missing:
            continue
        problem = student_of(student, teacher)
        width = width_of(of, settings, devices)
        bare = [unstored(c) for c in of] if rebuilt else of
        choices = compression.choices_of(bare, problem, teacher)
        students, _ = cohort.blueprint(problem.params, width, choices, devices)
        starts = list(plan.starts(missing, min(width, settings.max_width), settings.halving))
        name = f"{student}, rebuilt first" if rebuilt else student
        inside = problem.inside
        assert inside is not None  # of the wireless model
        flops = probe.flops_of(inside.config)
        yield Outline(name, missing, width, starts, probe.bytes_of(students), flops)


def _by_student(asked: Sequence[Configuration]) -> dict[tuple[str, bool], list[Configuration]]:
    groups: dict[tuple[str, bool], list[Configuration]] = {}
    for c in asked:
        groups.setdefault((c.student, bool(c.rebuilding)), []).append(c)
    return groups


def rounds(configurations: Sequence[Configuration]) -> list[int]:
    """Optimizer steps of each round of a cohort: of the longest training stage in it."""
    stages = ([n for n in c.stage_steps() if n] for c in configurations)
    return [max(steps) for steps in itertools.zip_longest(*stages, fillvalue=0)]


def _group_fact(group: Outline) -> Fact:
    seeds = len({c.seed for c in group.members})
    each = group.cohort_bytes / group.width
    return Fact(
        f"group {group.name}",
        counted(len(group.members), "configuration"),
        f"{counted(len(group.starts), 'cohort')} of width {group.width}, "
        f"{counted(seeds, 'seed')}; {in_units(each)} of state a configuration",
    )


def _teacher_fact(study: Study, teacher: Teacher | None, folder: pathlib.Path) -> Fact:
    if teacher is not None:
        return Fact("teacher", f"{study.teacher}", f"it is trained, {teacher.hash}")
    assert isinstance(study.teacher, TeacherSettings)
    n_params = sum(leaf.size for leaf in jax.tree.leaves(param_shapes(study.model)))
    how, trained = study.teacher, (folder / "teacher").exists()
    words = "trained in this folder" if trained else "to be trained"
    return Fact(
        "teacher",
        words,
        f"{n_params:,} parameters; {how.masked_steps:,} + {how.steps:,} steps of "
        f"{how.batch_size * how.accumulate} frames",
    )


def _to_train(study: Study, folder: pathlib.Path) -> TeacherSettings | None:
    """The training of a teacher that is still to come."""
    if isinstance(study.teacher, TeacherSettings) and not (folder / "teacher").exists():
        return study.teacher
    return None


def _programs_fact(study: Study, groups: Sequence[Outline]) -> Fact:
    of_teacher = 0
    if isinstance(study.teacher, TeacherSettings):
        of_teacher = 1 + (study.teacher.masked_steps > 0)
    n = GROUP_PROGRAMS * len(groups) + REFERENCES_PROGRAMS + of_teacher
    words = f"{GROUP_PROGRAMS} of each group, {REFERENCES_PROGRAMS} that score the references"
    words += f", {of_teacher} of the teacher" if of_teacher else ""
    return Fact("compiling", counted(n, "program"), f"{words}; the small ones are not counted")


def _training_fact(groups: Sequence[Outline], settings: SweepSettings) -> Fact:
    work = sum(_work(group, settings).train for group in groups)
    lengths = [rounds(start.configurations) for group in groups for start in group.starts]
    steps = sum(map(sum, lengths))
    return Fact(
        "training",
        counted(work, "configuration-step"),
        f"{counted(sum(map(len, lengths)), 'round')} of training, {counted(steps, 'step')} of "
        f"{settings.batch_size} frames: {counted(steps * settings.batch_size, 'frame')}",
    )


def _work(group: Outline, settings: SweepSettings) -> plan.Work:
    of = [plan.work_of(start.configurations, settings.halving) for start in group.starts]
    return plan.Work(sum(one.train for one in of), sum(one.finish for one in of))


def _measuring_fact(study: Study, groups: Sequence[Outline]) -> Fact:
    work = sum(_work(group, study.settings).finish for group in groups)
    return Fact(
        "measuring",
        counted(work, "configuration"),
        f"each on {counted(study.test_set.n_frames, 'test frame')} at {len(MODEL_SNRS_DB)} SNRs",
    )


def _memory_fact(groups: Sequence[Outline], settings: SweepSettings) -> Fact:
    largest = max(group.cohort_bytes for group in groups)
    n = Devices.take(settings.n_devices).n
    limit = in_units(fitting.memory_limit())
    return Fact(
        "memory",
        f"{in_units(largest / n)}{' on each device' if n > 1 else ''}",
        "weights, masks, scales and optimizer of the largest cohort; what a step needs beside "
        f"comes on top, and is checked when it is compiled; {limit} are there",
    )


def _time_of_nothing() -> Fact:
    return Fact("time", "seconds", "tables and pictures are written anew")


def _time_fact(
    study: Study,
    groups: Sequence[Outline],
    config: ModelConfig,
    workdir: str | os.PathLike,
    outlook: Outlook,
) -> Fact:
    works = [_work(group, study.settings) for group in groups]
    if paces_s := _paces(pathlib.Path(workdir), outlook):
        train, finish = (sum(getattr(work, kind) for work in works) for kind in plan.Work._fields)
        compiling = paces_s.get(COMPILE, 0.0) * GROUP_PROGRAMS * len(groups)
        seconds = compiling + train * paces_s[TRAIN] + finish * paces_s[FINISH]
        return Fact(
            "time",
            about(seconds),
            f"an estimate from what this folder's run has shown: {paces_s[TRAIN]:.2g} s a "
            f"configuration-step, {paces_s[FINISH]:.2g} s to measure a configuration; "
            f"{about(compiling)} of it compiling, less with a warm --compile_cache",
        )
    pace = probe.measure_pace(config, study.settings.batch_size)
    return probe.time_fact(load_of(study, groups, config, pathlib.Path(workdir)), pace)


def _paces(folder: pathlib.Path, outlook: Outlook) -> Mapping[str, float] | None:
    """What the run in a folder took for a unit of each kind, where it has shown both."""
    try:
        status = read_status(folder) if outlook.goes_on else None
    except ValueError:
        return None
    paces_s = status.board.paces_s if status and status.board else {}
    return paces_s if TRAIN in paces_s and FINISH in paces_s else None


def load_of(
    study: Study, groups: Sequence[Outline], config: ModelConfig, folder: pathlib.Path
) -> Load:
    """A sweep's work in forward passes of its teacher.

    Args:
        study: what is asked.
        groups: those with something to do.
        config: of the teacher.
        folder: where a teacher may be trained already.
    """
    batch_size, of_teacher = study.settings.batch_size, probe.flops_of(config)
    scored = probe.SCORE_PASSES * study.test_set.n_frames
    load = Load(2.0 * scored * len(CURVE_SNRS_DB), REFERENCES_COMPILES)
    if how := _to_train(study, folder):
        frames = how.batch_size * how.accumulate
        for steps in filter(None, (how.masked_steps, how.steps)):
            load = load.plus(probe.training(steps, frames))
    for group in groups:
        work, share = _work(group, study.settings), group.flops / of_teacher
        passes = probe.STEP_PASSES * share * work.train * batch_size
        steps = sum(sum(rounds(start.configurations)) for start in group.starts)
        shared = Load(steps * batch_size)  # the teacher's answers
        measured = Load(share * work.finish * scored * len(MODEL_SNRS_DB))
        load = load.plus(Load(passes, GROUP_COMPILES)).plus(shared).plus(measured)
    return load
