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
    flat = jnp.ravel(scores)
    position = jax.lax.iota(jnp.int32, flat.size)
    removed = jnp.round(jnp.asarray(sparsity, jnp.float32) * flat.size).astype(jnp.int32)
    if key is None:
        _, order = jax.lax.sort((flat, position), num_keys=1)
    else:
        tie_break = jax.random.bits(key, flat.shape)
        _, _, order = jax.lax.sort((flat, tie_break, position), num_keys=2)
    keep = jnp.zeros(flat.shape, bool).at[order].set(position >= removed, unique_indices=True)
    return keep.reshape(jnp.shape(scores))


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


def check_sparsity(sparsity: ArrayLike) -> None:
    """Raises ValueError for a concrete sparsity that is no scalar in [0, 1)."""
    check_number("sparsity", sparsity, lambda s: 0 <= s < 1, "one number in [0, 1)")
