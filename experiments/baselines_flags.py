"""Flags of the training of the small baselines."""

from absl import flags

from wfm_jax.train.classifier import ClassifierSettings

_DEFAULT = ClassifierSettings()
_STEPS = flags.DEFINE_integer(
    "baseline_steps", _DEFAULT.steps, "Optimizer steps of each network.", lower_bound=1
)
_BATCH = flags.DEFINE_integer(
    "baseline_batch_size", _DEFAULT.batch_size, "Frames a step.", lower_bound=1
)
_RATE = flags.DEFINE_float(
    "baseline_learning_rate", _DEFAULT.learning_rate, "Peak learning rate.", lower_bound=1e-9
)
_SEED = flags.DEFINE_integer(
    "baseline_seed", _DEFAULT.seed, "Seed of initial parameters and data.", lower_bound=0
)


def settings() -> ClassifierSettings:
    """How both are trained."""
    return ClassifierSettings(
        steps=_STEPS.value,
        batch_size=_BATCH.value,
        learning_rate=_RATE.value,
        seed=_SEED.value,
    )
