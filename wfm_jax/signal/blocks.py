"""The simplest link: QAM over flat Rician block fading, and the receiver that knows the channel.

Each block of symbols sees one gain,

    h = sqrt(K/(K+1)) exp(j phi) + sqrt(1/(K+1)) g,    phi uniform, g from CN(0, 1),

so E|h|^2 = 1, and white noise of variance n0. K is the power of the LOS ray over the scattered
power. Bits of a block fade together: what they tell of an error rate, they tell per block.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from wfm_jax.signal import qam
from wfm_jax.signal.noise import awgn, complex_normal
from wfm_jax.signal.words import random_bits, random_uniform


class Blocks(NamedTuple):
    """A batch of received blocks and the truth about them.

    Attributes:
        bits: int8[batch, block, m] of {0, 1}.
        received: complex64[batch, block].
        gain: complex64[batch], of the channel.
        n0: float32[batch], variance of the complex noise.
    """

    bits: jax.Array
    received: jax.Array
    gain: jax.Array
    n0: jax.Array


def transmit_blocks(
    key: jax.Array,
    *,
    bits_per_symbol: int,
    k_linear: jax.Array | float,
    n0: jax.Array | float,
    batch_size: int,
    block_length: int,
) -> Blocks:
    """Sends random bits through a fresh channel per block.

    Args:
        key: typed threefry key.
        bits_per_symbol: m of the 2^m-QAM.
        k_linear: LOS over scattered power, one number or [batch]; may be traced. 0 is Rayleigh,
            inf no fading.
        n0: variance of the complex noise, one number or [batch]; may be traced. Symbols have unit
            energy, so 1/n0 is the mean SNR.
        batch_size: number of blocks.
        block_length: symbols in each.

    Raises:
        ValueError: unsupported ``bits_per_symbol``, sizes below one, ``k_linear`` or ``n0`` of
            another shape, negative or NaN; ``n0`` infinite.
    """
    m = qam.check_bits_per_symbol(bits_per_symbol)
    for name, size in (("batch_size", batch_size), ("block_length", block_length)):
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
    k = _per_block("k_linear", k_linear, batch_size, np.inf)
    n0 = _per_block("n0", n0, batch_size, float(np.finfo(np.float32).max))
    key_bits, key_gain, key_noise = jax.random.split(key, 3)
    bits = random_bits(key_bits, (batch_size, block_length, m))
    gain = block_gain(key_gain, k)
    received = awgn(key_noise, gain[:, None] * qam.modulate(bits), n0[:, None])
    return Blocks(bits, received, gain, n0)


def block_gain(key: jax.Array, k_linear: jax.Array) -> jax.Array:
    """Rician gains of unit mean power, complex64 of ``k_linear``'s shape."""
    key_los, key_scattered = jax.random.split(key)
    phase = 2.0 * jnp.pi * random_uniform(key_los, k_linear.shape)
    scattered = 1.0 / (k_linear + 1.0)
    los = jnp.sqrt(1.0 - scattered)
    ray = jax.lax.complex(los * jnp.cos(phase), los * jnp.sin(phase))
    return ray + jnp.sqrt(scattered) * complex_normal(key_scattered, k_linear.shape)


def demap_blocks(blocks: Blocks, method: str = "exact") -> jax.Array:
    """LLRs of a receiver that knows gain and noise, float32[batch, block, m]."""
    power = jnp.square(blocks.gain.real) + jnp.square(blocks.gain.imag)
    equalised = blocks.received * (jnp.conj(blocks.gain) / power)[:, None]
    return qam.demap(equalised, (blocks.n0 / power)[:, None], blocks.bits.shape[-1], method)


def _per_block(name: str, value: jax.Array | float, batch_size: int, most: float) -> jax.Array:
    """``value`` as float32[batch]; ValueError where its shape or, if it is known, it is wrong."""
    if not isinstance(value, Tracer):
        outside = ~((np.asarray(value) >= 0.0) & (np.asarray(value) <= most))
        if np.any(outside):
            raise ValueError(f"{name} must be in 0...{most:.4g}, got {np.asarray(value)}")
    array = jnp.asarray(value, jnp.float32)
    if array.shape not in ((), (batch_size,)):
        raise ValueError(f"{name} must be a number or [{batch_size}], got shape {array.shape}")
    return jnp.broadcast_to(array, (batch_size,))
