"""Quantized activations: a range a point of the model, and the grid that it spans.

Activations are quantized where the model says so, by an explicit call with the range of that point;
ranges of a whole model are a dict by the point's name, of which a sweep has one a configuration.
While training the range may be that of the batch (`dynamic_range`); for a deployment it is
calibrated once (`wfm_jax.compress.calibrate`) and frozen.

Grids are those of Jacob et al., "Quantization and training of neural networks for efficient
integer-arithmetic-only inference", 2018 (arXiv 1712.05877), one for the whole tensor: a scale for
every channel could not leave the integer product.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from wfm_jax.compress.affine import affine_grid, fake_quant_affine
from wfm_jax.compress.uniform import as_float, fake_quant, integer_range


class ActivationRange(NamedTuple):
    """What a point's grid has to span.

    Attributes:
      low: float32 scalar.
      high: float32 scalar.
    """

    low: jax.Array
    high: jax.Array


def dynamic_range(x: jax.Array) -> ActivationRange:
    """Returns the range of ``x`` itself, through which no gradient goes."""
    x = as_float(jax.lax.stop_gradient(x))
    return ActivationRange(jnp.min(x), jnp.max(x))


def fake_quant_activation(
    x: jax.Array, range: ActivationRange, bits: ArrayLike, *, symmetric: bool = False
) -> jax.Array:
    """Snaps activations to the grid that spans a range, straight through.

    Zero is on the grid, as padding and what a ReLU cut off must stay zero. The gradient with
    respect to ``x`` is one where the grid reaches (half a step beyond its last levels) and zero
    where ``x`` is clipped; with respect to the range it is zero.

    >>> x = jnp.array([-0.2, 0.0, 0.3, 1.4, 9.0])
    >>> fake_quant_activation(x, ActivationRange(jnp.float32(0), jnp.float32(3)), 2)
    Array([0., 0., 0., 1., 3.], dtype=float32)

    Args:
      x: activations of any shape.
      range: of this point; extended to hold zero.
      bits: scalar: 2 to 8, or 16 and more for ``x`` unchanged. May be traced, and then is not
        checked.
      symmetric: integers -(2^(b-1) - 1) ... 2^(b-1) - 1 around zero, which spans -absmax to absmax,
        instead of 0 ... 2^b - 1 and a zero point.

    Returns:
      Array of the shape and dtype of ``x``.

    Raises:
      ValueError: for concrete bits other than 2 to 8, 16 or 32.
    """
    low, high = (as_float(jax.lax.stop_gradient(end)) for end in range)
    if not symmetric:
        grid = affine_grid(low, high, bits)
        return fake_quant_affine(x, bits, scale=grid.scale, zero_point=grid.zero_point)
    highest = integer_range(bits, "restricted", low.dtype)[1]
    scale = symmetric_scale(low, high, bits)
    inside = (jnp.abs(x) < (highest + 0.5) * scale) | (jnp.asarray(bits) >= 16)
    return fake_quant(jnp.where(inside, x, jax.lax.stop_gradient(x)), bits, scale=scale)


def symmetric_scale(low: jax.Array, high: jax.Array, bits: ArrayLike) -> jax.Array:
    """Returns the scale at which the end of a range that is farther from zero just fits.

    Args:
      low, high: ends of the range, float32 of one shape.
      bits: scalar, may be traced.

    Returns:
      float32 of that shape; zero for a range of nothing but zero.
    """
    absmax = jnp.maximum(jnp.abs(low), jnp.abs(high))
    return absmax * jnp.reciprocal(integer_range(bits, "restricted", absmax.dtype)[2])
