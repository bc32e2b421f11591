"""Complex white Gaussian noise by Box and Muller, without a branch or a call per sample.

One counter gives a sample: 32 bits the power, -ln(u), 32 bits the phase, drawn within a quadrant
and mirrored by two sign bits, so that short Taylor sums do for cosine and sine. On a CPU this
takes a third of the time of ``jax.random.normal``, which inverts the error function twice.

Tail: the smallest u is 2^-33, so |n|^2 <= 22.9, exceeded by a true Gaussian once in 9e9 samples.
Near zero |n|^2 comes in steps of 6e-8. Cosine and sine are right within 3e-7.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.signal.words import random_words


def complex_normal(key: jax.Array, shape: Sequence[int] = ()) -> jax.Array:
    """Samples of CN(0, 1) as complex64[shape], E|n|^2 = 1; ``key`` is used up.

    Args:
        key: one typed threefry key.
        shape: fewer than 2^32 entries.

    Raises:
        ValueError: as :func:`wfm_jax.signal.words.random_words`.
    """
    power, phase = random_words(key, shape)
    uniform = power.astype(jnp.float32) * np.float32(2**-32) + np.float32(2**-33)
    radius = jnp.sqrt(-0.5 * jnp.log(uniform))
    centred = (phase & np.uint32(2**30 - 1)).astype(jnp.int32) - np.int32(2**29)
    # Within an eighth of a turn of the quadrant's middle: cos(pi/4 + x) ~ cos x - sin x.
    x = centred.astype(jnp.float32) * np.float32(np.pi / 2**31)
    square = x * x
    cosine = 1 + square * (-1 / 2 + square * (1 / 24 + square * (-1 / 720 + square / 40320)))
    sine = x * (1 + square * (-1 / 6 + square * (1 / 120 - square / 5040)))
    return jax.lax.complex(
        _signed(phase, 31) * radius * (cosine - sine), _signed(phase, 30) * radius * (cosine + sine)
    )


def awgn(key: jax.Array, signal: jax.Array, n0: jax.Array | float) -> jax.Array:
    """``signal`` plus complex white noise of variance ``n0``, which broadcasts against it."""
    return signal + jnp.sqrt(jnp.asarray(n0, jnp.float32)) * complex_normal(key, signal.shape)


def _signed(word: jax.Array, bit: int) -> jax.Array:
    """+1 or -1 by one bit of the word."""
    return 1.0 - 2.0 * ((word >> np.uint32(bit)) & 1).astype(jnp.float32)
