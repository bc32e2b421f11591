"""Stage P: new keep masks, by the score, the distribution and the structure asked for."""

from typing import Any

import jax
import jax.numpy as jnp

from wfm_jax import compress
from wfm_jax.sweep.compression import (
    BLOCKS,
    DISTRIBUTIONS,
    TWO_OF_FOUR,
    UNITS,
    Choices,
    Compression,
    Settings,
    in_force,
    on,
    score_of,
    switch,
)
from wfm_jax.sweep.own import name_of


def prune(
    params: Any,
    state: Compression,
    settings: Settings,
    choices: Choices,
    stats: compress.Stats | None = None,
) -> Compression:
    """Masks of the weights as compressed so far (or of the latent ones).

    Args:
        params: latent weights.
        state: what is in force.
        settings: the numbers.
        choices: what they index.
        stats: of data, where a score looks at them.
    """
    current = in_force(choices).apply(params, state)
    scored = jax.tree.map(
        lambda latent, now: jnp.where(settings.score_latent, latent, now), params, current
    )
    leaves = compress.flatten(scored)
    kernels = {path: leaves[path] for path in choices.kernels}
    keys = jax.random.split(jax.random.fold_in(state.prune.key, 1), len(kernels))

    def scores(score: str | compress.Score) -> Any:
        def of_one(path: str, w: jax.Array, key: jax.Array) -> jax.Array:
            found = score_of(score)(w, (stats or {}).get(path), key)
            if jnp.shape(found) != w.shape:
                raise ValueError(
                    f"score {name_of(score)} must give an array of the shape of {path}, "
                    f"{w.shape}, got {jnp.shape(found)}"
                )
            return found.astype(jnp.float32)

        def by_path() -> dict[str, jax.Array]:
            pairs = zip(keys, kernels.items(), strict=True)
            return {path: of_one(path, w, key) for key, (path, w) in pairs}

        return by_path

    scored = compress.unflatten(scored, switch(settings.score, map(scores, choices.scores)))
    masks = [_masks(scored, state.prune, settings, spread, choices) for spread in choices.spreads]
    return state._replace(prune=switch(settings.spread, masks))


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
            method = compress.prune(
                settings.sparsity,
                score=_given,
                distribution=DISTRIBUTIONS[distribution],
                structure=compress.Blocks(4, 4) if structure == BLOCKS else compress.Unstructured(),
            )
        return on(choices.kernels, method).update(scored, state)[1]

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
