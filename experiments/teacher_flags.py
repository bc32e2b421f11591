"""Flags of the model and its training as a teacher."""

from typing import Any

from absl import flags

from wfm_jax.model import PRESETS, ModelConfig, from_dict, preset
from wfm_jax.train.losses import TaskWeights
from wfm_jax.train.model_files import PRETRAINED, describe
from wfm_jax.train.teacher import TeacherSettings

_DEFAULT = TeacherSettings()

_MODEL = flags.DEFINE_enum("model", "nano", list(PRESETS), "Size of the teacher.")
_SETTINGS = {
    "steps": flags.DEFINE_integer(
        "teacher_steps", _DEFAULT.steps, "Optimizer steps on the tasks.", lower_bound=1
    ),
    "masked_steps": flags.DEFINE_integer(
        "masked_steps",
        _DEFAULT.masked_steps,
        "Optimizer steps of masked modelling before them.",
        lower_bound=0,
    ),
    "mask_ratio": flags.DEFINE_float(
        "mask_ratio",
        _DEFAULT.mask_ratio,
        "Share of each view's tokens hidden in masked modelling.",
        lower_bound=0.01,
        upper_bound=0.99,
    ),
    "batch_size": flags.DEFINE_integer(
        "teacher_batch_size", _DEFAULT.batch_size, "Frames a batch.", lower_bound=1
    ),
    "accumulate": flags.DEFINE_integer(
        "accumulate", _DEFAULT.accumulate, "Batches whose gradients make a step.", lower_bound=1
    ),
    "learning_rate": flags.DEFINE_float(
        "teacher_learning_rate", _DEFAULT.learning_rate, "Peak learning rate.", lower_bound=1e-9
    ),
    "blind_fraction": flags.DEFINE_float(
        "blind_fraction",
        _DEFAULT.blind_fraction,
        "Share of training frames whose modulation token is masked.",
        lower_bound=0.0,
        upper_bound=1.0,
    ),
    "view_dropout": flags.DEFINE_float(
        "view_dropout",
        _DEFAULT.view_dropout,
        "Probability that a view of a training frame is absent.",
        lower_bound=0.0,
        upper_bound=0.95,
    ),
    "carrier_offset_fraction": flags.DEFINE_float(
        "carrier_offset_fraction",
        _DEFAULT.carrier_offset_fraction,
        "Half of the training frames are off frequency by up to this share of the spacing.",
        lower_bound=0.0,
        upper_bound=0.49,
    ),
    "compute": flags.DEFINE_enum(
        "compute",
        _DEFAULT.compute,
        ["float32", "bfloat16"],
        "What the encoder's matrix products are computed in; bfloat16 is for GPU and TPU.",
    ),
    "remat": flags.DEFINE_bool(
        "remat", _DEFAULT.remat, "Recompute activations in the backward pass: memory for time."
    ),
    "seed": flags.DEFINE_integer(
        "teacher_seed", _DEFAULT.seed, "Seed of initial parameters and data."
    ),
    "chunk_steps": flags.DEFINE_integer(
        "teacher_chunk_steps",
        _DEFAULT.chunk_steps,
        "Steps compiled into a call, between two looks.",
        lower_bound=1,
    ),
}
_WEIGHTS = {
    task: flags.DEFINE_float(
        f"{task}_weight",
        getattr(_DEFAULT.weights, task),
        f"Weight of the {task} task in the loss.",
        lower_bound=0.0,
    )
    for task in ("modulation", "bits", "channel", "link")
}


def model() -> ModelConfig:
    """The architecture asked for."""
    return preset(_MODEL.value)


def task_weights() -> TaskWeights:
    """The weights of the tasks."""
    return TaskWeights(**{task: float(flag.value or 0.0) for task, flag in _WEIGHTS.items()})


def teacher_settings() -> TeacherSettings:
    """The teacher's training."""
    values: dict[str, Any] = {field: flag.value for field, flag in _SETTINGS.items()}
    return TeacherSettings(weights=task_weights(), **values)


def teacher(named: str) -> TeacherSettings | str:
    """Where a teacher comes from: how to train it, or the path of one.

    Args:
        named: ``train``, a path, ``pretrained``, or ``auto``: the one that comes with the package
            where it is of the size asked for and no flag of its training was given, else training.
    """
    if named == "train":
        return teacher_settings()
    if named != "auto":
        return named
    asked = any(flag.present for flag in (*_SETTINGS.values(), *_WEIGHTS.values()))
    if asked or from_dict(describe(PRETRAINED)["model"]) != model():
        return teacher_settings()
    return PRETRAINED
