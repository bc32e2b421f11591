"""Weights as constants of a program: integers and scales where they lie on a grid.

The program multiplies them out; a compiler does that once. So a file follows the bits of its
weights, and what it computes does not change.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.compress import blocks
from wfm_jax.compress.paths import flatten, unflatten
from wfm_jax.export.grids import Affine, Grid, Uniform, is_float16


def as_constants(params: Any, grids: Mapping[str, Grid] | None = None) -> Callable[[], Any]:
    """``weights() -> params``, to be called inside the function that is traced.

    Weights on a `Uniform` grid without row factors or on an `Affine` one are stored as integers of
    eight bits with their scales; floats that float16 holds exactly, as float16; all others, those
    on other grids too, as they are.

    Args:
        params: a tree of float32 weights as the forward pass sees them.
        grids: by path name, the grids that weights lie on.

    Returns:
        The function; its weights are ``params`` bit for bit, save that a negative zero of weights
        on a grid is zero.

    Raises:
        ValueError: grids of paths that ``params`` does not have, or weights that are not on their
            grid.
    """
    flat, grids = flatten(params), grids or {}
    if unknown := sorted(set(grids) - set(flat)):
        raise ValueError(f"not among the parameters: {', '.join(unknown)}")
    stored = {}
    for path, weights in flat.items():
        try:
            stored[path] = _stored(np.asarray(weights), grids.get(path))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    return lambda: unflatten(params, {path: weights() for path, weights in stored.items()})


def _stored(weights: np.ndarray, grid: Grid | None) -> Callable[[], jax.Array]:
    grid = None if grid is None else grid.checked(weights.shape)
    if isinstance(grid, Affine) or (isinstance(grid, Uniform) and grid.inputs is None):
        codes = grid.codes(weights)
        if grid.weights(codes).tobytes() != (weights + np.float32(0)).tobytes():
            raise ValueError(f"its weights are not on their grid of {grid.bits} bits")
        return _on_grid(codes, grid)
    return _floats(weights)


def _on_grid(codes: np.ndarray, grid: Uniform | Affine) -> Callable[[], jax.Array]:
    scale = _floats(np.asarray(grid.scale))
    if isinstance(grid, Affine):
        small, zero_point = codes.astype(np.uint8), np.asarray(grid.zero_point, np.uint8)
    else:
        small, zero_point = codes.astype(np.int8), None

    def weights() -> jax.Array:
        steps = jnp.asarray(small).astype(jnp.float32)
        if zero_point is not None:
            offset = jnp.asarray(zero_point).astype(jnp.float32)
            steps = steps - blocks.spread(offset, small.shape)
        return steps * blocks.spread(scale(), small.shape)

    return weights


def _floats(values: np.ndarray) -> Callable[[], jax.Array]:
    if values.dtype == np.float32 and is_float16(values):
        half = values.astype(np.float16)
        return lambda: jnp.asarray(half).astype(jnp.float32)
    return lambda: jnp.asarray(values)
