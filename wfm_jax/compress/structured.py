"""Structured pruning: whole neurons, attention heads or layers go, so that arrays can shrink.

After Molchanov et al., "Pruning convolutional neural networks for resource efficient inference",
2017 (arXiv 1611.06440): units compete by a score pooled over what belongs to them. What belongs to
a unit is stated by `wfm_jax.compress.Coupling`; `wfm_jax.compress.shrink` cuts out what was masked.

>>> from wfm_jax.compress.couplings import Part
>>> neurons = Coupling(
...     "neurons", 4, (Part("up/kernel", 1, 1), Part("up/bias", 0, 1), Part("down/kernel", 0, 1))
... )
>>> params = {
...     "up": {"kernel": jnp.array([[1.0, 2.0, 3.0, 4.0]]), "bias": jnp.ones(4)},
...     "down": {"kernel": jnp.array([[9.0], [1.0], [1.0], [1.0]])},
... }
>>> method = prune_units(0.5, [neurons])
>>> params, state = method.update(params, method.init(params, key=jax.random.key(0)))
>>> state.units["neurons"]
Array([ True, False, False,  True], dtype=bool)
>>> method.apply(params, state)["up"]["bias"]
Array([1., 0., 0., 1.], dtype=float32)
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from wfm_jax.compress.checks import check_no_nan
from wfm_jax.compress.couplings import Coupling, axis_masks, check_couplings
from wfm_jax.compress.masks import check_sparsity, global_keep_masks, keep_mask
from wfm_jax.compress.paths import unflatten
from wfm_jax.compress.scores import Score
from wfm_jax.compress.transform import Transform


class UnitState(NamedTuple):
    """The units in force.

    Attributes:
      units: coupling name -> boolean vector of the coupling's size, ``True`` where the unit stays.
      keep: the same for weights, as in `wfm_jax.compress.PruneState`: path name -> boolean array
        of the kernel's shape. Biases that go with their units have no mask here.
      key: breaks the ties of the next update.
    """

    units: dict[str, jax.Array]
    keep: dict[str, jax.Array]
    key: jax.Array


def prune_units(
    sparsity: ArrayLike,
    couplings: Iterable[Coupling],
    *,
    score: Score | None = None,
    distribution: Literal["global", "uniform"] = "global",
) -> Transform:
    """Removes the given fraction of the units, those of smallest score.

    A unit's score is the mean of its weights' scores over all kernels it has a part in; by default
    their mean square, which ranks as the l2 norm does. The mean, because units that compete may
    differ in size (the attention and the MLP of a layer). Vectors have no say: statistics are of
    kernels, and a bias means something only through the kernel behind it.

    Kinds never compete: of heads and of neurons the same fraction goes, whatever their scores.
    ``init`` keeps everything; ``update`` scores the parameters as it is given them and leaves them
    unchanged; ``apply`` puts zeros in all parts of what was removed, vectors too, and lets no
    gradient through there. A unit once removed never comes back.

    Args:
      sparsity: fraction of the units to remove, in [0, 1), counted over those removed before too;
        may be traced. Exactly ``round(sparsity * units)`` go of every ranking, or as many as
        `Coupling.least` allows; one unit always stays.
      couplings: what shrinks together; all must name leaves of the parameters.
      score: scores weights, as in `wfm_jax.compress.scores`; ``None`` for their squares.
      distribution: ``"global"`` ranks all couplings of a kind together, ``"uniform"`` each by
        itself (and so never removes the only unit of one).

    Returns:
      A transform with a `UnitState`.

    Raises:
      ValueError: for a sparsity outside [0, 1) or an unknown distribution; from all three
        functions, for couplings that do not fit the parameters (``check_couplings`` says how);
        from ``update``, for concrete weights that hold NaN.
    """
    check_sparsity(sparsity)
    if distribution not in ("global", "uniform"):
        raise ValueError(f"distribution must be 'global' or 'uniform', got {distribution!r}")
    couplings = tuple(couplings)
    rankings = _by_kind(couplings) if distribution == "global" else [[c] for c in couplings]

    def state_of(units, leaves, key):
        masks = _leaf_masks(units, couplings, leaves)
        return UnitState(units, {p: m for p, m in masks.items() if m.ndim > 1}, key)

    def init(params, *, key):
        leaves = check_couplings(couplings, params)
        return state_of({c.name: jnp.ones(c.size, bool) for c in couplings}, leaves, key)

    def update(params, state, stats=None):
        leaves = check_couplings(couplings, params)
        key, score_key, tie_key = jax.random.split(state.key, 3)
        scores = _unit_scores(leaves, couplings, score, stats or {}, score_key)
        units = dict(state.units)
        tie_keys = jax.random.split(tie_key, len(rankings)) if rankings else ()
        for ranking, own_key in zip(rankings, tie_keys, strict=True):
            alive = {c.name: jnp.where(units[c.name], scores[c.name], -jnp.inf) for c in ranking}
            for name, stays in _keep(alive, ranking, sparsity, own_key).items():
                units[name] &= stays
        return params, state_of(units, leaves, key)

    def apply(params, state):
        leaves = check_couplings(couplings, params)
        masks = _leaf_masks(state.units, couplings, leaves)
        masked = {p: jnp.where(masks[p], w, jnp.zeros_like(w)) for p, w in leaves.items()}
        return unflatten(params, masked)

    return Transform(init, update, apply)


def _by_kind(couplings: Iterable[Coupling]) -> list[list[Coupling]]:
    kinds: dict[str, list[Coupling]] = {}
    for coupling in couplings:
        kinds.setdefault(coupling.kind, []).append(coupling)
    return list(kinds.values())


def _unit_scores(
    leaves: Mapping[str, jax.Array],
    couplings: Iterable[Coupling],
    score: Score | None,
    stats: Mapping[str, Any],
    key: jax.Array,
) -> dict[str, jax.Array]:
    """Mean score of each unit's weights, float32[size] by coupling name."""
    kernels = {path: w for path, w in leaves.items() if w.ndim > 1}
    of_weights = {}
    keys = jax.random.split(key, max(len(kernels), 1))
    for own_key, (path, w) in zip(keys, kernels.items(), strict=False):
        check_no_nan(f"params[{path!r}]", w)
        if score is None:
            of_weights[path] = jnp.square(w.astype(jnp.float32))
        else:
            of_weights[path] = score(w, stats.get(path), own_key).astype(jnp.float32)

    def pooled(coupling: Coupling) -> jax.Array:
        rows = [
            jnp.moveaxis(of_weights[path], axis, 0).reshape(coupling.size, -1)
            for path, axis, _ in coupling.parts
            if path in kernels
        ]
        return jnp.mean(jnp.concatenate(rows, axis=1), axis=1)

    return {coupling.name: pooled(coupling) for coupling in couplings}


def _keep(
    scores: dict[str, jax.Array], ranking: Sequence[Coupling], sparsity: ArrayLike, key: jax.Array
) -> dict[str, jax.Array]:
    """Ranks units together; the best of each coupling, `Coupling.least` many, are out of reach."""
    if any(c.least for c in ranking):
        safe = {c.name: _best(scores[c.name], c.least, key) for c in ranking}
    else:
        joined = _best(jnp.concatenate([scores[c.name] for c in ranking]), 1, key)
        parts = jnp.split(joined, np.cumsum([c.size for c in ranking])[:-1])
        safe = {c.name: part for c, part in zip(ranking, parts, strict=True)}
    ranked = {name: jnp.where(safe[name], jnp.inf, s) for name, s in scores.items()}
    keep = global_keep_masks(ranked, sparsity, key=key)
    return {name: keep[name] | safe[name] for name in keep}


def _best(scores: jax.Array, count: int, key: jax.Array) -> jax.Array:
    if count == 0:
        return jnp.zeros(scores.shape, bool)
    return keep_mask(scores, 1 - count / scores.size, key=key)


def _leaf_masks(
    units: Mapping[str, jax.Array], couplings: Iterable[Coupling], leaves: Mapping[str, jax.Array]
) -> dict[str, jax.Array]:
    """Masks of the leaves' shapes: an entry stays if all units that it belongs to do."""
    masks = {}
    for path, axes in axis_masks(units, couplings).items():
        mask = jnp.ones(leaves[path].shape, bool)
        for axis, of_axis in axes.items():
            others = [i for i in range(mask.ndim) if i != axis]
            mask &= jnp.expand_dims(of_axis, others)
        masks[path] = mask
    return masks
