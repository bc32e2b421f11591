"""QAM where every frame of a batch has its own order: the modulation is a traced index.

A batch that mixes 4-, 16-, 64- and 256-QAM keeps ``m_max`` bit slots per symbol; a frame uses the
first ``m`` of them. Levels of the smaller constellations are repeated, so that one program demaps
all of them.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.signal import qam

EXACT_NATS = 40.0
SLOPE = 4.0
TINY = 1e-36
_ROUNDING_NATS = 80.0
LEAST = 1e-30


class MixedDemap(NamedTuple):
    """Result of :func:`demap`.

    Attributes:
        llr: float32[..., m_max]; slots beyond the frame's bits per symbol hold 0.
        log_evidence: float32[...], ln p(y | modulation) up to the constant -ln(pi).
    """

    llr: jax.Array
    log_evidence: jax.Array


def bits_per_symbol_of(modulation: jax.Array, orders: tuple[int, ...]) -> jax.Array:
    """Bits per symbol of each modulation index, int32 of the shape of ``modulation``."""
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
    batch, n0 = modulation.shape[0], jnp.broadcast_to(n0, y.shape)

    def both_axes(in_phase: jax.Array, quadrature: jax.Array) -> jax.Array:
        """[batch, 1, 2n], against levels [batch, P, 1]: short axes are not the last one."""
        return jnp.stack([in_phase, quadrature], axis=1).reshape(batch, 1, -1)

    levels = jnp.asarray(repeated_levels(orders))[modulation][:, :, None]
    part, scale = both_axes(y.real, y.imag), 1.0 / both_axes(n0, n0)
    nearest = jax.lax.stop_gradient(_nearest(part, levels))

    llr = _axis_llrs(part, scale, nearest, levels)  # [batch, k, 2n]
    llr = jnp.moveaxis(llr.reshape(batch, -1, 2, y.size // batch), 3, 1)
    index = modulation.reshape(modulation.shape + (1,) * (y.ndim - 1))
    used = bit_mask(index, orders)

    best = jax.lax.stop_gradient(jnp.square(part - nearest))
    metric = jnp.minimum((best - jnp.square(part - levels)) * scale, _ROUNDING_NATS)
    mean = jnp.maximum(jnp.mean(jnp.exp(metric), axis=1, keepdims=True), LEAST)
    evidence = jnp.log(mean) - best * scale
    evidence = jnp.sum(evidence.reshape(batch, 2, -1), axis=1).reshape(y.shape)
    return MixedDemap(
        jnp.where(used, llr.reshape(*y.shape, max(orders)), 0.0), evidence - jnp.log(n0)
    )


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
    """:func:`log_evidence` as one array for each modulation, float32[...] of the shape of ``y``.

    Arguments as of :func:`log_evidence`.

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
        metrics = (jnp.minimum((nearest - square) * scale, _ROUNDING_NATS) for square in squares)
        mean = sum(jnp.exp(metric) for metric in metrics) / levels.size
        of_axes = jnp.log(jnp.maximum(mean, LEAST)) - nearest * scale
        return of_axes[0] + of_axes[1] + jnp.log(scale)

    return [evidence(m) for m in orders]


@jax.custom_jvp
def _axis_llrs(
    part: jax.Array, scale: jax.Array, nearest: jax.Array, levels: jax.Array
) -> jax.Array:
    """LLRs of an axis's bits, MSB first, from its sums over levels.

    Args:
        part: float32[batch, 1, n], real or imaginary parts.
        scale: float32[batch, 1, n], 1 / n0.
        nearest: float32[batch, 1, n], the level next to each.
        levels: float32[batch, P, 1] in the order of their labels; may repeat.

    Returns:
        float32[batch, k, n], P = 2^k.
    """
    one, zero = _sums_by_bit(_weigh(part, scale, nearest, levels).weight)
    return jnp.log((one + TINY) / (zero + TINY))


@_axis_llrs.defjvp
def _axis_slopes(
    primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]
) -> tuple[jax.Array, jax.Array]:
    """d ln sum = 2/n0 E[slope (a - nearest)] dy + E[slope behind] d(1/n0), E over the levels a in a
    sum by their weights: what is kept for the backward pass is k arrays, not P."""
    part, scale, nearest, levels = primals
    weight, slope, behind = _weigh(part, scale, nearest, levels)
    one, zero = (total + TINY for total in _sums_by_bit(weight))

    def difference(of_levels: jax.Array) -> jax.Array:
        in_one, in_zero = _sums_by_bit(weight * slope * of_levels)
        return in_one / one - in_zero / zero

    by_part, by_scale = 2.0 * scale * difference(levels - nearest), difference(behind)
    return jnp.log(one / zero), by_part * tangents[0] + by_scale * tangents[1]


class _Weighed(NamedTuple):
    """``weight`` of each level [batch, P, n], how its logarithm follows the metric (``slope``, 1
    down to -40 nats), and by how much its squared distance is ``behind``: at most 0."""

    weight: jax.Array
    slope: jax.Array
    behind: jax.Array


def _weigh(part: jax.Array, scale: jax.Array, nearest: jax.Array, levels: jax.Array) -> _Weighed:
    """exp of the compressed metric: the identity down to -40 nats, then -40 - 4 ln(1 + (-40 -
    metric) / 4), -79 at -65000."""
    step = levels - nearest
    behind = step * (2.0 * (part - nearest) - step)
    metric = jnp.minimum(behind * scale, 0.0)
    slope = 1.0 / (1.0 + jnp.maximum(-EXACT_NATS - metric, 0.0) / SLOPE)
    weight = jnp.exp(jnp.maximum(metric, -EXACT_NATS)) * jnp.square(jnp.square(slope))
    return _Weighed(weight, slope, behind)


def _sums_by_bit(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Of [batch, P, n] over the labels whose bit is 1, and over the others: [batch, k, n] each."""
    n_bits = (x.shape[1] - 1).bit_length()
    one = qam.axis_levels(2 * n_bits)[1].T.astype(np.float32)
    members = jnp.concatenate([one, 1.0 - one])
    members = jnp.broadcast_to(members, (x.shape[0], *members.shape))
    sums = jnp.einsum("bkp,bpn->bkn", members, x, precision="highest")
    return sums[:, :n_bits], sums[:, n_bits:]


def _nearest(part: jax.Array, levels: jax.Array) -> jax.Array:
    """The level next to each part: levels are the odd multiples of half their spacing."""
    half = jnp.min(jnp.abs(levels), axis=1, keepdims=True)
    outermost = jnp.max(levels, axis=1, keepdims=True)
    return jnp.clip(half * (2.0 * jnp.floor(part / (2.0 * half)) + 1.0), -outermost, outermost)


def repeated_levels(orders: tuple[int, ...]) -> np.ndarray:
    """Levels of an axis by label, float32[n_orders, P], P those of the largest constellation.

    A smaller one repeats its levels: its labels are the first bits of the largest one's, and bits
    beyond them are as often 1 as 0 at every level.
    """
    most = 2 ** (max(orders) // 2)
    levels = (qam.axis_levels(m)[0] for m in orders)
    return np.stack([np.repeat(of_order, most // of_order.size) for of_order in levels])
