"""Views of a frame as a network reads them: classical preprocessing, done once for all students.

Gain control (every view over the frame's rms), timing alignment, and the LS channel interpolated
between the pilots: what any receiver does before it thinks. No parameters here.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from wfm_jax.model.config import ModelConfig
from wfm_jax.signal import link, receivers


class Inputs(NamedTuple):
    """What a model is applied to.

    Attributes:
        patches: float32[batch, n_patches, features], the frequency-aligned views.
        segments: float32[batch, n_segments, 2 * iq_segment], the ``iq`` view; no segments without.
        modulation: int32[batch], index of the known modulation, ``n_modulations`` where blind.
        grid: complex64[batch, n_symbols, n_subcarriers], aligned, unit rms.
        pilots: complex64[batch, n_pilots_each], LS at the pilots, averaged over their symbols.
        channel_ls: complex64[batch, n_symbols, n_subcarriers], LS interpolated, same units.
    """

    patches: jax.Array
    segments: jax.Array
    modulation: jax.Array
    grid: jax.Array
    pilots: jax.Array
    channel_ls: jax.Array


class Received(NamedTuple):
    """The frame in the units of :class:`Inputs`: what labels must be multiplied by to compare.

    ``gain`` float32[batch] times ``ramp`` complex64[batch, n_subcarriers] takes a channel of the
    frame to one of the aligned, unit-rms frame.
    """

    gain: jax.Array
    ramp: jax.Array


def prepare(
    config: ModelConfig, frame: link.Frame, modulation: jax.Array
) -> tuple[Inputs, Received]:
    """Turns a frame's views into inputs; reads no label of the frame.

    Args:
        config: the model; views it does not name are left out.
        frame: received frames; only the views are read.
        modulation: int32[batch], the modulation token; ``config.n_modulations`` is blind.
    """
    power = jnp.mean(jnp.square(jnp.abs(frame.grid)), axis=(1, 2))
    gain = jax.lax.rsqrt(power + 1e-30)
    scale = gain[:, None, None]
    aligned = receivers.align_timing(config.link, frame.grid * scale, frame.csi * scale)
    weights = receivers.interpolation_matrix(config.link)
    at_pilots = jnp.einsum("fp,bsp->bsf", weights, aligned.csi)
    pilots = jnp.mean(aligned.csi, axis=1)
    channel_ls = jnp.broadcast_to(jnp.mean(at_pilots, axis=1, keepdims=True), aligned.grid.shape)

    features = []
    if "grid" in config.views:
        features += [_parts(aligned.grid)]
    if "csi" in config.views:
        features += [_parts(at_pilots)]
    if "grid" in config.views and "csi" in config.views:
        gain_ls = jnp.square(jnp.abs(channel_ls)) + 0.05
        equalised = aligned.grid * jnp.conj(channel_ls) / gain_ls
        features += [_parts(equalised), lattice_lines(config.link, equalised)]
    if "spectrogram" in config.views:
        decibel = frame.spectrogram + 20.0 * jnp.log10(scale)
        features += [jnp.maximum(decibel, -40.0) / 10.0]
    none = jnp.zeros((*power.shape, 0, config.link.n_subcarriers), jnp.float32)
    patches = jnp.concatenate([none, *features], axis=1)
    patches = patches.reshape(*patches.shape[:2], config.n_patches, config.patch_subcarriers)
    patches = jnp.moveaxis(patches, 1, 2)
    patches = patches.reshape(*patches.shape[:2], n_patch_features(config))

    batch = power.shape[0]
    segments = jnp.zeros((batch, 0, 2 * config.iq_segment), jnp.float32)
    if "iq" in config.views:
        samples = (frame.iq * gain[:, None]).reshape(batch, -1, config.iq_segment)
        segments = jnp.concatenate([samples.real, samples.imag], axis=-1)
    inputs = Inputs(patches, segments, modulation, aligned.grid, pilots, channel_ls)
    return inputs, Received(gain, aligned.ramp)


def lattice_lines(config: link.LinkConfig, equalised: jax.Array) -> jax.Array:
    """Empirical characteristic function of the equalised symbols at the constellations' lattices.

    The levels of a QAM axis lie on a lattice of spacing D shifted by D/2, so that
    -cos(2 pi x / D) is 1 on each of them: its mean over many symbols is a spectral line whose
    height says how well the lattice fits, and which sums of raw symbols do not show.

    Returns:
        float32[batch, n_modulations, n_subcarriers], means over the frame's symbols and both axes.
    """
    parts = jnp.stack([equalised.real, equalised.imag])
    lines = []
    for m in config.bits_per_symbol:
        spacing = 2.0 / (2.0 * (2.0**m - 1.0) / 3.0) ** 0.5
        lines.append(-jnp.mean(jnp.cos(2.0 * jnp.pi / spacing * parts), axis=(0, 2)))
    return jnp.stack(lines, axis=1)


def n_patch_features(config: ModelConfig) -> int:
    """Features of a patch token for the views that the model reads."""
    n, pilots = config.link.n_symbols, len(config.link.pilot_symbols)
    rows = 0
    rows += 2 * n if "grid" in config.views else 0
    rows += 2 * pilots if "csi" in config.views else 0
    if "grid" in config.views and "csi" in config.views:
        rows += 2 * n + config.n_modulations
    if "spectrogram" in config.views:
        window = config.link.n_fft
        rows += (config.iq_samples - window) // (3 * window // 4) + 1
    return rows * config.patch_subcarriers


def _parts(x: jax.Array) -> jax.Array:
    """complex[batch, rows, n] to float32[batch, 2 rows, n]."""
    return jnp.concatenate([x.real, x.imag], axis=1)
