"""Bits to LLRs, whole and stage by stage: flat Rician blocks, and OFDM over TDL-D.

Each stage is compiled alone, with its inputs ready: what it costs when nothing is fused into its
neighbours. ``all`` is one program from a key to bits and LLRs, with a fresh channel per block.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.signal import blocks, channel, constellations, fading, profiles, qam
from wfm_jax.signal.noise import awgn
from wfm_jax.signal.tapped_delay_line import TDL_D
from wfm_jax.signal.words import random_bits

K_LINEAR, N0 = 5.0, 0.01
N_SYMBOLS, N_SUBCARRIERS, SPACING_HZ, PREFIX = 14, 64, 30e3, 16
CARRIER_HZ, SPEED_M_S, DELAY_SPREAD_S, N_SINUSOIDS = 3.5e9, 3.0, 100e-9, 20
ARRIVAL_RAD = float(np.arccos(0.7))
OFDM_SYMBOL_S = (1 + PREFIX / N_SUBCARRIERS) / SPACING_HZ


class Case(NamedTuple):
    """One measurement.

    Attributes:
        channel: "flat" or "ofdm".
        bits_per_symbol: m of the 2^m-QAM.
        batch_size: frames in a run: blocks with a channel of their own.
        frame: shape of a frame's symbols, (block length,) or (OFDM symbols, subcarriers).
        target: how many times the peer's throughput is asked for, or None.
    """

    channel: str
    bits_per_symbol: int
    batch_size: int
    frame: tuple[int, ...]
    target: float | None

    @property
    def name(self) -> str:
        where = {"flat": "flat Rician", "ofdm": "OFDM TDL-D"}[self.channel]
        return f"{where} {'x'.join(map(str, self.frame))}, {2**self.bits_per_symbol}-QAM"

    @property
    def n_symbols(self) -> int:
        return self.batch_size * int(np.prod(self.frame))


class Stage(NamedTuple):
    """A function, its inputs, and how often the loop runs that is nearly all of it (1: no loop)."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    trips: int = 1


def cases(orders: list[int], batch_size: int, block_length: int) -> list[Case]:
    """Flat and OFDM cases of the given bits per symbol, with the speed-up asked of each."""
    flat_targets = {4: 8.0, 6: 25.0, 8: 60.0}
    grid = (N_SYMBOLS, N_SUBCARRIERS)
    flat = [Case("flat", m, batch_size, (block_length,), flat_targets.get(m)) for m in orders]
    return flat + [Case("ofdm", m, batch_size, grid, 4.0) for m in orders if m < 8]


def whole(case: Case) -> Callable[[jax.Array], tuple[jax.Array, jax.Array]]:
    """The case as one function of a key: bits and LLRs."""

    def flat(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        sent = blocks.transmit_blocks(
            key,
            bits_per_symbol=case.bits_per_symbol,
            k_linear=K_LINEAR,
            n0=N0,
            batch_size=case.batch_size,
            block_length=case.frame[0],
        )
        return sent.bits, blocks.demap_blocks(sent)

    def ofdm(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        key_bits, key_channel, key_noise = jax.random.split(key, 3)
        bits = random_bits(key_bits, _bits_shape(case))
        response = _gain(case, key_channel)
        received = awgn(key_noise, response * qam.modulate(bits), N0)
        return bits, _equalise_and_demap(case, received, response)

    return {"flat": flat, "ofdm": ofdm}[case.channel]


def stages(case: Case) -> dict[str, Stage]:
    """The case's stages in order, and at last the whole."""
    key, m = jax.random.key(1), case.bits_per_symbol
    bits = random_bits(key, _bits_shape(case))
    symbols, gain = qam.modulate(bits), _gain(case, key)
    received = awgn(key, gain * symbols, N0)
    points = qam.constellation(m)

    def generic(y: jax.Array, h: jax.Array) -> jax.Array:
        return constellations.demap(*_equalise(y, h), points)

    return {
        "bits": Stage(lambda key: random_bits(key, _bits_shape(case)), (key,)),
        "modulation": Stage(qam.modulate, (bits,)),
        "channel": Stage(lambda key, x: _gain(case, key) * x, (key, symbols)),
        "noise": Stage(lambda key, x: awgn(key, x, N0), (key, symbols)),
        "demapping": Stage(lambda y, h: _equalise_and_demap(case, y, h), (received, gain)),
        "demapping, generic": Stage(generic, (received, gain), trips=m),
        "all": Stage(whole(case), (key,)),
    }


def repeated(stage: Stage) -> Callable[[], object]:
    """A compiled call that waits for its result; a first argument that is a key changes."""
    run, (first, *rest) = jax.jit(stage.function), stage.arguments
    if jnp.issubdtype(first.dtype, jax.dtypes.prng_key):
        keys = itertools.cycle(list(jax.random.split(first, 64)))
        return lambda: jax.block_until_ready(run(next(keys), *rest))
    return lambda: jax.block_until_ready(run(first, *rest))


def counted(stage: Stage, case: Case) -> dict[str, float]:
    """The compiler's own count, per symbol, and the memory of a frame in bytes.

    The compiler counts the body of a loop once, hence ``trips``.
    """
    compiled = jax.jit(stage.function).lower(*stage.arguments).compile()
    cost, memory = compiled.cost_analysis() or {}, compiled.memory_analysis()
    per_symbol = stage.trips / case.n_symbols
    return {
        "operations_per_symbol": cost.get("flops", 0.0) * per_symbol,
        "transcendentals_per_symbol": cost.get("transcendentals", 0.0) * per_symbol,
        "bytes_per_symbol": cost.get("bytes accessed", 0.0) * per_symbol,
        "temporary_bytes_per_frame": getattr(memory, "temp_size_in_bytes", 0) / case.batch_size,
        "output_bytes_per_frame": getattr(memory, "output_size_in_bytes", 0) / case.batch_size,
    }


def bit_error_rate(case: Case) -> float:
    """Of the whole case, over one run."""
    bits, llr = jax.jit(whole(case))(jax.random.key(0))
    return float(jnp.mean((llr > 0) != (bits == 1)))


def _bits_shape(case: Case) -> tuple[int, ...]:
    return (case.batch_size, *case.frame, case.bits_per_symbol)


def _gain(case: Case, key: jax.Array) -> jax.Array:
    """Channel of every symbol, complex64, broadcast against [batch, *frame]."""
    if case.channel == "flat":
        return blocks.block_gain(key, jnp.full(case.batch_size, K_LINEAR))[:, None]
    n_times, n_subcarriers = case.frame
    profile = profiles.with_delay_spread(TDL_D.profile, DELAY_SPREAD_S)
    doppler_hz = jnp.full(case.batch_size, SPEED_M_S * CARRIER_HZ / 299792458.0)
    gains = fading.ray_gains(
        key,
        profiles.tile(profile, case.batch_size),
        doppler_hz,
        jnp.full(case.batch_size, ARRIVAL_RAD),
        jnp.arange(n_times) * OFDM_SYMBOL_S,
        n_sinusoids=N_SINUSOIDS,
    )
    frequencies_hz = (np.arange(n_subcarriers) - n_subcarriers // 2) * SPACING_HZ
    return channel.frequency_response(gains, profile.delays_s, frequencies_hz)


def _equalise(received: jax.Array, gain: jax.Array) -> tuple[jax.Array, jax.Array]:
    power = jnp.square(gain.real) + jnp.square(gain.imag)
    return received * (jnp.conj(gain) / power), N0 / power


def _equalise_and_demap(case: Case, received: jax.Array, gain: jax.Array) -> jax.Array:
    return qam.demap(*_equalise(received, gain), case.bits_per_symbol)
