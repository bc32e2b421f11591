"""Eight bits with a dynamic exponent, block by block: positive or negative, tiny to one.

The 256 values of the map are spaced like floating point: the fraction's bits are those that the
exponent leaves, so every decade up to one has twice the values of the one below it. NF4's double
quantization stores its block maxima so.

Dettmers et al., "8-bit optimizers via block-wise quantization", 2022 (arXiv 2110.02861); the map is
that of Dettmers, "8-bit approximations for parallelism in deep learning", 2016 (arXiv 1511.04561).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

N_DECADES = 7


class Codes8(NamedTuple):
    """Numbers as 8-bit codes.

    Attributes:
      codes: uint8 ``[n]``, indices into `DYNAMIC_MAP`.
      absmax: float32 ``[ceil(n / block_size)]``, by which the codes' values are multiplied.
    """

    codes: jax.Array
    absmax: jax.Array


def _dynamic_map() -> np.ndarray:
    """The mid-points of 1, 2, 4, ... equal parts of the decades up to one; zero and one."""
    positive = []
    for decade in range(N_DECADES):
        edges = _edges(2**decade)
        fractions = (edges[:-1] + edges[1:]) / np.float32(2)
        positive.append(np.float32(10.0 ** (decade - N_DECADES + 1)) * fractions)
    magnitudes = np.concatenate(positive)
    return np.sort(np.concatenate([-magnitudes, [0, 1], magnitudes])).astype(np.float32)


def _edges(n_parts: int) -> np.ndarray:
    """The edges of equal parts of 0.1 ... 1, each half reckoned from its own end.

    In float32 with fused multiply-add, as bitsandbytes gets them: the map is a standard, down to
    the last bit.
    """
    start, end = np.float32(0.1), np.float32(1)
    step = np.float64((end - start) / np.float32(n_parts))
    i = np.arange(n_parts + 1)
    edges = np.where(i <= (n_parts - 1) // 2, start + step * i, end - step * (n_parts - i))
    return edges.astype(np.float32)


DYNAMIC_MAP = _dynamic_map()
"""float32 ``[256]``, ascending: 127 negative values, zero, 127 positive ones and one."""


def nearest_code(x: jax.Array, codebook: np.ndarray) -> jax.Array:
    """Returns the index of the nearest entry of an ascending codebook, the lower one of two.

    Args:
      x: float32 of any shape.
      codebook: float32 ``[n]``, at most 256 entries.

    Returns:
      uint8 of the shape of ``x``.
    """
    midpoints = (codebook[:-1] + codebook[1:]) / np.float32(2)
    method = "compare_all" if midpoints.size < 16 else "scan"
    return jnp.searchsorted(jnp.asarray(midpoints), x, method=method).astype(jnp.uint8)


def as_rows(x: jax.Array, block_size: int) -> jax.Array:
    """Returns ``x``, flattened, as ``[rows, block_size]``; the last row is filled up with zeros."""
    flat = x.reshape(-1)
    return jnp.pad(flat, (0, -flat.size % block_size)).reshape(-1, block_size)


def per_absmax(absmax: jax.Array) -> jax.Array:
    """Returns 1 / absmax, of its shape; zero where that is zero (or too small to be inverted)."""
    return jnp.where(absmax < jnp.finfo(absmax.dtype).tiny, 0, jnp.reciprocal(absmax))


def quantize_dynamic(x: jax.Array, *, block_size: int = 256) -> Codes8:
    """Returns 8-bit codes of a vector, one absmax for every ``block_size`` entries.

    Args:
      x: float32 ``[n]``.
      block_size: number of consecutive entries that share a scale; the last block may be shorter.
    """
    rows = as_rows(x, block_size)
    absmax = jnp.max(jnp.abs(rows), axis=1)
    codes = nearest_code(rows * per_absmax(absmax)[:, None], DYNAMIC_MAP)
    return Codes8(codes.reshape(-1)[: x.size], absmax)


def dequantize_dynamic(q: Codes8, *, block_size: int = 256) -> jax.Array:
    """Returns the float32 ``[n]`` that codes stand for.

    Args:
      q: from `quantize_dynamic`.
      block_size: the one it was called with.
    """
    rows = jnp.asarray(DYNAMIC_MAP)[as_rows(q.codes, block_size)]
    absmax = q.absmax[:, None]
    # Clipping changes no value. It keeps compilers from fusing the product with a sum behind it, by
    # which the same codes would be other numbers under ``jit`` and in whoever reads a file of them.
    return jnp.clip(rows * absmax, -absmax, absmax).reshape(-1)[: q.codes.size]
