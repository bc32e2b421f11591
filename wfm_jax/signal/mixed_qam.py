"""QAM where every frame of a batch has its own order: the modulation is a traced index.

A batch that mixes 4-, 16-, 64- and 256-QAM keeps ``m_max`` bit slots per symbol; a frame uses the
first ``m`` of them. Levels and labels of the smaller constellations are padded, so that one
program demaps all of them.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.signal import qam

EXACT_NATS = 40.0
_SLOPE = 4.0


class MixedDemap(NamedTuple):
    """Result of :func:`demap`.

    Attributes:
        llr: float32[..., m_max]; slots beyond the frame's bits per symbol hold 0.
        log_evidence: float32[...], ln p(y | modulation) up to the constant -ln(pi).
    """

    llr: jax.Array
    log_evidence: jax.Array


def bits_per_symbol_of(modulation: jax.Array, orders: tuple[int, ...]) -> jax.Array:
    """int32 bits per symbol of each modulation index."""
    return jnp.asarray(orders, jnp.int32)[modulation]


def bit_mask(modulation: jax.Array, orders: tuple[int, ...]) -> jax.Array:
    """bool[..., m_max]: which bit slots the modulation uses."""
    return jnp.arange(max(orders)) < bits_per_symbol_of(modulation, orders)[..., None]


def modulate(bits: jax.Array, modulation: jax.Array, orders: tuple[int, ...]) -> jax.Array:
    """Maps bits {0,1}[batch, ..., m_max] to complex64[batch, ...] by the frame's modulation.

    Args:
        bits: the first ``orders[modulation]`` slots of the last axis are used.
        modulation: int32[batch], an index into ``orders``.
        orders: bits per symbol of the constellations, for instance (2, 4, 6, 8).
    """
    index = modulation.reshape(modulation.shape + (1,) * (bits.ndim - 1 - modulation.ndim))
    symbols = qam.modulate(bits[..., : orders[0]])
    for i, m in enumerate(orders[1:], start=1):
        symbols = jnp.where(index == i, qam.modulate(bits[..., :m]), symbols)
    return symbols


def demap(
    y: jax.Array, n0: jax.Array, modulation: jax.Array, orders: tuple[int, ...]
) -> MixedDemap:
    """Exact LLRs and evidence of equalised symbols, the modulation traced.

    The sums over levels share their exponentials, which would underflow where a level is far
    from the symbol. Beyond 40 nats below the best level the metric is therefore compressed
    logarithmically: LLRs are exact up to about +-40 and grow slowly beyond, with a gradient that
    never vanishes, so that an overconfident network can find its way back.

    Args:
        y: complex64[batch, ...].
        n0: float32, variance of the complex noise, same shape as ``y`` or broadcast against it.
        modulation: int32[batch], an index into ``orders``.
        orders: bits per symbol of the constellations.
    """
    tables = (jnp.asarray(table)[modulation] for table in _padded_levels(orders))
    level, prior, label = tables  # [batch, P], [batch, P], [batch, P, k]
    batch, tiny = modulation.shape[0], 1e-37
    n0 = jnp.broadcast_to(n0, y.shape)

    def axis(part: jax.Array) -> tuple[jax.Array, jax.Array]:
        part, scale = part.reshape(batch, -1, 1), 1.0 / n0.reshape(batch, -1, 1)
        metric = prior[:, None] - jnp.square(part - level[:, None]) * scale
        top = _largest(metric)
        weight = jnp.exp(_compress(metric - top))
        one = jnp.einsum("bnp,bpk->bnk", weight, label)
        zero = jnp.einsum("bnp,bpk->bnk", weight, 1.0 - label)
        llr = jnp.log(one + tiny) - jnp.log(zero + tiny)
        evidence = jnp.log(jnp.sum(weight, axis=-1)) + top[..., 0]
        return llr.reshape(*y.shape, -1), evidence.reshape(y.shape)

    llr_i, evidence_i = axis(y.real)
    llr_q, evidence_q = axis(y.imag)
    llr = jnp.stack([llr_i, llr_q], axis=-1).reshape(*y.shape, max(orders))
    index = modulation.reshape(modulation.shape + (1,) * (y.ndim - 1))
    used = bit_mask(index, orders)
    return MixedDemap(jnp.where(used, llr, 0.0), evidence_i + evidence_q - jnp.log(n0))


def log_evidence(y: jax.Array, n0: jax.Array, orders: tuple[int, ...]) -> jax.Array:
    """ln p(y | modulation) of equalised symbols, for every modulation at once.

    Args:
        y: complex64[...].
        n0: float32, variance of the complex noise, broadcast against ``y``.
        orders: bits per symbol of the constellations.

    Returns:
        float32[..., n_orders], up to the constant -ln(pi).
    """
    return jnp.stack(evidence_of_orders(y, n0, orders), axis=-1)


def evidence_of_orders(y: jax.Array, n0: jax.Array, orders: tuple[int, ...]) -> list[jax.Array]:
    """:func:`log_evidence` as one array for each modulation.

    Sums over symbols are best taken before the modulations are put side by side: a compiler for
    CPUs makes of it all a loop over single elements, five times slower.

    The mean over a constellation's points factors into its two axes, sqrt(M) levels each; squared
    distances are compared with that of the nearest level, so that no exponential overflows and not
    all vanish.
    """
    n0 = jnp.broadcast_to(n0, jnp.broadcast_shapes(jnp.shape(n0), y.shape))
    scale, parts = 1.0 / n0, jnp.stack([y.real, y.imag])

    def evidence(m: int) -> jax.Array:
        levels = qam.axis_levels(m)[0]
        squares = [jnp.square(parts - float(a)) for a in levels]
        # Whatever is taken out of the sum is put back behind it: no slope of its own.
        nearest = jax.lax.stop_gradient(functools.reduce(jnp.minimum, squares))
        total = sum(jnp.exp((nearest - square) * scale) for square in squares)
        of_axes = jnp.log(total / levels.size) - nearest * scale
        return of_axes[0] + of_axes[1] + jnp.log(scale)

    return [evidence(m) for m in orders]


@jax.custom_jvp
def _largest(metric: jax.Array) -> jax.Array:
    """Maximum over the last axis, which stays.

    Its derivative is the mean over the entries within rounding errors of it: that of ``jnp.max`` is
    over those that equal it, none (0 / 0) where a compiler computes the metric once more for the
    backward pass and rounds it differently.
    """
    return jnp.max(metric, axis=-1, keepdims=True)


@_largest.defjvp
def _largest_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    top = _largest(*primals)
    near = primals[0] >= top - 1e-5 * (1.0 + jnp.abs(top))
    count = jnp.maximum(jnp.sum(near, axis=-1, keepdims=True), 1)
    return top, jnp.sum(jnp.where(near, tangents[0], 0.0), axis=-1, keepdims=True) / count


def _compress(metric: jax.Array) -> jax.Array:
    """Identity down to -40, then -40 - 4 ln(1 + (-40 - metric) / 4): -79 at -65000."""
    excess = jnp.maximum(-EXACT_NATS - metric, 0.0)
    return jnp.maximum(metric, -EXACT_NATS) - _SLOPE * jnp.log1p(excess / _SLOPE)


def _padded_levels(orders: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tables over modulations: levels [n, P], log priors [n, P] (-inf-like where unused) and
    labels [n, P, k], P and k those of the largest constellation."""
    n, k = len(orders), max(orders) // 2
    levels = np.zeros((n, 2**k), np.float32)
    priors = np.full((n, 2**k), -1e9, np.float32)
    labels = np.zeros((n, 2**k, k), np.float32)
    for i, m in enumerate(orders):
        level, label = qam.axis_levels(m)
        levels[i, : level.size] = level
        priors[i, : level.size] = -np.log(level.size)
        labels[i, : level.size, : m // 2] = label
    return levels, priors, labels
