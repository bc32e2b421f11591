"""Asymmetric weight quantization as a transform: ranges taken once, weights snapped at every pass.

The asymmetric sibling of `wfm_jax.compress.quantize`, on the grids of Jacob et al., 2018 (arXiv
1712.05877); see `wfm_jax.compress.affine`.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from wfm_jax.compress.affine import AffineGrid, min_max_grid, snap_affine
from wfm_jax.compress.checks import is_traced
from wfm_jax.compress.paths import unflatten
from wfm_jax.compress.quantize import bits_by_path, kernels
from wfm_jax.compress.transform import Transform


class AffineState(NamedTuple):
    """The grids in force, by path name.

    Attributes:
      scale: float32, of the shape given by `min_max_grid`.
      zero_point: int32 of that shape.
      bits: float32 scalars; 16 and more leave the leaf in floating point.
    """

    scale: dict[str, jax.Array]
    zero_point: dict[str, jax.Array]
    bits: dict[str, jax.Array]


def quantize_affine(
    bits: ArrayLike | Mapping[str, ArrayLike],
    *,
    axis: int | None = -1,
    group_size: int | None = None,
    min_bits: int | None = None,
) -> Transform:
    """Quantizes kernels asymmetrically: every floating-point leaf of two or more axes.

    ``init`` leaves all in floating point; ``update`` takes the ranges of the parameters as it is
    given them, and leaves those unchanged; ``apply`` snaps them to the stored grid, with the
    identity as gradient, also for weights that have left the range since: they can come back.
    Restrict it with `wfm_jax.compress.matching`.

    >>> params = {"kernel": jnp.array([[0.0, -1.0], [2.0, 0.5], [3.0, 2.0]])}
    >>> method = quantize_affine(2)
    >>> params, state = method.update(params, method.init(params, key=jax.random.key(0)))
    >>> state.zero_point["kernel"], method.apply(params, state)["kernel"]
    (Array([[0, 1]], dtype=int32), Array([[ 0., -1.],
           [ 2.,  0.],
           [ 3.,  2.]], dtype=float32))

    Args:
      bits: scalar: 2 to 8, or 16 or 32 for floating point; may be traced. Or such scalars by path
        name; see `wfm_jax.compress.quantize`.
      axis: the output-channel axis; ``None`` for one grid a tensor.
      group_size: number of consecutive inputs that share a grid, ``None`` for all.
      min_bits: raises ``bits`` to at least this, as embeddings and heads may need.

    Returns:
      A transform with an `AffineState`.

    Raises:
      ValueError: for concrete bits that are not allowed; from ``init``, for a group size that
        divides some leaf's inputs unevenly; from ``update``, for concrete weights that hold NaN.
    """
    of_path = bits_by_path(bits, min_bits)

    def calibrate(w, b):
        return min_max_grid(w, b, axis=axis, group_size=group_size)

    def init(params, *, key):
        del key
        of_path(params)
        shapes = {p: jax.eval_shape(calibrate, w, 8) for p, w in kernels(params).items()}
        grids = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        return _state(grids, dict.fromkeys(grids, 32))

    def update(params, state, stats=None):
        del state, stats
        own = of_path(params)
        grids = {path: calibrate(w, own[path]) for path, w in kernels(params).items()}
        for path, grid in grids.items():
            if not is_traced(grid.scale) and bool(jnp.any(jnp.isnan(grid.scale))):
                raise ValueError(f"params[{path!r}] holds NaN")
        return params, _state(grids, own)

    def apply(params, state):
        snapped = {
            path: snap_affine(
                w, state.bits[path], AffineGrid(state.scale[path], state.zero_point[path])
            )
            for path, w in kernels(params).items()
        }
        return unflatten(params, snapped)

    return Transform(init, update, apply)


def _state(grids: dict[str, AffineGrid], bits: Mapping[str, ArrayLike]) -> AffineState:
    return AffineState(
        {path: grid.scale for path, grid in grids.items()},
        {path: grid.zero_point for path, grid in grids.items()},
        {path: jnp.asarray(bits[path], jnp.float32) for path in grids},
    )
