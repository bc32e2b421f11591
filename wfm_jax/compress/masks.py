"""Keep masks from scores: which weights stay when the smallest go.

A mask is boolean and ``True`` means that the weight **stays**. The number removed is exact, also
where scores tie: that matters as soon as weights have been quantized, when nearly all of them tie
and a mask that falls back on position in memory would be structured by accident.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from wfm_jax.compress.checks import check_number


def keep_mask(scores: ArrayLike, sparsity: ArrayLike, *, key: jax.Array | None = None) -> jax.Array:
    """Returns the mask that removes the smallest scores.

    Exactly ``round(sparsity * size)`` entries are ``False``. Product and rounding (half to even)
    are done in float32 for concrete and traced sparsity alike, so both give the same count.

    >>> keep_mask(jnp.array([3.0, 1.0, 2.0, 5.0]), 0.5)
    Array([ True, False, False,  True], dtype=bool)

    Args:
      scores: real array of any shape; larger means more worth keeping. NaN counts as the largest.
      sparsity: scalar, the fraction to remove, in [0, 1); may be traced, and then is not checked.
      key: breaks ties at random. Without it, of equal scores those that come first go first.

    Returns:
      Boolean array of the shape of ``scores``, ``True`` where the weight stays.

    Raises:
      ValueError: if a concrete ``sparsity`` is no scalar or outside [0, 1).
    """
    check_sparsity(sparsity)
    return keep_largest(scores, share_of(sparsity, jnp.size(scores)), key=key)


def keep_largest(
    scores: ArrayLike, removed: ArrayLike, *, key: jax.Array | None = None
) -> jax.Array:
    """Returns the mask that removes a given number of the smallest scores.

    Args:
      scores: see `keep_mask`.
      removed: int32 scalar, how many go; may be traced. Beyond the size, all go.
      key: breaks ties; see `keep_mask`.

    Returns:
      Boolean array of the shape of ``scores``.
    """
    flat = jnp.ravel(scores)
    position = jax.lax.iota(jnp.int32, flat.size)
    order = ascending(flat, key=key)
    keep = jnp.zeros(flat.shape, bool).at[order].set(position >= removed, unique_indices=True)
    return keep.reshape(jnp.shape(scores))


def keep_largest_along(
    scores: ArrayLike, removed: ArrayLike, axis: int, *, key: jax.Array | None = None
) -> jax.Array:
    """Removes the same number of the smallest scores from every line along an axis.

    Args:
      scores, key: see `keep_mask`.
      removed: int32 scalar, how many entries of each line go; may be traced.
      axis: the axis whose entries are ranked against each other.

    Returns:
      Boolean array of the shape of ``scores``.
    """
    lines = jnp.moveaxis(jnp.asarray(scores), axis, -1)
    rank = jnp.argsort(ascending(lines, key=key), axis=-1)
    return jnp.moveaxis(rank >= removed, -1, axis)


def ascending(scores: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """Returns the indices that sort the last axis, smallest first, NaN last.

    Args:
      scores: real array of one or more axes.
      key: puts equal scores in random order; without it they stay in theirs.

    Returns:
      int32 of the shape of ``scores``.
    """
    position = jax.lax.broadcasted_iota(jnp.int32, scores.shape, scores.ndim - 1)
    if key is None:
        return jax.lax.sort((scores, position), num_keys=1)[-1]
    tie_break = jax.random.bits(key, scores.shape)
    return jax.lax.sort((scores, tie_break, position), num_keys=2)[-1]


def share_of(sparsity: ArrayLike, size: int) -> jax.Array:
    """Returns ``round(sparsity * size)``, an int32 scalar: product and rounding in float32."""
    return jnp.round(jnp.asarray(sparsity, jnp.float32) * size).astype(jnp.int32)


def global_keep_masks(scores: Any, sparsity: ArrayLike, *, key: jax.Array | None = None) -> Any:
    """Ranks all arrays of a tree together, in float32: sensitive tensors keep more.

    Args:
      scores: pytree (for instance a dict by path name) of score arrays.
      sparsity: the fraction to remove of all entries taken together; see `keep_mask`.
      key: breaks ties, also between tensors; see `keep_mask`.

    Returns:
      A tree like ``scores`` of keep masks.
    """
    leaves, treedef = jax.tree.flatten(scores)
    if not leaves:
        return scores
    joined = jnp.concatenate([jnp.ravel(leaf).astype(jnp.float32) for leaf in leaves])
    ends = np.cumsum([jnp.size(leaf) for leaf in leaves])
    parts = jnp.split(keep_mask(joined, sparsity, key=key), ends[:-1])
    return treedef.unflatten(
        part.reshape(jnp.shape(leaf)) for part, leaf in zip(parts, leaves, strict=True)
    )


def uniform_keep_masks(scores: Any, sparsity: ArrayLike, *, key: jax.Array | None = None) -> Any:
    """Ranks every array of a tree by itself: each loses the same fraction.

    Args:
      scores: pytree (for instance a dict by path name) of score arrays.
      sparsity: the fraction to remove of each array; see `keep_mask`.
      key: breaks ties, split over the arrays; see `keep_mask`.

    Returns:
      A tree like ``scores`` of keep masks.
    """
    leaves, treedef = jax.tree.flatten(scores)
    keys = [None] * len(leaves) if key is None else list(jax.random.split(key, len(leaves)))
    return treedef.unflatten(
        keep_mask(leaf, sparsity, key=k) for leaf, k in zip(leaves, keys, strict=True)
    )


def check_sparsity(sparsity: ArrayLike | None) -> ArrayLike:
    """Returns a sparsity; raises ValueError for a concrete one that is no scalar in [0, 1)."""
    wanted = "one number in [0, 1)"
    if sparsity is None:
        raise ValueError(f"sparsity must be {wanted}, got None")
    check_number("sparsity", sparsity, lambda s: 0 <= s < 1, wanted)
    return sparsity
