"""What a sweep compresses, and how the stages P and Q act on it.

Every 2-D kernel of the encoder blocks is prunable (that is sparsity's denominator) and quantizable.
Other 2-D tables (embeddings, heads) are quantized, never below 8 bits, and not pruned. Norms and
biases are stored in float16 once Q has acted; at 16 bits everything is.

By which score, in which structure, with which rounding a configuration is compressed is a number of
its own, an index of what its group's configurations ask for (:class:`Choices`): one program serves
them all, and compiles no alternative that nobody wants.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from wfm_jax import compress

PRUNABLE = "block_*/kernel"
MIN_TABLE_BITS = 8

SCORES = {
    "magnitude": compress.magnitude,
    "taylor": compress.taylor,
    "wanda": compress.wanda,
    "random": compress.random_score,
}
DISTRIBUTIONS = {
    "global": compress.globally,
    "uniform": compress.uniformly,
    "erk": compress.erk,
    "per_output": compress.per_output,
}
UNITS = {
    "heads": ("heads",),
    "neurons": ("neurons",),
    "heads+neurons": ("heads", "neurons"),
}
UNSTRUCTURED, TWO_OF_FOUR = "unstructured", "2:4"
STRUCTURES = (UNSTRUCTURED, TWO_OF_FOUR, *UNITS)
SCALES = {
    "absmax": compress.absmax_scale,
    "mse": compress.mse_scale,
    "percentile": compress.percentile_scale,
}
ROUNDINGS = ("nearest", "gptq")


def _is_table(path: str, leaf: Any) -> bool:
    return jnp.ndim(leaf) >= 2 and not compress.matches(path, PRUNABLE)


def _is_matrix(_: str, leaf: Any) -> bool:
    return jnp.ndim(leaf) >= 2


def _is_vector(_: str, leaf: Any) -> bool:
    return jnp.ndim(leaf) < 2


class Compression(NamedTuple):
    """State of everything in force on one configuration, a plain pytree of arrays."""

    prune: compress.PruneState
    kernels: compress.QuantizeState
    tables: compress.QuantizeState
    vectors: compress.HalfState
    halves: compress.HalfState


class Choices(NamedTuple):
    """What the configurations of a group ask for, static; each field without repetition.

    Attributes:
        scores: of :data:`SCORES`.
        spreads: pairs of a key of :data:`DISTRIBUTIONS` and one of :data:`STRUCTURES`.
        scales: of :data:`SCALES`.
        roundings: of :data:`ROUNDINGS`.
        couplings: what shrinks together in the model.
    """

    scores: tuple[str, ...] = ("magnitude",)
    spreads: tuple[tuple[str, str], ...] = (("global", UNSTRUCTURED),)
    scales: tuple[str, ...] = ("absmax",)
    roundings: tuple[str, ...] = ("nearest",)
    couplings: tuple[compress.Coupling, ...] = ()

    @property
    def need_statistics(self) -> bool:
        """Whether something of it looks at data."""
        return bool({"taylor", "wanda"} & {*self.scores}) or "gptq" in self.roundings


def choices_of(asked: Iterable[Any], couplings: tuple[compress.Coupling, ...]) -> Choices:
    """What configurations ask for, in an order that does not depend on theirs."""
    asked = list(asked)
    return Choices(
        scores=tuple(sorted({c.score for c in asked})),
        spreads=tuple(sorted({(c.distribution, c.structure) for c in asked})),
        scales=tuple(sorted({c.resolved_scale for c in asked})),
        roundings=tuple(sorted({c.rounding for c in asked})),
        couplings=couplings,
    )


class Settings(NamedTuple):
    """The numbers of P and Q, traced scalars.

    ``score``, ``spread``, ``scale`` and ``rounding`` index the fields of :class:`Choices`;
    ``score_latent`` and ``train_latent`` are the flags of ``score_on`` and ``train_from``.
    """

    sparsity: ArrayLike
    weight_bits: ArrayLike
    score: ArrayLike
    spread: ArrayLike
    scale: ArrayLike
    rounding: ArrayLike
    score_latent: ArrayLike
    train_latent: ArrayLike


# The states alone say what these do to a forward pass: their arguments matter to `update` only.
_IN_FORCE = (  # in the order of Compression's fields
    compress.matching(PRUNABLE, compress.magnitude_prune(0.0)),
    compress.matching(PRUNABLE, compress.quantize(8)),
    compress.matching(_is_table, compress.quantize(8)),
    compress.matching(_is_vector, compress.store_half()),
    compress.matching(_is_matrix, compress.store_half()),
)


def _init(params: Any, *, key: jax.Array) -> Compression:
    return Compression(*(t.init(params, key=key) for t in _IN_FORCE))


def _apply(params: Any, state: Compression) -> Any:
    for transform, own in zip(_IN_FORCE, state, strict=True):
        params = transform.apply(params, own)
    return params


def _no_update(params: Any, state: Compression, stats: Any = None) -> tuple[Any, Compression]:
    del stats
    return params, state


TRANSFORM = compress.Transform(_init, _no_update, _apply)
"""``init`` and ``apply`` of all that can be in force; :func:`prune` and :func:`quantize` decide."""


def prune(
    params: Any,
    state: Compression,
    settings: Settings,
    choices: Choices,
    stats: compress.Stats | None = None,
) -> Compression:
    """Stage P: new keep masks, from the weights as compressed so far (or the latent ones).

    Args:
        params: latent weights.
        state: what is in force.
        settings: the numbers.
        choices: what they index.
        stats: of data, where a score looks at them.
    """
    current = _apply(params, state)
    scored = jax.tree.map(
        lambda latent, now: jnp.where(settings.score_latent, latent, now), params, current
    )
    kernels = compress.select(scored, PRUNABLE)
    keys = jax.random.split(jax.random.fold_in(state.prune.key, 1), len(kernels))

    def scores(name: str) -> Any:
        def by_path() -> dict[str, jax.Array]:
            return {
                path: SCORES[name](w, (stats or {}).get(path), key).astype(jnp.float32)
                for key, (path, w) in zip(keys, kernels.items(), strict=True)
            }

        return by_path

    scored = compress.unflatten(scored, _switch(settings.score, map(scores, choices.scores)))
    masks = [_masks(scored, state.prune, settings, spread, choices) for spread in choices.spreads]
    return state._replace(prune=_switch(settings.spread, masks))


def _masks(
    scored: Any,
    state: compress.PruneState,
    settings: Settings,
    spread: tuple[str, str],
    choices: Choices,
) -> Any:
    """The new masks in one structure; ``scored`` has scores in place of the prunable weights."""
    distribution, structure = spread

    def of_weights() -> compress.PruneState:
        if structure == TWO_OF_FOUR:
            method = compress.prune(None, score=_given, structure=compress.NM(2, 4))
        else:
            how = DISTRIBUTIONS[distribution]
            method = compress.prune(settings.sparsity, score=_given, distribution=how)
        return compress.matching(PRUNABLE, method).update(scored, state)[1]

    def of_units() -> compress.PruneState:
        kinds = UNITS[structure]
        method = compress.prune_units(
            settings.sparsity,
            [c for c in choices.couplings if c.kind in kinds],
            score=_given,
            distribution="uniform" if distribution == "uniform" else "global",
        )
        units = method.update(scored, method.init(scored, key=state.key))[1]
        keep = {path: mask & units.keep.get(path, True) for path, mask in state.keep.items()}
        return compress.PruneState(keep, units.key)

    return of_units if structure in UNITS else of_weights


def _given(scores: jax.Array, stats: Any, key: jax.Array) -> jax.Array:
    del stats, key
    return scores


def _switch(index: ArrayLike, branches: Iterable[Any]) -> Any:
    """``branches[index]()``; no branch where there is no choice."""
    branches = list(branches)
    return branches[0]() if len(branches) == 1 else jax.lax.switch(jnp.asarray(index), branches)


def quantize(
    params: Any,
    state: Compression,
    settings: Settings,
    choices: Choices,
    stats: compress.Stats | None = None,
) -> tuple[Any, Compression]:
    """Stage Q: new scales, calibrated on the weights as compressed so far.

    Args:
        params, state, settings, choices, stats: see :func:`prune`.

    Returns:
        Latent weights, and what is in force. GPTQ's rounding replaces the latent weights by those
        that it chose.
    """
    current = _apply(params, state)
    bits = jnp.asarray(settings.weight_bits)

    def scale(w: jax.Array, bits: Any, **grid: Any) -> jax.Array:
        rules = [lambda r=SCALES[name]: r(w, bits, **grid) for name in choices.scales]
        return _switch(settings.scale, rules)

    def nearest() -> tuple[Any, compress.QuantizeState]:
        method = compress.matching(PRUNABLE, compress.quantize(bits, scale=scale))
        return params, method.update(current, state.kernels)[1]

    def gptq() -> tuple[Any, compress.QuantizeState]:
        method = compress.matching(PRUNABLE, compress.gptq_quantize(bits, scale=scale))
        chosen, found = method.update(current, None, stats)
        new = compress.unflatten(params, compress.select(chosen, PRUNABLE))
        return new, compress.QuantizeState(found.scale, found.bits)

    by_name = {"nearest": nearest, "gptq": gptq}
    params, kernels = _switch(settings.rounding, [by_name[name] for name in choices.roundings])
    tables = compress.quantize(bits, min_bits=MIN_TABLE_BITS, scale="absmax")
    return params, state._replace(
        kernels=kernels,
        tables=compress.matching(_is_table, tables).update(current, state.tables)[1],
        vectors=compress.HalfState(bits <= 16),
        halves=compress.HalfState(bits == 16),
    )
