"""What a new symbol costs with a cache, beside a full pass."""

import dataclasses
import functools
import statistics
import time

import jax
import jax.numpy as jnp
import pytest

from tests import small
from tests.model.streamed import READS
from wfm_jax.evaluate.products import matrix_products
from wfm_jax.model import build_streaming, pilots_of, prepare, preset


def macs(function, params, inputs):
    return sum(product.macs for product in matrix_products(function, params, inputs))


@functools.cache
def frame_of_14():
    """A nano model on the NR-like frame of 14 symbols, one frame's inputs, by shape."""
    config = dataclasses.replace(preset("nano", small.NR_LIKE), **READS)
    stream, params = build_streaming(config, jax.random.key(0))
    return config, stream, params


def test_a_new_symbol_takes_a_fifth_of_the_operations_at_most():
    """On 14 symbols, counted in the programs: a step against the full pass, and against what a
    receiver without a cache would do halfway, a full pass over the 7 symbols that have arrived."""
    config, stream, params = frame_of_14()

    def step_macs():
        inputs = inputs_of(config)
        cache = jax.eval_shape(stream.begin, params, pilots_of_shapes(config, inputs))
        symbol = jax.ShapeDtypeStruct((1, config.link.n_subcarriers), jnp.complex64)
        return macs(lambda params, x: stream.step(params, *x), params, (cache, symbol))

    step, full = step_macs(), macs(stream.apply, params, inputs_of(config))
    assert full >= 14 * step
    shorter = dataclasses.replace(config.link, n_symbols=7, pilot_symbols=(0,))
    shorter = dataclasses.replace(config, link=shorter)
    other, _ = build_streaming(shorter, jax.random.key(0))
    assert macs(other.apply, params, inputs_of(shorter)) >= 5 * step


def inputs_of(config):
    frame = small.received(config.link, 1, seed=0)
    return jax.eval_shape(lambda: prepare(config, frame, jnp.zeros(1, jnp.int32))[0])


def pilots_of_shapes(config, inputs):
    return jax.eval_shape(functools.partial(pilots_of, config), inputs)


@pytest.mark.slow
def test_a_new_symbol_takes_a_fifth_of_the_time_at_most():
    """Pairs of a full pass and a step one after the other, median of their ratios; 8 frames."""
    config, stream, params = frame_of_14()
    frame = small.received(config.link, 8, seed=0)
    inputs, _ = jax.jit(lambda: prepare(config, frame, jnp.arange(8) % 4))()
    apply, begin = jax.jit(stream.apply), jax.jit(stream.begin)
    step = jax.jit(stream.step, donate_argnums=1)
    pilots, symbol = pilots_of(config, inputs), inputs.grid[:, 0]
    ratios = []
    for turn in range(28):
        if turn % 14 == 0:
            cache = jax.block_until_ready(begin(params, pilots))
        began = time.perf_counter()
        jax.block_until_ready(apply(params, inputs))
        between = time.perf_counter()
        cache, _ = jax.block_until_ready(step(params, cache, symbol))
        ratios.append((between - began) / (time.perf_counter() - between))
    assert statistics.median(ratios[1:]) >= 5.0
