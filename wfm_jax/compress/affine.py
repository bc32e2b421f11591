"""Asymmetric (affine) quantization: a scale and the integer that stands for zero.

Integers are 0 ... 2^b - 1 and a weight is (integer - zero point) times scale, so a range that is
not centred on zero wastes no levels. Zero is always on the grid: pruned weights, padding and what
a ReLU cut off stay zero. For that the range is extended to hold zero, and the zero point rounded,
which shifts the range by up to half a step.

Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only
inference", 2018 (arXiv 1712.05877), section 2.1. Rounding, division and the meaning of bits are
those of `wfm_jax.compress.uniform`, and PyTorch's.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from wfm_jax.compress.blocks import as_blocks, reduce_blocks, scale_shape, spread
from wfm_jax.compress.surrogate import straight_through
from wfm_jax.compress.uniform import as_float, check_bits


class AffineGrid(NamedTuple):
    """The grid of a block of weights, for a given number of bits.

    Attributes:
      scale: float32, the step; zero for a block of zeros.
      zero_point: int32 of the shape of ``scale``, 0 ... 2^b - 1: the integer that stands for zero.
    """

    scale: jax.Array
    zero_point: jax.Array


def affine_grid(low: ArrayLike, high: ArrayLike, bits: ArrayLike) -> AffineGrid:
    """Returns the grid of 2^b levels that spans a range, extended to hold zero.

    Args:
      low: the smallest value to represent, of any shape.
      high: the largest, of that shape.
      bits: scalar, may be traced; 16 and more are taken as 16.

    Raises:
      ValueError: for concrete bits other than 2 to 8, 16 or 32.
    """
    low, high = jnp.minimum(as_float(low), 0), jnp.maximum(as_float(high), 0)
    highest = _highest(bits, low.dtype)
    scale = (high - low) * jnp.reciprocal(highest)
    zero_point = jnp.clip(jnp.round(-low * _per_step(scale)), 0, highest)
    return AffineGrid(scale, zero_point.astype(jnp.int32))


def min_max_grid(
    w: jax.Array, bits: ArrayLike, *, axis: int | None = -1, group_size: int | None = None
) -> AffineGrid:
    """Returns the grid that spans every block from its smallest to its largest weight, and zero.

    Args:
      w: weights of any rank, ``[in, out]`` for a kernel.
      bits: scalar, may be traced.
      axis: the output-channel axis, whose entries keep grids of their own; all other axes share
        one. ``None`` shares one over the whole tensor, as do vectors, which have no channels.
      group_size: number of consecutive inputs that share a grid, ``None`` for all; see
        `wfm_jax.compress.absmax_scale`, whose shapes these are.
    """
    w = as_float(w)
    blocks = scale_shape(w.shape, axis, group_size)
    return affine_grid(reduce_blocks(jnp.min, w, blocks), reduce_blocks(jnp.max, w, blocks), bits)


def quantize_integers_affine(
    w: jax.Array, bits: ArrayLike, grid: AffineGrid, *, axis: int | None = -1
) -> jax.Array:
    """Returns the nearest integers, clipped to 0 ... 2^b - 1.

    Args:
      w: weights of any rank.
      bits: scalar, may be traced; those that ``grid`` was made for.
      grid: its entries of the rank of ``w``; or scalars; or vectors along ``axis``.
      axis: the output-channel axis, read only for vectors.

    Returns:
      int32 of the shape of ``w``; fits in uint8 up to 8 bits.
    """
    w = as_float(w)
    return jnp.clip(_nearest(w, grid, axis), 0, _highest(bits, w.dtype)).astype(jnp.int32)


def dequantize_affine(integers: jax.Array, grid: AffineGrid, *, axis: int | None = -1) -> jax.Array:
    """Returns (integer - zero point) * scale: what `fake_quant_affine` makes of float32 weights.

    Args:
      integers: as given by `quantize_integers_affine`.
      grid: the grid they were made with.
      axis: the output-channel axis, read only for vectors.

    Returns:
      float32 of the shape of ``integers``.
    """
    return _values(as_float(integers), grid, axis)


def fake_quant_affine(
    w: jax.Array,
    bits: ArrayLike,
    *,
    axis: int | None = -1,
    group_size: int | None = None,
    scale: ArrayLike | None = None,
    zero_point: ArrayLike | None = None,
) -> jax.Array:
    """Snaps weights to their asymmetric grid, with a straight-through gradient.

    With the range of ``w`` itself the gradient with respect to ``w`` is the identity. With a given
    grid it is zero where ``w`` is clipped, as in PyTorch: where its integer, before clipping, is
    none of 0 ... 2^b - 1. With respect to the grid it is zero.

    Args:
      w: weights of any rank, ``[in, out]`` for a kernel.
      bits: scalar: 2 to 8, or 16 and more for ``w`` unchanged. May be traced, and then is not
        checked.
      axis: the output-channel axis, which keeps its own grid; see `min_max_grid`.
      group_size: number of consecutive inputs that share a grid; see `min_max_grid`.
      scale: stored scale, instead of the range of ``w``; its shape says how weights are grouped. A
        tensor that was snapped with it is returned unchanged, bit for bit.
      zero_point: what goes with it.

    Returns:
      Array of the shape and dtype of ``w``; zero where ``w`` or the scale is zero.

    Raises:
      ValueError: for concrete bits other than 2 to 8, 16 or 32, a group size that does not divide
        the input axis, a grid that does not fit, or a scale without a zero point.
    """
    w = jnp.asarray(w)
    if scale is None or zero_point is None:
        if scale is not zero_point:
            raise ValueError("scale and zero_point go together: give both or neither")
        return snap_affine(w, bits, min_max_grid(w, bits, axis=axis, group_size=group_size))
    grid = AffineGrid(jnp.asarray(scale), jnp.asarray(zero_point))
    integers = _nearest(as_float(jax.lax.stop_gradient(w)), grid, axis)
    inside = (integers >= 0) & (integers <= _highest(bits, integers.dtype))
    inside = inside | (jnp.asarray(bits) >= 16)
    return snap_affine(jnp.where(inside, w, jax.lax.stop_gradient(w)), bits, grid, axis)


def snap_affine(
    w: jax.Array, bits: ArrayLike, grid: AffineGrid, axis: int | None = -1
) -> jax.Array:
    """Returns ``w`` on its grid; the gradient is the identity, also where it is clipped.

    Args:
      w, bits: see `fake_quant_affine`.
      grid: see `quantize_integers_affine`.
      axis: the output-channel axis, read only for vectors.

    Returns:
      An array of the shape and dtype of ``w``.
    """
    values = as_float(jax.lax.stop_gradient(w))
    integers = jnp.clip(_nearest(values, grid, axis), 0, _highest(bits, values.dtype))
    snapped = _values(integers, grid, axis).astype(w.dtype)
    return straight_through(w, jnp.where(jnp.asarray(bits) >= 16, w, snapped))


def _highest(bits: ArrayLike, dtype: jnp.dtype) -> jax.Array:
    """Returns 2^b - 1."""
    check_bits(bits)
    levels = jnp.left_shift(1, jnp.clip(jnp.asarray(bits).astype(jnp.int32), 2, 16))
    return (levels - 1).astype(dtype)


def _per_step(scale: jax.Array) -> jax.Array:
    return jnp.where(scale < jnp.finfo(scale.dtype).tiny, 0, jnp.reciprocal(scale))


def _nearest(w: jax.Array, grid: AffineGrid, axis: int | None = -1) -> jax.Array:
    """Returns the nearest integers, not clipped, as floats, so that NaN stays NaN."""
    scale, zero_point = (as_blocks(entries, w, axis) for entries in grid)
    return jnp.round(w * spread(_per_step(scale), w.shape)) + spread(zero_point, w.shape)


def _values(integers: jax.Array, grid: AffineGrid, axis: int | None = -1) -> jax.Array:
    scale, zero_point = (spread(as_blocks(g, integers, axis), integers.shape) for g in grid)
    return (integers - zero_point) * scale
