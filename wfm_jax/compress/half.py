"""Half precision for what is too small, or too delicate, to quantize: norms and biases."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from wfm_jax.compress.paths import flatten, unflatten
from wfm_jax.compress.surrogate import straight_through
from wfm_jax.compress.transform import Transform


class HalfState(NamedTuple):
    """Whether leaves are rounded.

    Attributes:
      on: boolean scalar; False until the first update.
    """

    on: jax.Array


def store_half() -> Transform:
    """Rounds every floating-point leaf to float16 and back, with a straight-through gradient.

    ``init`` is off, ``update`` turns it on, ``apply`` rounds, to the nearest and half to even;
    values beyond the range of float16 (65504) saturate. Restrict it with
    `wfm_jax.compress.matching`.

    Returns:
      A transform with a `HalfState`.
    """

    def init(params, *, key):
        del params, key
        return HalfState(jnp.asarray(False))

    def update(params, state, stats=None):
        del stats
        return params, HalfState(jnp.ones_like(state.on))

    def apply(params, state):
        rounded = {
            path: straight_through(w, jnp.where(state.on, round_to_half(w), w))
            for path, w in flatten(params).items()
            if jnp.issubdtype(w.dtype, jnp.floating)
        }
        return unflatten(params, rounded)

    return Transform(init, update, apply)


def round_to_half(w: jax.Array) -> jax.Array:
    """Returns the nearest float16 values, half to even, in shape and dtype of ``w``; no gradient.

    Not by way of float16: compilers for a GPU drop two conversions that undo each other, and leave
    the weights as they were.

    Args:
      w: floating-point array; what is beyond the range of float16 saturates.
    """
    half = jnp.finfo(jnp.float16)
    values = jnp.clip(jax.lax.stop_gradient(w).astype(jnp.float32), half.min, half.max)
    normal = jax.lax.reduce_precision(values, half.nexp, half.nmant)
    steps = float(half.smallest_subnormal)
    subnormal = jnp.round(values / steps) * steps
    return jnp.where(jnp.abs(values) < half.tiny, subnormal, normal).astype(w.dtype)
