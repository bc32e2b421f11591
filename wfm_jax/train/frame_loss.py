"""The training loss of test frames, frame by frame: what a model was made for, as one number."""

import jax
import jax.numpy as jnp

from wfm_jax.evaluate.scores import Answers
from wfm_jax.model import Batch, ModelConfig, Outputs
from wfm_jax.train.losses import TaskWeights, task_losses


def frame_loss(
    config: ModelConfig, answers: Answers, weights: TaskWeights = TaskWeights()
) -> jax.Array:
    """The tasks' weighted losses, each frame by itself.

    As test frames are scored: bits and channel with the modulation known, all else blind; in
    training each frame is one or the other. A frame without a LOS ray has no error of K.

    Args:
        config: the model.
        answers: what it says of the frames, of :func:`wfm_jax.evaluate.scores.answer`.
        weights: of the tasks; those of training if not given.

    Returns:
        float32[n_frames]; differentiable.
    """

    def of_one(known: Outputs, blind: Outputs, batch: Batch) -> jax.Array:
        known, blind, batch = jax.tree.map(lambda x: x[None], (known, blind, batch))
        aware, unaware = (task_losses(config, outputs, batch) for outputs in (known, blind))
        return weights.total(unaware | {name: aware[name] for name in ("bits", "channel")})

    batch = answers.batch._replace(blind=jnp.ones_like(answers.batch.blind))
    return jax.vmap(of_one)(answers.known, answers.blind, batch)
