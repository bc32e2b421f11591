"""The loss of masked modelling: hidden tokens of every view, predicted from what is left."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from wfm_jax.model import Inputs, ModelConfig, sample_batch
from wfm_jax.model.reconstruction import mask_tokens
from wfm_jax.train.fit import Losses, LossOf


def reconstruction_losses(predicted: dict[str, jax.Array], target: Inputs, shown: Inputs) -> Losses:
    """Share of the hidden tokens' variance that is left unexplained, by view: 1 for a prediction by
    the mean, 0 for a perfect one.

    Args:
        predicted: float32[batch, tokens, times, features] by view.
        target: the inputs before masking.
        shown: the inputs after it.
    """
    losses = {}
    for view, truth in target.views.items():
        hidden = (target.visible[view] & ~shown.visible[view])[..., None, None]
        error = jnp.sum(jnp.where(hidden, jnp.square(predicted[view] - truth), 0.0))
        count = jnp.maximum(jnp.sum(hidden), 1) * truth.shape[2]
        mean = jnp.sum(jnp.where(hidden, truth, 0.0), axis=(0, 1, 2), keepdims=True) / count
        spread = jnp.sum(jnp.where(hidden, jnp.square(truth - mean), 0.0))
        losses[view] = error / jnp.maximum(spread, 1e-6)
    return losses


def masked_loss(
    config: ModelConfig,
    apply: Callable[[Any, Inputs], dict[str, jax.Array]],
    *,
    batch_size: int,
    mask_ratio: float,
    view_dropout: float,
    carrier_offset_fraction: float,
) -> LossOf:
    """The loss of a batch drawn from a key: the mean of the views' losses.

    Arguments as of :func:`wfm_jax.model.sample_batch` and
    :func:`wfm_jax.model.reconstruction.mask_tokens`.
    """

    def loss_of(params: Any, key: jax.Array) -> tuple[jax.Array, Losses]:
        key_batch, key_mask = jax.random.split(key)
        batch = sample_batch(
            config,
            key=key_batch,
            batch_size=batch_size,
            view_dropout=view_dropout,
            carrier_offset_fraction=carrier_offset_fraction,
        )
        shown = mask_tokens(batch.inputs, mask_ratio, key=key_mask)
        losses = reconstruction_losses(apply(params, shown), batch.inputs, shown)
        return jnp.mean(jnp.stack(list(losses.values()))), losses

    return loss_of
