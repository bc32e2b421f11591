"""Magnitude pruning: the weights nearest to zero go.

Han et al., "Learning both weights and connections for efficient neural networks", 2015
(arXiv 1506.02626). What counts as near is decided over the whole model (``global``) or tensor by
tensor (``uniform``).
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from wfm_jax.compress.masks import check_sparsity, global_keep_masks, uniform_keep_masks
from wfm_jax.compress.paths import flatten, unflatten
from wfm_jax.compress.transform import Transform


class PruneState(NamedTuple):
    """The masks in force.

    Attributes:
      keep: path name -> boolean array of the leaf's shape, ``True`` where the weight stays.
      key: breaks the ties of the next update.
    """

    keep: dict[str, jax.Array]
    key: jax.Array


def magnitude_prune(
    sparsity: ArrayLike, *, distribution: Literal["global", "uniform"] = "global"
) -> Transform:
    """Removes the given fraction of the weights, those of smallest magnitude.

    Every leaf takes part: restrict it with `wfm_jax.compress.matching`. ``init`` keeps everything;
    ``update`` scores the parameters as it is given them (latent or snapped is the caller's choice)
    and leaves them unchanged; ``apply`` puts zeros where the mask says so, and lets no gradient
    through there. A weight once removed never comes back: it ranks below all others, and masks only
    ever shrink.

    Args:
      sparsity: fraction to remove, in [0, 1), counted over all weights that take part, those
        removed before included; may be traced.
      distribution: ``"global"`` ranks all leaves together, ``"uniform"`` each by itself.

    Returns:
      A transform with a `PruneState`.

    Raises:
      ValueError: for a sparsity outside [0, 1) or an unknown distribution.
    """
    check_sparsity(sparsity)
    if distribution not in ("global", "uniform"):
        raise ValueError(f"distribution must be 'global' or 'uniform', got {distribution!r}")
    keep_masks = global_keep_masks if distribution == "global" else uniform_keep_masks

    def init(params, *, key):
        return PruneState({p: jnp.ones(w.shape, bool) for p, w in flatten(params).items()}, key)

    def update(params, state, stats=None):
        del stats
        key, tie_key = jax.random.split(state.key)
        scores = {
            path: jnp.where(state.keep[path], jnp.abs(w), -jnp.inf)
            for path, w in flatten(params).items()
        }
        keep = keep_masks(scores, sparsity, key=tie_key)
        return params, PruneState({p: keep[p] & state.keep[p] for p in keep}, key)

    def apply(params, state):
        masked = {
            path: jnp.where(state.keep[path], w, jnp.zeros_like(w))
            for path, w in flatten(params).items()
        }
        return unflatten(params, masked)

    return Transform(init, update, apply)


def sparsity_achieved(keep: dict[str, jax.Array]) -> jax.Array:
    """Returns the fraction of removed weights over all masks, a float32 scalar.

    Args:
      keep: keep masks by path name, as in `PruneState`.
    """
    removed = jnp.asarray(sum(jnp.sum(~mask) for mask in keep.values()), jnp.float32)
    return removed / max(sum(mask.size for mask in keep.values()), 1)
