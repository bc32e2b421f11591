"""Pruning: the weights that score lowest go.

What a pruning is has four parts, and each may be replaced: a *score* says what a weight is worth
(`wfm_jax.compress.scores`), a *structure* what goes together (`wfm_jax.compress.structures`), a
*distribution* how much every tensor loses (`wfm_jax.compress.distributions`), and the sparsity,
which may follow a *schedule* (`wfm_jax.compress.schedule`).

The method of all parts at their simplest is Han et al., "Learning both weights and connections for
efficient neural networks", 2015 (arXiv 1506.02626).
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from wfm_jax.compress.blocks import spread
from wfm_jax.compress.checks import check_no_nan, check_number
from wfm_jax.compress.distributions import Distribution, globally, uniformly
from wfm_jax.compress.masks import check_sparsity
from wfm_jax.compress.paths import flatten, unflatten
from wfm_jax.compress.scores import Score, magnitude
from wfm_jax.compress.structures import NM, Structure, Unstructured, pool
from wfm_jax.compress.transform import Transform


class PruneState(NamedTuple):
    """The masks in force.

    Attributes:
      keep: path name -> boolean array of the leaf's shape, ``True`` where the weight stays.
      key: the source of the next update's ties and random scores.
    """

    keep: dict[str, jax.Array]
    key: jax.Array


def prune(
    sparsity: ArrayLike | None,
    *,
    score: Score = magnitude,
    distribution: Distribution | None = None,
    structure: Structure = Unstructured(),
) -> Transform:
    """Removes the given fraction of the weights, those that score lowest.

    Every leaf takes part: restrict it with `wfm_jax.compress.matching`. ``init`` keeps everything;
    ``update`` scores the parameters as it is given them (latent or snapped is the caller's choice)
    and leaves them unchanged; ``apply`` puts zeros where the mask says so, and lets no gradient
    through there. A weight once removed never comes back: it ranks below all others, and masks only
    ever shrink.

    >>> from wfm_jax.compress.structures import Blocks
    >>> params = {"kernel": jnp.arange(1.0, 33.0).reshape(8, 4)}
    >>> half = prune(0.5, structure=Blocks(4, 2))
    >>> _, state = half.update(params, half.init(params, key=jax.random.key(0)))
    >>> half.apply(params, state)["kernel"][::4]
    Array([[ 0.,  0.,  0.,  0.],
           [17., 18., 19., 20.]], dtype=float32)

    Args:
      sparsity: fraction to remove, in [0, 1), counted over all weights that take part, those
        removed before included; may be traced. ``None`` where it is not free: `NM` and `per_layer`
        say themselves how much goes.
      score: what a weight is worth: `magnitude`, `taylor`, `wanda`, `random_score`, or a function
        like these. Units of several weights are worth the mean.
      distribution: `globally` (the default), `uniformly`, `per_output`, `erk`, `per_layer` of
        something, or a function like these. `NM` has no use for any.
      structure: what goes together: `Unstructured`, `Blocks`, `Inputs`, `Outputs`, `NM`.

    Returns:
      A transform with a `PruneState`.

    Raises:
      ValueError: for a sparsity outside [0, 1), or with `NM` another one than its own; from
        ``init`` and ``update``, for leaves that the structure does not divide; from ``update``, for
        concrete weights or scores that hold NaN, and what the score and the distribution raise:
        statistics that are missing, a sparsity of ``None``.
    """
    if isinstance(structure, NM):
        _check_free_of_choice(sparsity, distribution, structure)
    elif sparsity is not None:
        check_sparsity(sparsity)
    spread_over = globally if distribution is None else distribution

    def init(params, *, key):
        leaves = flatten(params)
        for path, w in leaves.items():
            _check_shape(structure, w.shape, path)
        return PruneState({path: jnp.ones(w.shape, bool) for path, w in leaves.items()}, key)

    def update(params, state, stats=None):
        key, tie_key, score_key = jax.random.split(state.key, 3)
        leaves = flatten(params)
        scores = _scores(score, leaves, stats or {}, score_key)
        shapes = {path: w.shape for path, w in leaves.items()}
        if isinstance(structure, NM):
            keys = jax.random.split(tie_key, len(leaves))
            keep = {
                path: structure.keep_mask(jnp.where(state.keep[path], s, -jnp.inf), key=k)
                for k, (path, s) in zip(keys, scores.items(), strict=True)
            }
        else:
            units = {
                path: pool(s, state.keep[path], structure.units(s.shape, path))
                for path, s in scores.items()
            }
            kept = spread_over(units, sparsity, shapes=shapes, key=tie_key)
            keep = {path: spread(mask, shapes[path]) for path, mask in kept.items()}
        return params, PruneState({p: keep[p] & state.keep[p] for p in keep}, key)

    def apply(params, state):
        masked = {
            path: jnp.where(state.keep[path], w, jnp.zeros_like(w))
            for path, w in flatten(params).items()
        }
        return unflatten(params, masked)

    return Transform(init, update, apply)


def magnitude_prune(
    sparsity: ArrayLike, *, distribution: Literal["global", "uniform"] = "global"
) -> Transform:
    """Removes the given fraction of the weights, those of smallest magnitude.

    `prune` at its simplest.

    >>> params = {"a": jnp.array([3.0, 1.0]), "b": jnp.array([2.0, 5.0])}  # ranked together
    >>> method = magnitude_prune(0.5)
    >>> params, state = method.update(params, method.init(params, key=jax.random.key(0)))
    >>> jax.tree.map(lambda w: w.tolist(), method.apply(params, state))
    {'a': [3.0, 0.0], 'b': [0.0, 5.0]}

    Args:
      sparsity: fraction to remove, in [0, 1); may be traced.
      distribution: ``"global"`` ranks all leaves together, ``"uniform"`` each by itself.

    Returns:
      A transform with a `PruneState`.

    Raises:
      ValueError: for a sparsity outside [0, 1) or an unknown distribution.
    """
    check_sparsity(sparsity)
    if distribution not in ("global", "uniform"):
        raise ValueError(f"distribution must be 'global' or 'uniform', got {distribution!r}")
    return prune(sparsity, distribution=globally if distribution == "global" else uniformly)


def sparsity_achieved(keep: dict[str, jax.Array]) -> jax.Array:
    """Returns the fraction of removed weights over all masks, a float32 scalar.

    Args:
      keep: keep masks by path name, as in `PruneState`.
    """
    removed = jnp.asarray(sum(jnp.sum(~mask) for mask in keep.values()), jnp.float32)
    return removed / max(sum(mask.size for mask in keep.values()), 1)


def _scores(score: Score, leaves, stats, key: jax.Array) -> dict[str, jax.Array]:
    scores = {}
    for own_key, (path, w) in zip(jax.random.split(key, len(leaves)), leaves.items(), strict=True):
        check_no_nan(f"params[{path!r}]", w)
        try:
            scores[path] = score(w, stats.get(path), own_key)
        except ValueError as error:
            raise ValueError(f"params[{path!r}]: {error}") from error
        check_no_nan(f"the score of params[{path!r}]", scores[path])
    return scores


def _check_shape(structure: Structure, shape: tuple[int, ...], path: str) -> None:
    if isinstance(structure, NM):
        structure.check(shape, path)
    else:
        structure.units(shape, path)


def _check_free_of_choice(sparsity, distribution, structure: NM) -> None:
    if distribution is not None:
        raise ValueError(f"{structure} takes no distribution: every group loses the same")
    if sparsity is not None:
        own = structure.sparsity
        wanted = f"{own:g} with {structure}, or None"
        check_number("sparsity", sparsity, lambda s: abs(s - own) < 1e-6, wanted)
