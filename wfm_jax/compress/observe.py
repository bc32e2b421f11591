"""What activations were seen: their extremes and a histogram, gathered over any stream of batches.

The histogram has a fixed number of bins over -2^e ... 2^e. Where a value lies beyond, e grows and
bins are joined two by two, which is exact: bins of the wider histogram are unions of those of the
narrower one. So the order of batches, how they are split and what is gathered where and merged
make no difference, not even in the last count, and all of it is pure and runs inside ``jit``.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

_LEAST_EXPONENT = -100
"""Values below 2^-100 count as zero."""


class Observed(NamedTuple):
    """A point's activations so far.

    Attributes:
      low: float32 scalar, the smallest; inf while there is none, NaN once one was NaN.
      high: float32 scalar, the largest; -inf while there is none.
      counts: int32 ``[n_bins]``; bin i counts i - n_bins / 2 <= x / width < i + 1 - n_bins / 2.
        At most 2^31 - 1 in a bin.
      exponent: int32 scalar e: all bins together span -2^e to 2^e.
    """

    low: jax.Array
    high: jax.Array
    counts: jax.Array
    exponent: jax.Array


def observe_nothing(n_bins: int = 8192) -> Observed:
    """Returns the state that observing starts from.

    Args:
      n_bins: even; the largest activation lies in the outer half of them, so that at least a
        quarter of them are used, or an eighth where all activations have one sign.

    Raises:
      ValueError: if there are fewer than 2 bins, or an odd number.
    """
    if n_bins < 2 or n_bins % 2:
        raise ValueError(f"n_bins must be even and at least 2, got {n_bins}")
    return Observed(
        jnp.float32(jnp.inf),
        jnp.float32(-jnp.inf),
        jnp.zeros(n_bins, jnp.int32),
        jnp.int32(_LEAST_EXPONENT),
    )


def observe(seen: Observed, x: jax.Array) -> Observed:
    """Returns ``seen`` with a batch of activations added.

    >>> seen = observe(observe(observe_nothing(8), jnp.array([0.5, 3.0])), jnp.array([-1.0, 5.0]))
    >>> seen.low.item(), seen.high.item(), seen.exponent.item(), seen.counts
    (-1.0, 5.0, 3, Array([0, 0, 0, 1, 1, 1, 1, 0], dtype=int32))

    Args:
      seen: what was observed before.
      x: floating-point activations of any shape, at least one. What is not finite is not counted,
        but shows in ``low`` and ``high``.
    """
    x = jax.lax.stop_gradient(x).astype(jnp.float32).reshape(-1)
    finite = jnp.isfinite(x)
    values = jnp.where(finite & (jnp.abs(x) >= 2.0**_LEAST_EXPONENT), x, 0)
    mantissa, own = jnp.frexp(values)
    exponent = jnp.max(jnp.where(values == 0, _LEAST_EXPONENT, own))
    half = seen.counts.size // 2
    # Values far below a bin's width keep their sign: shifted too far they would become zero.
    position = jnp.floor(jnp.ldexp(mantissa * half, jnp.maximum(own - exponent, -64)))
    index = position.astype(jnp.int32) + half
    counts = jnp.zeros_like(seen.counts).at[index].add(finite.astype(jnp.int32))
    batch = Observed(jnp.min(x), jnp.max(x), counts, exponent)
    return merge_observed(seen, batch)


def merge_observed(a: Observed, b: Observed) -> Observed:
    """Returns what was observed by both, as if by one; commutative and associative.

    Args:
      a: of one part of a stream.
      b: of another, with the same number of bins.

    Raises:
      ValueError: if the numbers of bins differ.
    """
    if a.counts.shape != b.counts.shape:
        raise ValueError(f"histograms of {a.counts.size} and {b.counts.size} bins do not merge")
    exponent = jnp.maximum(a.exponent, b.exponent)
    counts = _widen(a, exponent) + _widen(b, exponent)
    return Observed(jnp.minimum(a.low, b.low), jnp.maximum(a.high, b.high), counts, exponent)


def _widen(seen: Observed, exponent: jax.Array) -> jax.Array:
    """Returns the counts in bins up to 2^exponent, which is no less than the histogram's own."""
    half = seen.counts.size // 2
    position = jnp.arange(-half, half) >> jnp.minimum(exponent - seen.exponent, 31)
    return jnp.zeros_like(seen.counts).at[position + half].add(seen.counts)


def bin_width(seen: Observed) -> jax.Array:
    """Returns the width of a bin, a float32 scalar."""
    return jnp.ldexp(jnp.float32(2 / seen.counts.size), seen.exponent)


def bin_centers(seen: Observed) -> jax.Array:
    """Returns float32 ``[n_bins]``, the middle of every bin."""
    half = seen.counts.size // 2
    return (jnp.arange(-half, half) + 0.5) * bin_width(seen)
