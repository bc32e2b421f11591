"""Flags of the model and of the teacher's training."""

from absl import flags

from wfm_jax.model import PRESETS, ModelConfig, preset
from wfm_jax.train.losses import TaskWeights
from wfm_jax.train.teacher import TeacherSettings

_DEFAULT = TeacherSettings()

_MODEL = flags.DEFINE_enum("model", "nano", list(PRESETS), "Size of the teacher.")
_STEPS = flags.DEFINE_integer(
    "teacher_steps", _DEFAULT.steps, "Optimizer steps of the teacher.", lower_bound=1
)
_BATCH = flags.DEFINE_integer(
    "teacher_batch_size", _DEFAULT.batch_size, "Frames a step.", lower_bound=1
)
_RATE = flags.DEFINE_float(
    "teacher_learning_rate", _DEFAULT.learning_rate, "Peak learning rate.", lower_bound=1e-9
)
_BLIND = flags.DEFINE_float(
    "blind_fraction",
    _DEFAULT.blind_fraction,
    "Share of training frames whose modulation token is masked.",
    lower_bound=0.0,
    upper_bound=1.0,
)
_SEED = flags.DEFINE_integer("teacher_seed", _DEFAULT.seed, "Initial parameters and data.")
_CHUNK = flags.DEFINE_integer(
    "teacher_chunk_steps", _DEFAULT.chunk_steps, "Steps between two looks.", lower_bound=1
)
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
    return TeacherSettings(
        steps=_STEPS.value,
        batch_size=_BATCH.value,
        learning_rate=_RATE.value,
        blind_fraction=_BLIND.value,
        weights=task_weights(),
        seed=_SEED.value,
        chunk_steps=_CHUNK.value,
    )
