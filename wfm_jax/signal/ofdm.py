"""OFDM: the resource grid, its pilots, cyclic prefix, and the way between time and frequency.

Subcarriers are in rising order of frequency, the carrier in the middle: subcarrier k of n is at
(k - n // 2) times the spacing. The FFT is unitary, so noise of variance n0 per sample is noise of
variance n0 per resource element. An FFT larger than the grid leaves a guard band on both sides.
"""

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.signal.checks import check_array


def pilot_mask(
    n_symbols: int, n_subcarriers: int, pilot_symbols: tuple[int, ...], spacing: int
) -> np.ndarray:
    """bool[n_symbols, n_subcarriers]: a comb of the given spacing on the ``pilot_symbols``."""
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

    Raises:
        ValueError: more or fewer data or pilots than the mask has places.
    """
    check_array("data", data, "batch", int((~mask).sum()))
    check_array("pilots", pilots, int(mask.sum()))
    flat = mask.reshape(-1)
    order = np.empty(flat.size, int)
    order[~flat] = np.arange((~flat).sum())
    order[flat] = (~flat).sum() + np.arange(flat.sum())
    known = jnp.broadcast_to(jnp.asarray(pilots), (data.shape[0], pilots.size))
    joined = jnp.concatenate([data, known], axis=1)
    return joined[:, order].reshape(data.shape[0], *mask.shape)


def subcarrier_frequencies_hz(n_subcarriers: int, spacing_hz: float) -> np.ndarray:
    """Frequencies of the grid's subcarriers relative to the carrier, float64[n_subcarriers]."""
    return spacing_hz * (np.arange(n_subcarriers) - n_subcarriers // 2)


def to_time(grid: jax.Array, cp_samples: int, fft_size: int | None = None) -> jax.Array:
    """Grid to samples with cyclic prefix.

    Args:
        grid: complex64[batch, n_symbols, n_subcarriers].
        cp_samples: length of the prefix, at most ``fft_size``.
        fft_size: at least ``n_subcarriers``; what is more is guard band on both sides.

    Returns:
        complex64[batch, n_symbols * (fft_size + cp_samples)].

    Raises:
        ValueError: a grid that is not complex, or sizes that do not fit.
    """
    check_array("grid", grid, "batch", "n_symbols", "n_subcarriers")
    n_subcarriers = grid.shape[-1]
    fft_size = fft_size or n_subcarriers
    if fft_size < n_subcarriers:
        raise ValueError(f"fft_size must be at least {n_subcarriers}, got {fft_size}")
    if not 0 <= cp_samples <= fft_size:
        raise ValueError(f"cp_samples must be in 0...{fft_size}, got {cp_samples}")
    low = fft_size // 2 - n_subcarriers // 2
    high = fft_size - n_subcarriers - low
    bins = jnp.fft.ifftshift(jnp.pad(grid, ((0, 0), (0, 0), (low, high))), axes=-1)
    samples = jnp.fft.ifft(bins, axis=-1, norm="ortho")
    samples = jnp.concatenate([samples[..., fft_size - cp_samples :], samples], axis=-1)
    return samples.reshape(samples.shape[0], -1)


def to_grid(
    samples: jax.Array, n_symbols: int, cp_samples: int, n_subcarriers: int | None = None
) -> jax.Array:
    """Samples to the grid; the inverse of :func:`to_time`.

    Args:
        samples: complex64[batch, n_symbols * (fft_size + cp_samples)].
        n_symbols: OFDM symbols.
        cp_samples: length of the prefix, dropped.
        n_subcarriers: subcarriers around the middle to keep; default all.

    Returns:
        complex64[batch, n_symbols, n_subcarriers].

    Raises:
        ValueError: samples that are not complex or do not divide into symbols, sizes that do not
            fit.
    """
    check_array("samples", samples, "batch", "n_samples")
    symbol_samples, rest = divmod(samples.shape[1], n_symbols)
    if rest:
        raise ValueError(f"n_symbols must divide {samples.shape[1]} samples, got {n_symbols}")
    if not 0 <= cp_samples < symbol_samples:
        raise ValueError(f"cp_samples must be in 0...{symbol_samples - 1}, got {cp_samples}")
    blocks = samples.reshape(samples.shape[0], n_symbols, -1)[..., cp_samples:]
    bins = jnp.fft.fftshift(jnp.fft.fft(blocks, axis=-1, norm="ortho"), axes=-1)
    fft_size = bins.shape[-1]
    n_subcarriers = n_subcarriers or fft_size
    if n_subcarriers > fft_size:
        raise ValueError(f"n_subcarriers must be at most {fft_size}, got {n_subcarriers}")
    low = fft_size // 2 - n_subcarriers // 2
    return bins[..., low : low + n_subcarriers]


def tap_response(taps: jax.Array, n_subcarriers: int, fft_size: int | None = None) -> jax.Array:
    """Sample-spaced taps complex64[..., n_taps] to h on the grid complex64[..., n_subcarriers];
    ``fft_size`` is ``n_subcarriers`` if None."""
    check_array("taps", taps, "n_taps", batched=True)
    turns = subcarrier_frequencies_hz(n_subcarriers, 1.0 / (fft_size or n_subcarriers))
    steering = np.exp(-2j * np.pi * np.outer(np.arange(taps.shape[-1]), turns))
    return jnp.matmul(taps, steering.astype(np.complex64), precision="highest")
