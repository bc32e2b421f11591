"""Symmetric uniform quantization: every weight is an integer times a scale.

Two conventions of the scale of ``b`` bits are in use, so the convention is an argument, `Bound`:

==============  ========================  ===============================  ====================
bound           scale                     integers                         used by
==============  ========================  ===============================  ====================
``restricted``  absmax / (2^(b-1) - 1)    -(2^(b-1) - 1) ... 2^(b-1) - 1   ONNX Runtime, Q8_0
``half_step``   absmax / (2^(b-1) - 1/2)  -2^(b-1) ... 2^(b-1) - 1         qwix, GPTQ's authors
==============  ========================  ===============================  ====================

Rounding is half to even. Division is multiplication by the reciprocal: XLA makes that of it anyway
where the divisor is a broadcast (as in qwix), PyTorch does it, and written out it is the same under
``jit``, ``vmap`` and neither.

``half_step`` puts each channel's largest weight on a rounding tie, and what it is rounded to has
another absmax: with a *recomputed* scale a snapped tensor moves again. With the scale it was
snapped with, it stays where it is, under either bound.

Bits may be traced; 16 and more mean "left in floating point". Arithmetic is in float32 (float64 for
float64 weights). How weights share scales is described in `wfm_jax.compress.blocks`.

Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only
inference", 2018 (arXiv 1712.05877).
"""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from wfm_jax.compress.blocks import as_blocks, reduce_blocks, scale_shape, spread
from wfm_jax.compress.checks import check_number
from wfm_jax.compress.surrogate import straight_through

Bound = Literal["restricted", "half_step"]
"""The convention that ties a scale to the largest absolute value."""


def absmax_scale(
    w: jax.Array,
    bits: ArrayLike,
    *,
    axis: int | None = -1,
    group_size: int | None = None,
    bound: Bound = "restricted",
) -> jax.Array:
    """Returns the scale at which the largest weight of every block just fits.

    Args:
      w: weights of any rank, ``[in, out]`` for a kernel.
      bits: scalar, may be traced.
      axis: the output-channel axis, whose entries keep scales of their own; all other axes share
        one. ``None`` shares one over the whole tensor, as do vectors, which have no channels.
      group_size: number of consecutive inputs that share a scale, ``None`` for all. The input axis
        is the last one that is not ``axis``; it must be a multiple.
      bound: the scale convention.

    Returns:
      float32 of the rank of ``w``: ``w.shape[axis]`` long there, as long as there are groups along
      the input axis, 1 elsewhere. Zero for a block of zeros.
    """
    w = as_float(w)
    absmax = reduce_blocks(jnp.max, jnp.abs(w), scale_shape(w.shape, axis, group_size))
    return absmax * jnp.reciprocal(integer_range(bits, bound, w.dtype)[2])


def quantize_integers(
    w: jax.Array,
    bits: ArrayLike,
    scale: ArrayLike,
    *,
    axis: int | None = -1,
    bound: Bound = "restricted",
) -> jax.Array:
    """Returns the integers nearest to ``w / scale``, clipped to the range of ``bits``.

    >>> w = jnp.array([[0.1, -3.0], [0.4, 1.2], [1.5, 1.6]])
    >>> quantize_integers(w, 3, absmax_scale(w, 3)).tolist()
    [[0, -3], [1, 1], [3, 2]]

    Args:
      w: weights of any rank.
      bits: scalar, may be traced.
      scale: of the rank of ``w``; or a scalar; or a vector along ``axis``. Where it is zero, so is
        the result.
      axis: the output-channel axis, read only for a vector of scales.
      bound: the scale convention, which sets the range.

    Returns:
      int32 of the shape of ``w``; fits in int8 up to 8 bits.
    """
    w = as_float(w)
    return _nearest(w, bits, as_blocks(scale, w, axis), bound).astype(jnp.int32)


def dequantize(integers: jax.Array, scale: ArrayLike, *, axis: int | None = -1) -> jax.Array:
    """Returns ``integers * scale``, which equals what `fake_quant` makes of float32 weights.

    Args:
      integers: as given by `quantize_integers`.
      scale: the scale they were made with.
      axis: the output-channel axis, read only for a vector of scales.

    Returns:
      float32 of the shape of ``integers``.
    """
    integers = as_float(integers)
    return integers * spread(as_blocks(scale, integers, axis), integers.shape)


def fake_quant(
    w: jax.Array,
    bits: ArrayLike,
    *,
    axis: int | None = -1,
    group_size: int | None = None,
    bound: Bound = "restricted",
    scale: ArrayLike | None = None,
) -> jax.Array:
    """Snaps weights to their grid, with a straight-through gradient.

    The gradient with respect to ``w`` is the identity, also where values are clipped; with respect
    to ``scale`` it is zero.

    >>> w = jnp.array([[0.1, -3.0], [0.4, 1.2], [1.5, 1.6]])  # two outputs, a scale each
    >>> fake_quant(w, 3)
    Array([[ 0. , -3. ],
           [ 0.5,  1. ],
           [ 1.5,  2. ]], dtype=float32)
    >>> jax.grad(lambda w: jnp.sum(fake_quant(w, 3)))(w)[0]  # straight through
    Array([1., 1.], dtype=float32)

    Args:
      w: weights of any rank, ``[in, out]`` for a kernel.
      bits: scalar, integer or float: 2 to 8, or 16 and more for ``w`` unchanged. May be traced, and
        then is not checked.
      axis: the output-channel axis, which keeps its own scale; see `absmax_scale`.
      group_size: number of consecutive inputs that share a scale; see `absmax_scale`.
      bound: the scale convention.
      scale: stored scale, instead of the absmax of ``w``; its shape says how weights are grouped. A
        tensor that was snapped with it is returned unchanged, bit for bit.

    Returns:
      Array of the shape and dtype of ``w``; zero where the scale is zero.

    Raises:
      ValueError: for concrete bits other than 2 to 8, 16 or 32, an unknown bound, a group size that
        does not divide the input axis, or a scale that does not fit.
    """
    w = jnp.asarray(w)
    values = as_float(jax.lax.stop_gradient(w))
    if scale is None:
        scale = absmax_scale(values, bits, axis=axis, group_size=group_size, bound=bound)
    scale = as_blocks(scale, values, axis)
    snapped = _nearest(values, bits, scale, bound) * spread(scale, w.shape)
    return straight_through(w, jnp.where(jnp.asarray(bits) >= 16, w, snapped.astype(w.dtype)))


def integer_range(
    bits: ArrayLike, bound: Bound, dtype: jnp.dtype
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the lowest integer, the highest, and the number of scales in one absmax.

    Args:
      bits: scalar, may be traced; 16 and more are taken as 16.
      bound: the scale convention.
      dtype: of the result.
    """
    check_bits(bits)
    check_bound(bound)
    sign_bit = jnp.clip(jnp.asarray(bits).astype(jnp.int32), 2, 16) - 1
    half = jnp.left_shift(1, sign_bit).astype(dtype)
    if bound == "restricted":
        return 1 - half, half - 1, half - 1
    return -half, half - 1, half - 0.5


def _nearest(w: jax.Array, bits: ArrayLike, scale: jax.Array, bound: Bound) -> jax.Array:
    """Returns the nearest integers to ``w / scale``, as floats, so that NaN stays NaN."""
    lowest, highest, _ = integer_range(bits, bound, w.dtype)
    per_step = jnp.where(scale == 0, 0, jnp.reciprocal(scale))
    return jnp.clip(jnp.round(w * spread(per_step, w.shape)), lowest, highest)


def check_bits(bits: ArrayLike, name: str = "bits") -> None:
    """Raises ValueError for concrete bits other than 2 to 8, 16 or 32."""
    allowed = (2, 3, 4, 5, 6, 7, 8, 16, 32)
    check_number(name, bits, lambda b: b in allowed, "2 to 8, or 16 or 32 for floating point")


def check_bound(bound: str) -> None:
    """Raises ValueError for an unknown bound."""
    if bound not in get_args(Bound):
        raise ValueError(f"bound must be 'restricted' or 'half_step', got {bound!r}")


def as_float(x: ArrayLike) -> jax.Array:
    """Returns ``x``, of its shape, in the dtype of the arithmetic: float64 stays, all else becomes
    float32."""
    x = jnp.asarray(x)
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)
