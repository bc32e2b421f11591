"""Synthetic data: frames that nobody labelled but the teacher, also of links it was not made for.

A simulator knows the labels of what it draws, so they are thrown away: what the loss reads of a
frame, down to which constellation is demapped and how the channel's error is weighed, comes from
the teacher's answers (:func:`labelled_by`).
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from wfm_jax.model import Batch, ModelConfig, Outputs, bit_llrs, sample_batch
from wfm_jax.signal.link import LinkConfig

UNLABELLED_STREAM = 0x0A1B
GEOMETRY = (
    "n_symbols",
    "n_subcarriers",
    "sample_rate_hz",
    "cp_samples",
    "n_fft",
    "pilot_symbols",
    "pilot_spacing",
    "bits_per_symbol",
)


class Unlabelled(NamedTuple):
    """Frames of a step that come on top of the batch; static.

    Attributes:
        links: what they are drawn from, an equal share each; see :func:`sample_unlabelled`.
        n_frames: how many there are in all, at least one a link.
    """

    links: tuple[LinkConfig, ...]
    n_frames: int


def sample_unlabelled(
    config: ModelConfig,
    links: tuple[LinkConfig, ...],
    *,
    key: jax.Array,
    batch_size: int,
    blind_fraction: float = 0.5,
) -> Batch:
    """Draws frames of several links; their labels are still the true ones.

    Args:
        config: the model.
        links: of the same geometry and constellations as ``config.link``: other scenarios, SNRs or
            oscillators, such as ``dataclasses.replace(config.link, scenario=LOW_K)``. Prefixes are
            equal too, so that of longer delays OFDM symbols may interfere.
        key: typed PRNG key.
        batch_size: frames in all; where they do not divide, the first links have one more.
        blind_fraction: probability that a frame's modulation token is masked.

    Raises:
        ValueError: no links, more links than frames, or a link of another geometry; names what
            differs.
    """
    if not 1 <= len(links) <= batch_size:
        raise ValueError(f"links must be 1 to {batch_size}, one frame each, got {len(links)}")
    parts = []
    for i, link in enumerate(links):
        for name in GEOMETRY:
            if getattr(link, name) != getattr(config.link, name):
                raise ValueError(
                    f"links need the model's {name} {getattr(config.link, name)}, "
                    f"got {getattr(link, name)}"
                )
        parts.append(
            sample_batch(
                dataclasses.replace(config, link=link),
                key=jax.random.fold_in(key, i),
                batch_size=batch_size // len(links) + (i < batch_size % len(links)),
                blind_fraction=blind_fraction,
            )
        )
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)


def labelled_by(config: ModelConfig, batch: Batch, teacher: Outputs) -> Batch:
    """The batch with every label replaced by what the teacher says; nothing of the true ones stays.

    The modulation is the token where that is known (a receiver was told it), else the teacher's
    decision. The noise variance is the mean of the teacher's own; the frame's channel and noise are
    in the inputs' units like the batch's. There is a K where the teacher sees a line of sight.

    Args:
        config: the model.
        batch: frames; only inputs and views are read.
        teacher: the teacher's answers to ``batch.inputs``.
    """
    teacher, token = jax.lax.stop_gradient(teacher), batch.inputs.modulation
    blind, los = token == config.n_modulations, teacher.los > 0.0
    decided = jnp.argmax(teacher.modulation, axis=-1).astype(token.dtype)
    modulation = jnp.where(blind, decided, token)
    llr = bit_llrs(config.link, batch.inputs, teacher, modulation)
    n0 = jnp.mean(jnp.exp(teacher.log_noise), axis=(1, 2))
    frame = batch.frame._replace(
        modulation=modulation,
        bits=(llr > 0.0).astype(batch.frame.bits.dtype),
        channel=teacher.channel,
        k_db=jnp.where(los, teacher.k_db, jnp.nan),
        delay_spread_s=teacher.delay_spread_s,
        snr_db=teacher.snr_db,
        los=los,
        n0=n0,
        doppler_hz=teacher.doppler_hz,
    )
    return Batch(batch.inputs, frame, teacher.channel, n0, blind)
