"""Where a frame of the link begins in samples of which nothing is known: prefix, then pilots.

The prefix tells where symbols begin and how far the oscillator is off; which of them is a frame's
first, the pilots tell: divided by their known values, those of two pilot symbols agree up to a turn
only where they are where they should be. Whole subcarrier spacings of carrier offset are not seen.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.signal import ofdm, offsets, prefix_sync
from wfm_jax.signal.checks import check_array
from wfm_jax.signal.link import LinkConfig


class FoundFrame(NamedTuple):
    """A frame that was found in each window.

    Attributes:
        iq: complex64[batch, n_samples], the frame, its carrier offset taken out.
        start: int32[batch], its first sample in the window.
        carrier_offset_hz: float32[batch], what was taken out.
        prefix_coherence: float32[batch] of :class:`wfm_jax.signal.prefix_sync.PrefixSync`.
        pilot_coherence: float32[batch], 0 to 1: how far the pilot symbols agree.
    """

    iq: jax.Array
    start: jax.Array
    carrier_offset_hz: jax.Array
    prefix_coherence: jax.Array
    pilot_coherence: jax.Array


def window_samples(config: LinkConfig) -> int:
    """Samples of a window that holds a whole frame wherever in it the frame begins."""
    return 2 * config.n_samples


def find_frames(config: LinkConfig, windows: jax.Array, *, early: int | None = None) -> FoundFrame:
    """Finds one frame in each window.

    Args:
        config: the link, with a prefix and at least two pilot symbols.
        windows: complex64[batch, ``window_samples(config)``].
        early: samples that frames are cut before the start that the prefix tells, as a receiver's
            window opens before the strongest path; half of ``config.max_timing_offset`` by default.

    Raises:
        ValueError: a link without prefix or with a single pilot symbol, or windows of another
            length.
    """
    check_array("windows", windows, "batch", window_samples(config))
    if len(config.pilot_symbols) < 2:
        raise ValueError(
            f"a frame is found by two pilot symbols or more, got pilot_symbols="
            f"{config.pilot_symbols}"
        )
    early = config.max_timing_offset // 2 if early is None else early
    found = prefix_sync.synchronise(
        windows, config.n_fft, config.cp_samples, 2 * config.n_symbols - 1
    )
    offset_hz = found.carrier_offset * (config.sample_rate_hz / config.n_fft)
    turn = offsets.oscillator(offset_hz, windows.shape[1], config.sample_s)
    on_frequency = windows * jnp.conj(turn)

    first = jnp.maximum(found.start - early, 0)
    n_symbols = 2 * config.n_symbols - 1
    aligned = _from(on_frequency, first, n_symbols * config.symbol_samples)
    grid = ofdm.to_grid(aligned, n_symbols, config.cp_samples, config.n_subcarriers)
    coherence = _pilot_coherence(config, grid)
    symbol = jnp.argmax(coherence, axis=1)
    start = first + symbol * config.symbol_samples
    return FoundFrame(
        iq=_from(on_frequency, start, config.n_samples),
        start=start.astype(jnp.int32),
        carrier_offset_hz=offset_hz,
        prefix_coherence=found.coherence,
        pilot_coherence=jnp.max(coherence, axis=1),
    )


def _pilot_coherence(config: LinkConfig, grid: jax.Array) -> jax.Array:
    """Agreement of neighbouring pilot symbols for each first symbol, float32[batch, n_symbols]."""
    places = np.asarray(sorted(config.pilot_symbols))
    shown = grid[:, np.arange(config.n_symbols)[:, None] + places, :: config.pilot_spacing]
    channel = shown / config.pilots.reshape(places.size, -1)
    one, other = channel[:, :, :-1], channel[:, :, 1:]
    common = jnp.sum(jnp.abs(jnp.sum(one * jnp.conj(other), axis=-1)), axis=-1)
    power = 0.5 * jnp.sum(jnp.square(jnp.abs(one)) + jnp.square(jnp.abs(other)), axis=(-2, -1))
    return common / jnp.maximum(power, 1e-30)


def _from(samples: jax.Array, start: jax.Array, count: int) -> jax.Array:
    """``count`` samples of each row from its start."""
    return jax.vmap(lambda row, at: jax.lax.dynamic_slice(row, (at,), (count,)))(samples, start)
