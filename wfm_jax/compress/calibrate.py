"""Ranges of activations from what was observed: how much to clip.

===========  =====================================================  ===============================
rule         the range                                              source
===========  =====================================================  ===============================
min-max      holds everything that was seen                         Jacob et al. 2018 (1712.05877)
percentile   holds a share of it                                    Wu et al. 2020 (2004.09602)
mse          where rounding and clipping cost least, squared        Choukroun et al. 2019
                                                                    (1902.06822)
entropy      where the histogram loses least information: made for  Migacz, "8-bit inference with
             8 bits; at 2, peaked ones can lose nearly all to it    TensorRT", GTC 2017
===========  =====================================================  ===============================

Numbers in brackets are of arXiv. All work on histograms alone (`wfm_jax.compress.observe`), and
bits may be traced: one pass over the data serves every number of bits, under ``vmap``. A range fits
the distribution that it was calibrated on: Gaussian activations five times as wide cost 1,100 to
3,100 times the squared error at 8 bits, 4 to 36 times at 4, by clipping.
"""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from wfm_jax.compress.activations import ActivationRange, fake_quant_activation
from wfm_jax.compress.checks import check_number, is_traced
from wfm_jax.compress.observe import Observed, bin_centers, bin_width
from wfm_jax.compress.uniform import check_bits

RangeRule = Callable[[Observed], ActivationRange]
"""Such as `min_max_range`, or `mse_range` with its bits given (`functools.partial`)."""

_RATIOS = np.exp2(-np.arange(97) / 16).astype(np.float32)
"""The fractions of the observed extremes that `mse_range` tries, 1 to 1/64."""

_N_THRESHOLDS = 128
"""How many thresholds `entropy_range` tries."""

_MOST_LEVELS = 256


def calibrate(seen: Mapping[str, Observed], rule: RangeRule) -> dict[str, ActivationRange]:
    """Returns the range of every point of a model.

    Args:
      seen: what was observed, by the point's name.
      rule: how much to clip.

    Raises:
      ValueError: without any point, or naming one whose observations (if concrete) are none, or
        hold NaN or infinity.
    """
    if not seen:
        raise ValueError("calibration needs activations: no point was observed")
    ranges = {}
    for point, observed in seen.items():
        try:
            ranges[point] = rule(observed)
        except ValueError as error:
            raise ValueError(f"{point}: {error}") from None
    return ranges


def min_max_range(seen: Observed) -> ActivationRange:
    """Returns the smallest and the largest activation; zeros where none was seen under ``jit``.

    Args:
      seen: what was observed.

    Raises:
      ValueError: if nothing was, or NaN or infinity (where ``seen`` is concrete).
    """
    if not is_traced(seen.low):
        low, high = float(seen.low), float(seen.high)
        if low > high:
            raise ValueError("calibration needs activations: none were observed")
        if not np.isfinite([low, high]).all():
            raise ValueError("calibration needs finite activations: NaN or infinity was observed")
    none = seen.low > seen.high
    return ActivationRange(jnp.where(none, 0, seen.low), jnp.where(none, 0, seen.high))


def percentile_range(seen: Observed, *, percentile: ArrayLike = 99.99) -> ActivationRange:
    """Returns the range within which a percentage of the activations lies, by their magnitude.

    Args:
      seen: what was observed.
      percentile: in (0, 100], may be traced; of the magnitudes, so that the tails of both signs
        are cut at the same one. Rounded up to the next bin; 100 is `min_max_range`.

    Raises:
      ValueError: as `min_max_range`, or for a concrete percentile that is out of range.
    """
    check_number("percentile", percentile, lambda p: 0 < p <= 100, "in (0, 100]")
    counts = _magnitudes(seen)
    beyond = jnp.cumsum(counts[::-1])[::-1]  # in this bin or farther out
    cut = jnp.sum(counts) * (1 - jnp.asarray(percentile, jnp.float32) / 100)
    return _clipped(min_max_range(seen), jnp.sum(beyond > cut) * bin_width(seen))


def mse_range(seen: Observed, bits: ArrayLike, *, symmetric: bool = False) -> ActivationRange:
    """Returns the range of least squared error, by a search over fractions of the extremes.

    First the same fraction of both, then of one with the other's held. So it is never worse than
    `min_max_range`, on the histogram, whose bins count as their middles.

    Args:
      seen: what was observed.
      bits: scalar: 2 to 8, or 16 and more for the `min_max_range`; may be traced.
      symmetric: whether the grid will be; see `fake_quant_activation`.

    Raises:
      ValueError: as `min_max_range`, or for concrete bits other than 2 to 8, 16 or 32.
    """
    check_bits(bits)
    return _least_squares(seen, min_max_range(seen), jnp.asarray(bits), symmetric)


@partial(jax.jit, static_argnames="symmetric")
def _least_squares(
    seen: Observed, whole: ActivationRange, bits: jax.Array, symmetric: bool
) -> ActivationRange:
    low, high = whole
    x = bin_centers(seen)
    ratios = jnp.asarray(_RATIOS)

    def best(range_at):
        def error(ratio):
            snapped = fake_quant_activation(x, range_at(ratio), bits, symmetric=symmetric)
            return jnp.sum(seen.counts * jnp.square(snapped - x))

        return ratios[jnp.argmin(jax.lax.map(error, ratios))]

    both = best(lambda r: ActivationRange(r * low, r * high))
    if symmetric:
        return ActivationRange(both * low, both * high)
    below = best(lambda r: ActivationRange(r * low, both * high))
    above = best(lambda r: ActivationRange(below * low, r * high))
    return ActivationRange(below * low, above * high)


def entropy_range(seen: Observed, bits: ArrayLike, *, symmetric: bool = False) -> ActivationRange:
    """Returns the range whose quantized histogram diverges least from the one observed.

    For every threshold on the magnitude: P, the histogram with all that lies beyond put into its
    last bin; Q, the same without it, in as many equal levels as the grid has there, each level's
    counts spread evenly over its bins that have any. The least Kullback-Leibler divergence of Q
    from P wins. What is nearest to zero counts as the bin next to it: on every grid zero is exact.

    No threshold is tried below which bins are wider than levels, 2^b bins: observe with more of
    them where rare activations are larger than others by more than the number of bins over 2^(b+3).

    Args:
      seen: what was observed.
      bits: scalar, may be traced; above 8 as 8.
      symmetric: whether the grid will be; else what lies between the thresholds of both signs
        shares 2^b levels, so activations of one sign get all of them.

    Raises:
      ValueError: as `mse_range`.
    """
    check_bits(bits)
    return _least_divergence(seen, min_max_range(seen), jnp.asarray(bits, jnp.float32), symmetric)


@partial(jax.jit, static_argnames="symmetric")
def _least_divergence(
    seen: Observed, whole: ActivationRange, bits: jax.Array, symmetric: bool
) -> ActivationRange:
    low, high = whole
    counts, width = _magnitudes(seen), bin_width(seen)
    counts = counts.at[0].set(counts[1])
    bins = jnp.arange(counts.size)
    up_to = jnp.maximum(jax.lax.cummax(jnp.where(counts > 0, bins + 1, 0)), 1)  # the last with any
    levels = jnp.exp2(jnp.clip(bits, 2, 8))

    def divergence(n_bins):
        threshold = n_bins * width
        span = jnp.minimum(high, threshold) - jnp.maximum(low, -threshold)
        share = 0.5 if symmetric else jnp.clip(threshold / span, 0.5, 1.0)
        n_levels = jnp.floor(levels * share).astype(jnp.int32)
        inside = jnp.where(bins < n_bins, counts, 0)
        p = inside.at[n_bins - 1].add(jnp.sum(counts) - jnp.sum(inside))
        level = jnp.where(bins < n_bins, bins * n_levels // n_bins, _MOST_LEVELS)
        sums = jnp.zeros(_MOST_LEVELS + 1).at[level].add(inside)
        filled = jnp.zeros(_MOST_LEVELS + 1).at[level].add((inside > 0).astype(jnp.float32))
        q = jnp.where(inside > 0, sums[level] / jnp.maximum(filled[level], 1), 1)
        divergences = p * jnp.log(p / q * (jnp.sum(inside) / jnp.sum(p)))
        return jnp.sum(jnp.where(inside > 0, divergences, 0)) / jnp.sum(p)

    used = up_to[-1]
    fewest = jnp.minimum(levels * (0.5 if symmetric else 1), used)
    tried = jnp.round(jnp.linspace(used, fewest, _N_THRESHOLDS)).astype(jnp.int32)
    n_bins = up_to[tried - 1]
    return _clipped(whole, n_bins[jnp.nanargmin(jax.vmap(divergence)(n_bins))] * width)


def _magnitudes(seen: Observed) -> jax.Array:
    """Returns the float32 histogram of the magnitudes, in half as many bins."""
    half = seen.counts.size // 2
    return (seen.counts[half:] + seen.counts[half - 1 :: -1]).astype(jnp.float32)


def _clipped(whole: ActivationRange, threshold: jax.Array) -> ActivationRange:
    return ActivationRange(jnp.maximum(whole.low, -threshold), jnp.minimum(whole.high, threshold))
