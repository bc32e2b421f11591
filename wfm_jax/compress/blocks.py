"""Blocks of weights that share a scale, read off the scale's shape.

A scale has the rank of its weights, and each of its entries covers a block of them: ``[1, out]``
covers one output channel each, ``[in / group_size, out]`` groups of a channel's inputs, ``[1, 1]``
the whole kernel. So the shape says everything, and a stored scale needs no settings beside it.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def scale_shape(
    shape: tuple[int, ...], axis: int | None, group_size: int | None
) -> tuple[int, ...]:
    """Returns the shape of the scale for weights of the given shape.

    >>> scale_shape((64, 32), axis=-1, group_size=None), scale_shape((64, 32), -1, group_size=16)
    ((1, 32), (4, 32))

    Args:
      shape: shape of the weights, ``[in, out]`` for a kernel.
      axis: the output-channel axis, whose entries keep scales of their own; all other axes share
        one. ``None`` shares one over the whole tensor, as do vectors, which have no channels.
      group_size: number of consecutive inputs that share a scale, ``None`` for all. The input axis
        is the last one that is not ``axis``.

    Raises:
      ValueError: if there is no such axis, or ``group_size`` does not divide the input axis.
    """
    rank = len(shape)
    if axis is not None and not -rank <= axis < rank:
        raise ValueError(f"axis={axis} is not an axis of weights of shape {shape}")
    channel = None if axis is None or rank == 1 else axis % rank
    blocks = [size if i == channel else 1 for i, size in enumerate(shape)]
    if group_size is not None:
        inputs = max(i for i in range(rank) if i != channel)
        if group_size < 1 or shape[inputs] % group_size:
            raise ValueError(
                f"group_size={group_size} does not divide the input axis of weights of shape "
                f"{shape}, which is {shape[inputs]} long"
            )
        blocks[inputs] = shape[inputs] // group_size
    return tuple(blocks)


def reduce_blocks(
    reduce: Callable[..., jax.Array], x: jax.Array, blocks: tuple[int, ...]
) -> jax.Array:
    """Reduces every block of ``x`` to one number.

    Args:
      reduce: a reduction that takes several axes as ``axis=``, such as ``jnp.max``.
      x: array of the weights' shape.
      blocks: the scale's shape, which is the result's.
    """
    return reduce(x.reshape(_split(x.shape, blocks)), axis=tuple(range(1, 2 * x.ndim, 2)))


def as_blocks(scale: ArrayLike, like: jax.Array, axis: int | None = -1) -> jax.Array:
    """Returns ``scale`` in the rank and dtype of the weights it is for.

    Args:
      scale: array of the rank of ``like``; or a scalar; or a vector along ``axis``. Magnitudes
        below the smallest normal number, which hardware may flush, become zero.
      like: the weights.
      axis: where a vector of scales lies.

    Raises:
      ValueError: if the blocks do not tile the weights.
    """
    scale = jnp.asarray(scale).astype(like.dtype)
    scale = jnp.where(jnp.abs(scale) < jnp.finfo(like.dtype).tiny, 0, scale)
    blocks = scale.shape
    if scale.ndim == 0:
        blocks = (1,) * like.ndim
    elif scale.ndim == 1 < like.ndim and axis is not None:
        blocks = tuple(scale.size if i == axis % like.ndim else 1 for i in range(like.ndim))
    if len(blocks) != like.ndim or any(n % b for n, b in zip(like.shape, blocks, strict=True)):
        raise ValueError(
            f"scale of shape {scale.shape} does not tile weights of shape {like.shape}"
        )
    return scale.reshape(blocks)


def spread(scale: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Repeats every entry of ``scale`` over its block, up to the weights' shape."""
    entries = scale.reshape([n for count in scale.shape for n in (count, 1)])
    return jnp.broadcast_to(entries, _split(shape, scale.shape)).reshape(shape)


def _split(shape: tuple[int, ...], blocks: tuple[int, ...]) -> list[int]:
    """Splits every axis into (number of blocks, length of a block)."""
    return [n for size, count in zip(shape, blocks, strict=True) for n in (count, size // count)]
