"""Offsets of a real receiver: its oscillator beside the carrier, its window beside the symbol."""

import jax
import jax.numpy as jnp


def carrier_offset(samples: jax.Array, offset_hz: jax.Array, sample_s: float) -> jax.Array:
    """Turns samples by exp(j 2 pi offset t), t = 0 at the first sample.

    The phase is taken in turns modulo one before it is scaled, so float32 holds it to 1e-6 of a
    turn per million turns.

    Args:
        samples: complex64[batch, n_samples].
        offset_hz: float32[batch], carrier minus oscillator.
        sample_s: duration of a sample.
    """
    turns = (offset_hz * sample_s)[:, None] * jnp.arange(samples.shape[-1], dtype=jnp.float32)
    return samples * jnp.exp(2j * jnp.pi * (turns - jnp.round(turns)))


def window_offset(delays_s: jax.Array, offset_samples: jax.Array, sample_s: float) -> jax.Array:
    """Delays as seen by a receiver whose FFT window starts ``offset_samples`` early.

    Args:
        delays_s: float32[batch, n_rays].
        offset_samples: float32[batch], not negative; may be fractional.
        sample_s: duration of a sample.
    """
    return delays_s + (sample_s * offset_samples)[:, None]
