"""A grid of one's own, as two functions: one that fits it to weights, one that snaps them to it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from wfm_jax.compress.paths import unflatten
from wfm_jax.compress.quantize import kernels
from wfm_jax.compress.surrogate import straight_through
from wfm_jax.compress.transform import Transform


class SnapState(NamedTuple):
    """The grids in force.

    Attributes:
      on: boolean scalar; False until the first update.
      grid: path name -> what ``fit`` gave.
    """

    on: jax.Array
    grid: dict[str, Any]


def snapping(
    fit: Callable[[jax.Array], Any], snap: Callable[[jax.Array, Any], jax.Array]
) -> Transform:
    """Quantizes kernels to a grid that is not ours: every floating-point leaf of two or more axes.

    ``init`` leaves all in floating point; ``update`` fits a grid to the parameters as it is given
    them, and leaves those unchanged; ``apply`` snaps them to the stored grid, with the identity as
    gradient. Restrict it with `wfm_jax.compress.matching`.

    >>> params = {"kernel": jnp.array([[0.9, -3.0], [-0.2, 1.2]])}
    >>> ternary = snapping(  # Li et al., "Ternary weight networks", 2016 (arXiv 1605.04711)
    ...     lambda w: jnp.mean(jnp.abs(w), axis=0, keepdims=True),
    ...     lambda w, scale: scale * jnp.clip(jnp.round(w / scale), -1, 1),
    ... )
    >>> params, state = ternary.update(params, ternary.init(params, key=jax.random.key(0)))
    >>> ternary.apply(params, state)["kernel"].round(2)
    Array([[ 0.55, -2.1 ],
           [-0.  ,  2.1 ]], dtype=float32)

    Args:
      fit: ``fit(w) -> grid``, any pytree of arrays, such as one scale an output channel.
      snap: ``snap(w, grid) -> w``, the nearest weights on the grid, of the shape and dtype of
        ``w``. What was snapped stays where it is, and zero stays zero, so that masks hold.

    Returns:
      A transform with a `SnapState`.
    """

    def init(params, *, key):
        del key
        shapes = {path: jax.eval_shape(fit, w) for path, w in kernels(params).items()}
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        return SnapState(jnp.asarray(False), zeros)

    def update(params, state, stats=None):
        del stats
        fitted = {path: fit(w) for path, w in kernels(params).items()}
        return params, SnapState(jnp.ones_like(state.on), fitted)

    def apply(params, state):
        snapped = {
            path: straight_through(w, jnp.where(state.on, snap(w, state.grid[path]), w))
            for path, w in kernels(params).items()
        }
        return unflatten(params, snapped)

    return Transform(init, update, apply)
