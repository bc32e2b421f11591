"""Norms and biases in few bits: one grid a vector, or half precision.

They are few, a twentieth of a transformer's numbers, but beside matrices of two bits their float16
is a tenth of the file.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from wfm_jax.compress.checks import check_number
from wfm_jax.compress.coarse_scales import coarse
from wfm_jax.compress.half import round_to_half
from wfm_jax.compress.paths import flatten, unflatten
from wfm_jax.compress.surrogate import straight_through
from wfm_jax.compress.transform import Params, Transform
from wfm_jax.compress.uniform import fake_quant

HALF_BITS = 16


class VectorState(NamedTuple):
    """What vectors are stored in.

    Attributes:
      scale: path name -> float32 ``[1]`` (``[]`` of a scalar), of integers of up to 8 bits.
      bits: float32 scalar; 16 stands for float16, 32 for float32.
    """

    scale: dict[str, jax.Array]
    bits: jax.Array


def store_vectors(bits: ArrayLike) -> Transform:
    """Rounds every floating-point leaf of fewer than two axes, with a straight-through gradient.

    ``init`` leaves them alone; ``update`` calibrates a scale for each, the largest magnitude,
    rounded up as by `coarse`; ``apply`` snaps to integers times that scale, or rounds to float16
    (values beyond its range saturate).

    >>> method, params = store_vectors(8), {"bias": jnp.array([0.3, -1.0])}
    >>> _, state = method.update(params, method.init(params, key=jax.random.key(0)))
    >>> float(state.scale["bias"][0])  # 1 / 127 = 0.00787, with five binary digits
    0.008056640625

    Args:
      bits: scalar: 2 to 8, 16 (float16) or 32 (as they are); may be traced.

    Returns:
      A transform with a `VectorState`.

    Raises:
      ValueError: for concrete bits that are not allowed.
    """
    allowed = (*range(2, 9), HALF_BITS, 32)
    check_number("bits", bits, lambda n: n in allowed, "2 to 8, 16 or 32")
    rule = coarse("absmax")

    def init(params, *, key):
        del key
        scale = {path: jnp.zeros((1,) * w.ndim) for path, w in vectors(params).items()}
        return VectorState(scale, jnp.float32(32))

    def update(params, state, stats=None):
        del state, stats
        scale = {path: rule(w, bits, axis=None) for path, w in vectors(params).items()}
        return params, VectorState(scale, jnp.asarray(bits, jnp.float32))

    def apply(params, state):
        def stored(w: jax.Array, scale: jax.Array) -> jax.Array:
            half = straight_through(w, round_to_half(w))
            snapped = fake_quant(w, state.bits, axis=None, scale=scale)
            return jnp.where(state.bits == HALF_BITS, half, snapped)

        return unflatten(params, {p: stored(w, state.scale[p]) for p, w in vectors(params).items()})

    return Transform(init, update, apply)


def vectors(params: Params) -> dict[str, jax.Array]:
    """Returns by path name what this is about: floating-point leaves of shape ``[n]`` or ``[]``."""
    return {
        path: leaf
        for path, leaf in flatten(params).items()
        if jnp.ndim(leaf) < 2 and jnp.issubdtype(leaf.dtype, jnp.floating)
    }
