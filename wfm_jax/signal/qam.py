"""Gray-mapped square QAM of 3GPP TS 38.211 section 5.1: points, modulation, soft demapping.

Bits alternate between the axes: b0, b2, ... drive the in-phase level, b1, b3, ... the quadrature
level. On an axis, the bits c0 c1 ... c_{k-1} select the integer level

    pam(c0 c1 ...) = (1 - 2 c0) * (2^(k-1) - pam(c1 ...)),    pam(c) = 1 - 2c,

so bit 0 is the positive side. Levels are divided by sqrt(2 (4^k - 1) / 3), which makes the mean
symbol energy one. Because the axes are independent, the exact log-likelihood ratio of an in-phase
bit depends on the real part alone: demapping costs O(sqrt(M)) per symbol instead of O(M).

LLRs are ln P(bit=1) / P(bit=0): logits, so that ``sigmoid(llr)`` is the bit's probability. This is
Sionna's sign; MATLAB's is the opposite.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

SUPPORTED_BITS_PER_SYMBOL = (2, 4, 6, 8, 10)


def check_bits_per_symbol(bits_per_symbol: int) -> int:
    """Returns the argument, or raises ValueError where it names no square QAM of 4-1024 points."""
    if bits_per_symbol not in SUPPORTED_BITS_PER_SYMBOL:
        raise ValueError(
            f"bits_per_symbol must be one of {SUPPORTED_BITS_PER_SYMBOL} (square QAM of 4 to 1024 "
            f"points), got {bits_per_symbol!r}"
        )
    return int(bits_per_symbol)


@functools.cache
def axis_levels(bits_per_symbol: int) -> tuple[np.ndarray, np.ndarray]:
    """Levels of one axis and their labels.

    Returns:
        ``levels`` float32[P] in the order of their MSB-first labels, P = 2^(bits_per_symbol/2),
        scaled for unit symbol energy; ``labels`` int32[P, bits_per_symbol/2] of {0, 1}.
    """
    k = check_bits_per_symbol(bits_per_symbol) // 2
    labels = (np.arange(2**k)[:, None] >> np.arange(k)[::-1]) & 1
    levels = 1 - 2 * labels[:, k - 1]
    for i in range(k - 2, -1, -1):
        levels = (1 - 2 * labels[:, i]) * (2 ** (k - 1 - i) - levels)
    return (levels / _norm(bits_per_symbol)).astype(np.float32), labels.astype(np.int32)


def _norm(bits_per_symbol: int) -> float:
    return float(np.sqrt(2 * (2**bits_per_symbol - 1) / 3))


def constellation(bits_per_symbol: int) -> jax.Array:
    """The constellation as complex64[2**bits_per_symbol]; the index is the MSB-first label.

    Raises:
        ValueError: no square QAM of 4 to 1024 points has this many bits.
    """
    m = check_bits_per_symbol(bits_per_symbol)
    labels = (np.arange(2**m)[:, None] >> np.arange(m)[::-1]) & 1
    return modulate(jnp.asarray(labels))


def modulate(bits: jax.Array) -> jax.Array:
    """Maps bits {0,1}[..., m] to unit-energy symbols complex64[...] of 2^m-QAM.

    Raises:
        ValueError: the last axis is no supported number of bits per symbol.
    """
    bits = jnp.asarray(bits)
    if bits.ndim == 0:
        raise ValueError("bits needs a last axis of bits_per_symbol entries, got a scalar")
    m = check_bits_per_symbol(bits.shape[-1])
    signs = 1.0 - 2.0 * bits.astype(jnp.float32)
    in_phase, quadrature = signs[..., 0::2], signs[..., 1::2]

    def pam(sign: jax.Array) -> jax.Array:
        k = m // 2
        level = sign[..., k - 1]
        for i in range(k - 2, -1, -1):
            level = sign[..., i] * (2.0 ** (k - 1 - i) - level)
        return level / _norm(m)

    return jax.lax.complex(pam(in_phase), pam(quadrature))


def demap(y: jax.Array, n0: jax.Array | float, bits_per_symbol: int, method: str = "exact"):
    """LLRs of the bits of equalised symbols in complex white noise.

    Args:
        y: complex64[...], symbol plus noise.
        n0: variance of the complex noise, broadcast against ``y``.
        bits_per_symbol: m of the 2^m-QAM.
        method: "exact" (log-sum-exp over the levels of an axis) or "maxlog".

    Returns:
        float32[..., m], ln P(bit=1)/P(bit=0).

    Raises:
        ValueError: unknown ``method`` or unsupported ``bits_per_symbol``.
    """
    if method not in ("exact", "maxlog"):
        raise ValueError(f'method must be "exact" or "maxlog", got {method!r}')
    m = check_bits_per_symbol(bits_per_symbol)
    levels, labels = axis_levels(m)
    reduce = jax.nn.logsumexp if method == "exact" else jnp.max
    y = jnp.asarray(y)
    n0 = jnp.asarray(n0, jnp.float32)

    def axis_llrs(part: jax.Array) -> jax.Array:
        if m == 2:
            return (2.0 * part * (levels[1] - levels[0]) / n0)[..., None]
        # The distances as they are: without their common part^2 the difference of two metrics
        # would be one of large numbers, off by 3e-4 at 30 dB in float32.
        metric = -jnp.square(part[..., None] - levels) / n0[..., None]
        return jnp.stack(
            [
                reduce(metric[..., labels[:, i] == 1], axis=-1)
                - reduce(metric[..., labels[:, i] == 0], axis=-1)
                for i in range(m // 2)
            ],
            axis=-1,
        )

    return _interleave(axis_llrs(y.real), axis_llrs(y.imag))


def _interleave(in_phase: jax.Array, quadrature: jax.Array) -> jax.Array:
    """[..., k] and [..., k] to [..., 2k]: i0 q0 i1 q1 ..."""
    shape = (*in_phase.shape[:-1], 2 * in_phase.shape[-1])
    return jnp.stack([in_phase, quadrature], axis=-1).reshape(shape)
