"""The flag of the trained model that a main measures."""

from absl import flags

from wfm_jax.train.model_files import Teacher, load_teacher

CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    "pretrained",
    "The model: a folder or .safetensors file of `experiments.pretrain`, or 'pretrained' (nano) "
    "or 'pretrained-micro', which come with the package.",
)


def teacher() -> Teacher:
    """The model asked for; CheckpointError where there is none, or a damaged one."""
    return load_teacher(CHECKPOINT.value)
