"""What a sweep compresses, and how the stages P and Q act on it.

Every 2-D kernel of the encoder blocks is prunable (that is sparsity's denominator) and quantizable.
Other 2-D tables (embeddings, heads) are quantized, never below 8 bits, and not pruned. Norms and
biases are stored in float16 once Q has acted; at 16 bits everything is.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from wfm_jax import compress

PRUNABLE = "block_*/kernel"
SCALES = ("absmax", "mse", "percentile")
MIN_TABLE_BITS = 8


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


class Settings(NamedTuple):
    """The numbers of P and Q, traced scalars.

    ``scale`` indexes :data:`SCALES`; ``uniform`` spreads sparsity evenly over layers;
    ``score_latent`` and ``train_latent`` are the flags of ``score_on`` and ``train_from``.
    """

    sparsity: ArrayLike
    weight_bits: ArrayLike
    scale: ArrayLike
    uniform: ArrayLike
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


def prune(params: Any, state: Compression, settings: Settings) -> Compression:
    """Stage P: new keep masks, from the weights as compressed so far (or the latent ones)."""
    current = _apply(params, state)
    scored = jax.tree.map(
        lambda latent, now: jnp.where(settings.score_latent, latent, now), params, current
    )

    def masks(distribution):
        method = compress.magnitude_prune(settings.sparsity, distribution=distribution)
        return lambda: compress.matching(PRUNABLE, method).update(scored, state.prune)[1]

    return state._replace(prune=jax.lax.cond(settings.uniform, masks("uniform"), masks("global")))


def quantize(params: Any, state: Compression, settings: Settings) -> Compression:
    """Stage Q: new scales, calibrated on the weights as compressed so far."""
    current = _apply(params, state)
    bits = jnp.asarray(settings.weight_bits)

    def scale(w: jax.Array, bits: Any, **grid: Any) -> jax.Array:
        rules = (compress.absmax_scale, compress.mse_scale, compress.percentile_scale)
        return jax.lax.switch(settings.scale, [lambda r=r: r(w, bits, **grid) for r in rules])

    kernels = compress.quantize(bits, scale=scale)
    tables = compress.quantize(bits, min_bits=MIN_TABLE_BITS, scale="absmax")
    return state._replace(
        kernels=compress.matching(PRUNABLE, kernels).update(current, state.kernels)[1],
        tables=compress.matching(_is_table, tables).update(current, state.tables)[1],
        vectors=compress.HalfState(bits <= 16),
        halves=compress.HalfState(bits == 16),
    )
