"""Offsets of a real receiver: its oscillator beside the carrier, its window beside the symbol."""

import jax
import jax.numpy as jnp

from wfm_jax.signal.checks import check_array


def oscillator(offset_hz: jax.Array, n_samples: int, sample_s: float) -> jax.Array:
    """What a carrier offset turns samples by: exp(j 2 pi offset t), t = 0 at the first sample.

    In float32 the phase is off by at most 1e-7 of the turns that were made since the first sample.

    Args:
        offset_hz: float32[batch], carrier minus oscillator.
        n_samples: samples of a frame.
        sample_s: duration of a sample.

    Returns:
        complex64[batch, n_samples].

    Raises:
        ValueError: not one offset per frame.
    """
    check_array("offset_hz", offset_hz, "batch", real=True)
    turns = (offset_hz * sample_s)[:, None] * jnp.arange(n_samples, dtype=jnp.float32)
    return jnp.exp(2j * jnp.pi * (turns - jnp.round(turns)))


def window_offset(delays_s: jax.Array, offset_samples: jax.Array, sample_s: float) -> jax.Array:
    """Delays as seen by a receiver whose FFT window starts ``offset_samples`` early.

    Args:
        delays_s: float32[batch, n_rays].
        offset_samples: float32[batch], not negative; may be fractional.
        sample_s: duration of a sample.

    Raises:
        ValueError: delays without a batch, or not one offset per frame.
    """
    check_array("delays_s", delays_s, "batch", "n_rays", real=True)
    check_array("offset_samples", offset_samples, delays_s.shape[0], real=True)
    return delays_s + (sample_s * offset_samples)[:, None]
