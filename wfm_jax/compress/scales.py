"""Scales that clip: better than absmax where a few large weights would waste the grid.

At 2 bits the absmax scale rounds about 80 % of Gaussian weights to zero. Both rules here give up
some range for resolution. They take what `absmax_scale` takes and return a scale of its shape, so
any of them (or a function of one's own) can be handed to `wfm_jax.compress.quantize`.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from wfm_jax.compress.blocks import reduce_blocks, scale_shape, spread
from wfm_jax.compress.checks import check_number
from wfm_jax.compress.uniform import Bound, absmax_scale, as_float, dequantize, quantize_integers

CLIP_RATIOS = np.linspace(1.0, 0.1, 61)
"""The fractions of the absmax scale that `mse_scale` tries."""


def mse_scale(
    w: jax.Array,
    bits: ArrayLike,
    *,
    axis: int | None = -1,
    group_size: int | None = None,
    bound: Bound = "restricted",
) -> jax.Array:
    """Returns the scale of least squared error, by a search over fractions of the absmax.

    Never worse than `absmax_scale`, which is among the candidates and wins ties. The search is
    Choukroun et al., "Low-bit quantization of neural networks for efficient inference", 2019
    (arXiv 1902.06822), with one pass over the weights per candidate.

    Args:
      w, bits, axis, group_size, bound: see `absmax_scale`; ``bits`` may be traced.

    Returns:
      float32 of the shape given by `absmax_scale`.
    """
    w = as_float(w)
    absmax = absmax_scale(w, bits, axis=axis, group_size=group_size, bound=bound)
    return _least_squares(w, jnp.asarray(bits), absmax, bound)


@partial(jax.jit, static_argnames="bound")
def _least_squares(w: jax.Array, bits: jax.Array, absmax: jax.Array, bound: Bound) -> jax.Array:
    def try_ratio(best, ratio):
        least, scale = best
        candidate = ratio * absmax
        integers = quantize_integers(w, bits, candidate, bound=bound)
        residual = dequantize(integers, candidate).astype(w.dtype) - w
        error = reduce_blocks(jnp.sum, jnp.square(residual), absmax.shape)
        better = error < least
        return (jnp.where(better, error, least), jnp.where(better, candidate, scale)), None

    start = (jnp.full_like(absmax, jnp.inf), absmax)
    (_, scale), _ = jax.lax.scan(try_ratio, start, jnp.asarray(CLIP_RATIOS, w.dtype))
    return scale


def percentile_scale(
    w: jax.Array,
    bits: ArrayLike,
    *,
    percentile: ArrayLike = 99.9,
    axis: int | None = -1,
    group_size: int | None = None,
    bound: Bound = "restricted",
) -> jax.Array:
    """Returns the scale at which a percentile of the absolute weights just fits.

    Weights that are exactly zero do not count: pruned ones would pull the percentile down.

    Args:
      w, bits, axis, group_size, bound: see `absmax_scale`; ``bits`` may be traced.
      percentile: in (0, 100], may be traced; 100 is `absmax_scale`.

    Returns:
      float32 of the shape given by `absmax_scale`; zero for a block of zeros.
    """
    check_number("percentile", percentile, lambda p: 0 < p <= 100, "in (0, 100]")
    w = jnp.abs(as_float(w))
    shape = scale_shape(w.shape, axis, group_size)
    survivors = jnp.where(w == 0, jnp.nan, w)
    limit = reduce_blocks(partial(jnp.nanpercentile, q=percentile), survivors, shape)
    clipped = jnp.minimum(w, spread(jnp.nan_to_num(limit), w.shape))
    return absmax_scale(clipped, bits, axis=axis, group_size=group_size, bound=bound)
