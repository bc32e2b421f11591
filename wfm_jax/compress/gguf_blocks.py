"""GGUF's Q8_0 and Q4_0: eight and four bits in groups of 32, as llama.cpp stores them.

Integers of Q8_0 differ from those of `wfm_jax.compress.fake_quant` at 8 bits, groups of 32 and the
bound ``"restricted"`` in two ways: halves are rounded away from zero, and the scale is stored in
float16 after it has been used. Q4_0 has scales of either sign: the weight of the largest magnitude
is always -8 times its scale, so that none of the sixteen integers is wasted. The layouts are those
of ggml's ``block_q8_0`` and ``block_q4_0`` (ggml-quants.c).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from wfm_jax.compress.blocks import reduce_blocks, scale_shape, spread

GROUP_SIZE = 32


class Q8_0(NamedTuple):
    """Weights in Q8_0.

    Attributes:
      integers: int8 of the shape of the weights, -127 to 127.
      scale: float16, one for every 32 consecutive inputs: ``[in / 32, out]``.
    """

    integers: jax.Array
    scale: jax.Array


def q8_0_quantize(w: jax.Array) -> Q8_0:
    """Returns what GGUF stores of a kernel.

    A file's rows are output channels: it holds the transpose of both arrays.

    Args:
      w: floating-point ``[in, out]`` (or more axes; groups lie along the last but one).

    Raises:
      ValueError: if the number of inputs is no multiple of 32.
    """
    w = jnp.asarray(w).astype(jnp.float32)
    blocks = scale_shape(w.shape, -1, GROUP_SIZE)
    absmax = reduce_blocks(jnp.max, jnp.abs(w), blocks)
    # Behind barriers: XLA would make absmax * (1 / 127) of the first division, and 127 / absmax of
    # both, each off by a unit in the last place, which moves halves.
    scale = absmax / jax.lax.optimization_barrier(jnp.full_like(absmax, 127))
    scale = jax.lax.optimization_barrier(scale)
    ratio = w * spread(jnp.where(scale == 0, 0, 1 / scale), w.shape)
    integers = jax.lax.round(ratio, jax.lax.RoundingMethod.AWAY_FROM_ZERO)
    return Q8_0(integers.astype(jnp.int8), scale.astype(jnp.float16))


def q8_0_dequantize(q: Q8_0) -> jax.Array:
    """Returns the weights that a reader of the file gets, float32 of their original shape."""
    return q.integers.astype(jnp.float32) * spread(q.scale.astype(jnp.float32), q.integers.shape)


class Q4_0(NamedTuple):
    """Weights in Q4_0.

    Attributes:
      integers: int8 of the shape of the weights, -8 to 7.
      scale: float16 of either sign, one for every 32 consecutive inputs: ``[in / 32, out]``.
    """

    integers: jax.Array
    scale: jax.Array


def q4_0_quantize(w: jax.Array) -> Q4_0:
    """Returns what GGUF stores of a kernel.

    Halves are rounded up, and what would be 8 is 7.

    Args:
      w: floating-point ``[in, out]`` (or more axes; groups lie along the last but one).

    Raises:
      ValueError: if the number of inputs is no multiple of 32.
    """
    w = jnp.asarray(w).astype(jnp.float32)
    blocks = scale_shape(w.shape, -1, GROUP_SIZE)
    groups = w.reshape(*blocks[:-1], GROUP_SIZE, w.shape[-1])
    first = jnp.argmax(jnp.abs(groups), axis=-2, keepdims=True)
    scale = jnp.take_along_axis(groups, first, axis=-2)[..., 0, :] / -8
    scale = jax.lax.optimization_barrier(scale)  # as in Q8_0
    ratio = w * spread(jnp.where(scale == 0, 0, 1 / scale), w.shape)
    # The clipping also keeps product and sum apart: XLA would round them once, together.
    integers = jnp.minimum(jnp.floor(jnp.clip(ratio, -8, 8) + 8.5), 15) - 8
    return Q4_0(integers.astype(jnp.int8), scale.astype(jnp.float16))


def q4_0_dequantize(q: Q4_0) -> jax.Array:
    """Returns the weights that a reader of the file gets, float32 of their original shape."""
    return q.integers.astype(jnp.float32) * spread(q.scale.astype(jnp.float32), q.integers.shape)
