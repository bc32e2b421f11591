"""Frames with what a model reads of them: inputs, and labels in the inputs' units."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from wfm_jax.model.config import ModelConfig
from wfm_jax.model.views import Inputs, prepare
from wfm_jax.signal import link


class Batch(NamedTuple):
    """Frames with what a model reads of them.

    Attributes:
        inputs: the model's inputs; the modulation token is masked where ``blind``.
        frame: the frames with their labels.
        channel: complex64[batch, n_symbols, n_subcarriers], the true channel in the inputs' units.
        n0: float32[batch], the true noise variance in the inputs' units.
        blind: bool[batch].
    """

    inputs: Inputs
    frame: link.Frame
    channel: jax.Array
    n0: jax.Array
    blind: jax.Array


def to_batch(config: ModelConfig, frame: link.Frame, blind: jax.Array) -> Batch:
    """Prepares given frames; ``blind`` bool[batch] says whose modulation token is masked."""
    token = jnp.where(blind, config.n_modulations, frame.modulation)
    inputs, received = prepare(config, frame, token)
    channel = frame.channel * (received.gain[:, None] * received.ramp)[:, None, :]
    return Batch(inputs, frame, channel, frame.n0 * jnp.square(received.gain), blind)


def sample_batch(
    config: ModelConfig, *, key: jax.Array, batch_size: int, blind_fraction: float = 0.5
) -> Batch:
    """Draws a batch; each frame is blind with probability ``blind_fraction``."""
    key_frames, key_blind = jax.random.split(key)
    frame = link.sample_frames(config.link, key=key_frames, batch_size=batch_size)
    blind = jax.random.bernoulli(key_blind, blind_fraction, (batch_size,))
    return to_batch(config, frame, blind)
