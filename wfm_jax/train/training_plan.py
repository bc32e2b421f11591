"""What a training would cost: steps, frames, memory, and time from a forward pass timed here."""

import json
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from wfm_jax.evaluate import probe
from wfm_jax.evaluate.probe import Load
from wfm_jax.model import ModelConfig, param_shapes
from wfm_jax.results.plan import Fact, Plan, counted, disk_fact
from wfm_jax.results.room import in_units
from wfm_jax.train.teacher import TeacherSettings

_STATE = 4  # weights, gradients and two moments
_CHECKPOINTS = 3 * 2  # of weights and two moments, the last two of them


class Stretch(NamedTuple):
    """A training that is not at its end.

    Attributes:
        name: of it.
        steps: optimizer steps in all.
        done: of these, how many a stopped run has done.
        frames: of a step.
    """

    name: str
    steps: int
    done: int
    frames: int

    @property
    def left(self) -> int:
        """Steps to go."""
        return self.steps - self.done


def plan_teacher(
    config: ModelConfig,
    settings: TeacherSettings,
    folder: Fact,
    workdir: str | os.PathLike,
    *,
    goes_on: bool = False,
) -> Plan:
    """The plan of a teacher's training.

    Args:
        config: the architecture.
        settings: the training.
        folder: what would become of the run folder.
        workdir: where it would write.
        goes_on: whether what the folder holds is this training's.
    """
    of, frames = pathlib.Path(workdir), settings.batch_size * settings.accumulate
    asked = {"masked modelling": settings.masked_steps, "teacher": settings.steps}
    done = steps_done(of / "losses.jsonl") if goes_on else {}
    if "teacher" in done:
        done["masked modelling"] = settings.masked_steps
    stretches = [Stretch(n, steps, done.get(n, 0), frames) for n, steps in asked.items() if steps]
    facts = [folder, *training_facts(stretches, probe.bytes_of(param_shapes(config)), workdir)]
    left = [stretch for stretch in stretches if stretch.left]
    load = Load(0.0, probe.SCORING_COMPILES)
    for stretch in left:
        load = load.plus(probe.training(stretch.left, frames))
    facts.append(probe.time_fact(load, probe.measure_pace(config, settings.batch_size)))
    return Plan("training of a teacher", tuple(facts))


def training_facts(
    stretches: Sequence[Stretch], model_bytes: int, workdir: str | os.PathLike, n_models: int = 1
) -> list[Fact]:
    """Facts of all stretches, of memory and of the disk.

    Args:
        stretches: of the training.
        model_bytes: of the weights.
        workdir: where checkpoints would be written.
        n_models: that are kept there.
    """
    facts = []
    for stretch in stretches:
        there = f"{stretch.done:,} of {stretch.steps:,} are done; " if stretch.done else ""
        frames = counted(stretch.left * stretch.frames, "frame")
        words = f"{there}{stretch.frames:,} frames a step, {frames} in all"
        facts.append(Fact(stretch.name, counted(stretch.left, "step"), words))
    n_programs = sum(stretch.left > 0 for stretch in stretches) + 1
    facts.append(Fact("compiling", counted(n_programs, "program"), "the small ones not counted"))
    words = f"weights, gradients and optimizer of {in_units(model_bytes)} of weights; activations "
    facts.append(Fact("memory", in_units(_STATE * model_bytes), words + "of a batch come on top"))
    return [*facts, disk_fact(workdir, _CHECKPOINTS * n_models * model_bytes, "checkpoints")]


def steps_done(log: pathlib.Path) -> dict[str, int]:
    """By training, the last step that a log tells of; a line that is torn counts for nothing."""
    done: dict[str, int] = {}
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    for line in lines:
        try:
            told = json.loads(line)
            done[str(told["training"])] = int(told["step"])
        except (ValueError, KeyError, TypeError):
            continue
    return done
