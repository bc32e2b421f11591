"""Frames with what a model reads of them: inputs, and labels in the inputs' units."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from wfm_jax.model.config import VIEWS, ModelConfig
from wfm_jax.model.views import Inputs, prepare
from wfm_jax.signal import link, words


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


def to_batch(
    config: ModelConfig, frame: link.Frame, blind: jax.Array, present: jax.Array | None = None
) -> Batch:
    """Prepares given frames; ``blind`` bool[batch] says whose modulation token is masked,
    ``present`` bool[batch, len(VIEWS)] which views each has (default: all)."""
    token = jnp.where(blind, config.n_modulations, frame.modulation)
    inputs, received = prepare(config, frame, token, present)
    channel = frame.channel * (received.gain[:, None] * received.ramp)[:, None, :]
    return Batch(inputs, frame, channel, frame.n0 * jnp.square(received.gain), blind)


def sample_batch(
    config: ModelConfig,
    *,
    key: jax.Array,
    batch_size: int,
    blind_fraction: float = 0.5,
    view_dropout: float = 0.0,
    carrier_offset_fraction: float = 0.0,
) -> Batch:
    """Draws a batch.

    Args:
        config: the model.
        key: typed PRNG key.
        batch_size: frames.
        blind_fraction: probability that a frame's modulation token is masked.
        view_dropout: probability that a view of a frame is absent; at least one stays.
        carrier_offset_fraction: half of the frames have a carrier offset of up to this share of
            the subcarrier spacing, either way.
    """
    key_frames, key_blind = jax.random.split(key)
    frame = _frames(config.link, key_frames, batch_size, carrier_offset_fraction)
    blind = jax.random.bernoulli(key_blind, blind_fraction, (batch_size,))
    present = None
    if view_dropout:
        key_present = jax.random.fold_in(key_blind, 1)
        present = drop_views(config, view_dropout, key=key_present, batch_size=batch_size)
    return to_batch(config, frame, blind, present)


def drop_views(config: ModelConfig, rate: float, *, key: jax.Array, batch_size: int) -> jax.Array:
    """bool[batch_size, len(VIEWS)]: each view absent with probability ``rate``, one of the model's
    views always there."""
    key_drop, key_stay = jax.random.split(key)
    absent = jax.random.bernoulli(key_drop, rate, (batch_size, len(VIEWS)))
    read = jnp.asarray([VIEWS.index(view) for view in config.views])
    stays = read[jax.random.randint(key_stay, (batch_size,), 0, read.size)]
    lost = jnp.all(absent[:, read], axis=1)
    return ~absent | (lost[:, None] & (jnp.arange(len(VIEWS)) == stays[:, None]))


def _frames(
    config: link.LinkConfig, key: jax.Array, batch_size: int, carrier_offset_fraction: float
) -> link.Frame:
    if not carrier_offset_fraction:
        return link.sample_frames(config, key=key, batch_size=batch_size)
    key_draw, key_send, key_offset = jax.random.split(key, 3)
    draw = link.draw_links(config, key=key_draw, batch_size=batch_size)
    most = carrier_offset_fraction * config.sample_rate_hz / config.n_fft
    share = words.random_uniform(key_offset, (batch_size,), -1.0, 1.0)
    # Half are on frequency, the others uniform: |share| from 1/2 to 1 is stretched over 0 to 1.
    offset_hz = most * jnp.sign(share) * jnp.maximum(2.0 * jnp.abs(share) - 1.0, 0.0)
    return link.transmit(config, draw._replace(carrier_offset_hz=offset_hz), key=key_send)
