"""How sparsity spreads over the tensors of a model.

A distribution turns the scores of all tensors' units, and one sparsity, into keep masks of units.
A unit is a weight, or what a structure removes together. All of them draw ties at random, all work
with a traced sparsity, and sparsity is a fraction of *weights*. Counts are exact:

==============  ===========================================  ====================================
distribution    removed of a tensor of ``size`` units        removed in total
==============  ===========================================  ====================================
`globally`      whatever ranks lowest                        round(sparsity total)
`uniformly`     round(sparsity size)                         off by at most half a unit a tensor
`per_output`    round(sparsity in) of each output's inputs   off by at most half a unit an output
`erk`           less than one weight from the law's          round(sparsity total)
`per_layer`     round(its own sparsity times size)           what that makes
==============  ===========================================  ====================================

Units of different sizes in one model (columns of short and of long kernels) cannot make every
number: there `globally` is off by at most half of its largest unit in total, and `erk` by at most
half a unit, and less than one weight, a tensor.
"""

from collections.abc import Mapping
from math import prod
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from wfm_jax.compress.checks import check_number, is_traced
from wfm_jax.compress.erk import erk_kept
from wfm_jax.compress.masks import (
    ascending,
    check_sparsity,
    global_keep_masks,
    keep_largest,
    keep_largest_along,
    keep_mask,
    share_of,
    uniform_keep_masks,
)
from wfm_jax.compress.paths import Pattern, select

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of the weights by path name."""
Arrays = dict[str, jax.Array]
"""Arrays of units by path name: scores, or keep masks."""


class Distribution(Protocol):
    """``distribution(scores, sparsity, *, shapes, key) -> keep masks``, all by path name."""

    def __call__(
        self, scores: Arrays, sparsity: ArrayLike | None, *, shapes: Shapes, key: jax.Array
    ) -> Arrays: ...


def globally(
    scores: Arrays, sparsity: ArrayLike | None, *, shapes: Shapes, key: jax.Array
) -> Arrays:
    """Ranks the units of all tensors together: sensitive tensors keep more.

    Args:
      scores: scores of the units by path name; larger means more worth keeping.
      sparsity: fraction of all weights to remove, in [0, 1); may be traced.
      shapes: shapes of the weights.
      key: breaks ties.

    Returns:
      Keep masks of the units, boolean.

    Raises:
      ValueError: if a concrete ``sparsity`` is no scalar in [0, 1).
    """
    sparsity = check_sparsity(sparsity)
    sizes = _unit_sizes(scores, shapes)
    if len(set(sizes.values())) <= 1:
        return global_keep_masks(scores, sparsity, key=key)
    weights = np.concatenate([np.full(s.size, sizes[p], np.int32) for p, s in scores.items()])
    target = share_of(sparsity, int(weights.sum()))
    joined = jnp.concatenate([jnp.ravel(s).astype(jnp.float32) for s in scores.values()])
    order = ascending(joined, key=key)
    after = jnp.cumsum(jnp.asarray(weights)[order])
    before = after - jnp.asarray(weights)[order]
    goes = after - target < target - before  # brings the number removed nearer to the target
    keep = jnp.zeros(joined.shape, bool).at[order].set(~goes, unique_indices=True)
    parts = jnp.split(keep, np.cumsum([s.size for s in scores.values()])[:-1])
    return {p: part.reshape(scores[p].shape) for p, part in zip(scores, parts, strict=True)}


def uniformly(
    scores: Arrays, sparsity: ArrayLike | None, *, shapes: Shapes, key: jax.Array
) -> Arrays:
    """Ranks the units of each tensor by themselves: each loses the same fraction.

    Arguments and errors as of `globally`.
    """
    del shapes
    sparsity = check_sparsity(sparsity)
    return uniform_keep_masks(scores, sparsity, key=key)


def per_output(
    scores: Arrays, sparsity: ArrayLike | None, *, shapes: Shapes, key: jax.Array
) -> Arrays:
    """Ranks the inputs of every output by themselves: each output loses the same number.

    The comparison group of Wanda (Sun et al. 2024, arXiv 2306.11695).

    Arguments and errors as of `globally`. ValueError also for scores without an input axis.
    """
    del shapes
    sparsity = check_sparsity(sparsity)
    for path, s in scores.items():
        if s.ndim < 2:
            raise ValueError(f"per_output needs kernels [..., in, out], {path} has shape {s.shape}")
    keys = jax.random.split(key, len(scores))
    return {
        path: keep_largest_along(s, share_of(sparsity, s.shape[-2]), -2, key=k)
        for k, (path, s) in zip(keys, scores.items(), strict=True)
    }


def erk(scores: Arrays, sparsity: ArrayLike | None, *, shapes: Shapes, key: jax.Array) -> Arrays:
    """Small tensors stay denser: density in proportion to (in + out) / (in out), at most 1.

    See `wfm_jax.compress.erk`. Arguments and errors as of `globally`.
    """
    sparsity = check_sparsity(sparsity)
    sizes = _unit_sizes(scores, shapes)
    grain = sizes[next(iter(sizes))] if len(set(sizes.values())) == 1 else 1
    kept = erk_kept({path: shapes[path] for path in scores}, sparsity, grain=grain)
    keys = jax.random.split(key, len(scores))
    masks = {}
    for own_key, (path, s) in zip(keys, scores.items(), strict=True):
        units = jnp.round(kept[path] * (grain / sizes[path])).astype(jnp.int32)
        masks[path] = keep_largest(s, s.size - units, key=own_key)
    return masks


def per_layer(sparsities: Mapping[Pattern, ArrayLike] | ArrayLike) -> Distribution:
    """Returns the distribution that gives every tensor a sparsity of its own.

    The sparsities are all there is to say, so the sparsity beside it is ``None``:
    ``prune(None, distribution=per_layer({"*/query/kernel": 0.9, "*": 0.5}))``.

    Args:
      sparsities: pattern -> sparsity, in [0, 1) and possibly traced: of the patterns that match a
        path the first one counts. Or an array ``[tensors]``, in the tree's own order.

    Returns:
      A distribution that raises ValueError for a pattern that matches nothing (naming the nearest
      paths), for a path that no pattern matches, for an array of another length, for a concrete
      sparsity outside [0, 1), and for a sparsity beside these.
    """

    def distribution(scores, sparsity, *, shapes, key):
        del shapes
        if sparsity is not None:
            raise ValueError(f"per_layer has sparsities of its own: give None, not {sparsity}")
        keys = jax.random.split(key, len(scores))
        own = _by_path(sparsities, scores)
        return {
            path: keep_mask(s, own[path], key=k)
            for k, (path, s) in zip(keys, scores.items(), strict=True)
        }

    return distribution


def _by_path(
    sparsities: Mapping[Pattern, ArrayLike] | ArrayLike, scores: Arrays
) -> Mapping[str, ArrayLike]:
    if not isinstance(sparsities, Mapping):
        values = jnp.asarray(sparsities)
        if values.shape != (len(scores),):
            raise ValueError(
                f"per_layer needs one sparsity for each of {len(scores)} tensors, got an array of "
                f"shape {values.shape}"
            )
        if not is_traced(sparsities) and not np.all(_is_sparsity(np.asarray(sparsities))):
            raise ValueError(f"sparsities must be numbers in [0, 1), got {sparsities}")
        return dict(zip(scores, values, strict=True))
    found: dict[str, ArrayLike] = {}
    for pattern, sparsity in sparsities.items():
        check_number(f"sparsity of {pattern!r}", sparsity, _is_sparsity, "one number in [0, 1)")
        for path in select(scores, pattern):
            found.setdefault(path, sparsity)
    if missing := [path for path in scores if path not in found]:
        raise ValueError(f"per_layer has no sparsity for {', '.join(missing)}: add one for '*'")
    return found


def _is_sparsity(sparsity: np.ndarray) -> np.ndarray:
    return (sparsity >= 0) & (sparsity < 1)


def _unit_sizes(scores: Arrays, shapes: Shapes) -> dict[str, int]:
    """Returns how many weights a unit of each tensor has."""
    return {path: prod(shapes[path]) // max(s.size, 1) for path, s in scores.items()}
