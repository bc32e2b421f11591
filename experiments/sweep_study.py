"""Flags of the teacher of a sweep, the study that all flags ask for, and how its run is kept."""

from typing import Any

from absl import flags

from experiments import axis_flags, launch, sweep_flags, teacher_flags
from wfm_jax.sweep.study import Study

_TEACHER = flags.DEFINE_string(
    "teacher",
    "auto",
    "A trained model (folder or .safetensors), 'pretrained' (nano) or 'pretrained-micro', which "
    "come with the package, 'train', or 'auto': pretrained if --model and the flags of its "
    "training allow it.",
)


def study() -> Study:
    """What is asked for; a bad value is an error that names its flag."""
    model = teacher_flags.model()
    return Study(
        configurations=axis_flags.configurations(),
        model=model,
        teacher=teacher_flags.teacher(_TEACHER.value),
        settings=sweep_flags.settings(teacher_flags.task_weights(), model.link),
        test_set=sweep_flags.test_set(model.link),
    )


def kept() -> dict[str, Any]:
    """What decides whether a folder's run is this one; arguments of ``run_study``."""
    values = launch.flag_values(axis_flags, sweep_flags, teacher_flags)
    return {
        "flags": {"teacher": _TEACHER.value, **values},
        "growable": axis_flags.GROWABLE,
        "uncompared": sweep_flags.UNCOMPARED,
        "overwrite": launch.OVERWRITE.value,
    }
