"""OFDM: the resource grid, its pilots, cyclic prefix, and the way between time and frequency.

Subcarrier k of the grid is bin k of the unitary FFT, so noise of variance n0 per sample is noise of
variance n0 per resource element.
"""

import jax
import jax.numpy as jnp
import numpy as np


def pilot_mask(
    n_symbols: int, n_subcarriers: int, pilot_symbols: tuple[int, ...], spacing: int
) -> np.ndarray:
    """bool[n_symbols, n_subcarriers]: a comb of the given spacing on the pilot symbols."""
    mask = np.zeros((n_symbols, n_subcarriers), bool)
    mask[np.asarray(pilot_symbols), ::spacing] = True
    return mask


def pilot_values(n_pilots: int) -> np.ndarray:
    """Known unit-energy QPSK pilots, complex64[n_pilots]: a quadratic-phase (Zadoff-Chu like)
    sequence rounded to QPSK, so that the pilots' time signal has no peak."""
    n = np.arange(n_pilots)
    quadrant = np.floor(2.0 * (n * n / n_pilots % 2.0)).astype(int) % 4
    return np.exp(1j * np.pi * (0.25 + 0.5 * quadrant)).astype(np.complex64)


def place(data: jax.Array, pilots: np.ndarray, mask: np.ndarray) -> jax.Array:
    """Fills a grid: data complex64[batch, n_data] and the pilots in row-major order of the mask.

    Returns:
        complex64[batch, n_symbols, n_subcarriers].
    """
    flat = mask.reshape(-1)
    order = np.empty(flat.size, int)
    order[~flat] = np.arange((~flat).sum())
    order[flat] = (~flat).sum() + np.arange(flat.sum())
    known = jnp.broadcast_to(jnp.asarray(pilots), (data.shape[0], pilots.size))
    joined = jnp.concatenate([data, known], axis=1)
    return joined[:, order].reshape(data.shape[0], *mask.shape)


def to_time(grid: jax.Array, cp_samples: int) -> jax.Array:
    """Grid complex64[batch, n_symbols, n] to samples complex64[batch, n_symbols * (n + cp)]."""
    samples = jnp.fft.ifft(grid, axis=-1, norm="ortho")
    samples = jnp.concatenate([samples[..., samples.shape[-1] - cp_samples :], samples], axis=-1)
    return samples.reshape(samples.shape[0], -1)


def to_grid(samples: jax.Array, n_symbols: int, cp_samples: int) -> jax.Array:
    """Samples complex64[batch, n_symbols * (n + cp)] to the grid complex64[batch, n_symbols, n]."""
    blocks = samples.reshape(samples.shape[0], n_symbols, -1)
    return jnp.fft.fft(blocks[..., cp_samples:], axis=-1, norm="ortho")


def frequency_response(taps: jax.Array, n_subcarriers: int) -> jax.Array:
    """Sample-spaced taps complex64[..., n_taps] to H complex64[..., n_subcarriers]."""
    k, n = np.arange(n_subcarriers), np.arange(taps.shape[-1])
    steering = np.exp(-2j * np.pi * np.outer(n, k) / n_subcarriers).astype(np.complex64)
    return taps @ steering
