"""Q8_0 and Q4_0 against gguf, which is bit-exact with llama.cpp's reference implementation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.compress import (
    fake_quant,
    q4_0_dequantize,
    q4_0_quantize,
    q8_0_dequantize,
    q8_0_quantize,
)

gguf = pytest.importorskip("gguf", reason="gguf is missing: run `make test-oracles`")
quants = pytest.importorskip("gguf.quants")

Q8_0, Q4_0 = gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0


def implementations(quantize):
    one_of_a_stack = jax.jit(lambda w: jax.tree.map(lambda x: x[0], jax.vmap(quantize)(w[None])))
    return {"eager": quantize, "jit": jax.jit(quantize), "vmap": one_of_a_stack}


def each_implementation(quantize):
    ways = implementations(quantize)
    return pytest.mark.parametrize("quantize", ways.values(), ids=ways)


def theirs(w):
    """Integers, scales and the weights that are read back; a row of theirs is an output channel."""
    data = quants.quantize(np.ascontiguousarray(w.T), Q8_0)
    blocks = data.reshape(-1, 34)
    scale = blocks[:, :2].copy().view(np.float16).reshape(w.shape[1], -1).T
    integers = blocks[:, 2:].view(np.int8).reshape(w.shape[1], -1).T
    return integers, scale, quants.dequantize(data, Q8_0).T


@each_implementation(q8_0_quantize)
def test_integers_scales_and_weights_are_equal(quantize):
    for seed in range(12):
        rng = np.random.default_rng(seed)
        w = (rng.normal(size=(256, 512)) * 10.0 ** rng.integers(-4, 4)).astype(np.float32)
        w[:32, 0] = 0.0
        integers, scale, weights = theirs(w)
        q = quantize(jnp.asarray(w))
        assert int((np.asarray(q.integers) != integers).sum()) == 0
        np.testing.assert_array_equal(q.scale, scale)
        np.testing.assert_array_equal(q8_0_dequantize(q), weights)


@each_implementation(q8_0_quantize)
def test_halves_go_away_from_zero_as_theirs_do(quantize):
    w = np.zeros((32, 7), np.float32)
    w[0] = 127.0 * 2.0 ** np.arange(-3, 4)
    w[1:] = (np.arange(31)[:, None] - 15.5) * 2.0 ** np.arange(-3, 4)
    integers, scale, _ = theirs(w)
    q = quantize(jnp.asarray(w))
    np.testing.assert_array_equal(q.integers, integers)
    np.testing.assert_array_equal(q.scale, scale)
    assert np.unique(integers[1:]).tolist() == [n for n in range(-16, 16) if n]


def theirs_of_four_bits(w):
    """As `theirs`, of Q4_0: the low halves of a block's bytes come first."""
    data = quants.quantize(np.ascontiguousarray(w.T), Q4_0)
    blocks = data.reshape(-1, 18)
    scale = blocks[:, :2].copy().view(np.float16).reshape(w.shape[1], -1).T
    halves = [blocks[:, 2:] & 15, blocks[:, 2:] >> 4]
    integers = np.concatenate(halves, axis=1).astype(np.int8) - 8
    return integers.reshape(w.shape[1], -1).T, scale, quants.dequantize(data, Q4_0).T


@each_implementation(q4_0_quantize)
def test_four_bits_are_equal(quantize):
    """Every third kernel lies on a grid that has the halves in it."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        w = rng.normal(size=(256, 512))
        w = np.round(7 * w) / 16 if seed % 3 == 0 else w
        w = (w * 10.0 ** rng.integers(-4, 4)).astype(np.float32)
        w[:32, 0] = 0.0
        integers, scale, weights = theirs_of_four_bits(w)
        q = quantize(jnp.asarray(w))
        assert int((np.asarray(q.integers) != integers).sum()) == 0
        np.testing.assert_array_equal(q.scale, scale)
        np.testing.assert_array_equal(q4_0_dequantize(q), weights)


def test_it_is_fake_quantization_in_groups_of_32_but_for_the_scale_and_ties():
    """Which is why `fake_quant` alone cannot write the file: here is what differs, and how much."""
    w = jnp.asarray(np.random.default_rng(3).normal(size=(256, 64)), jnp.float32)
    _, _, weights = theirs(np.asarray(w))
    seen = fake_quant(w, 8, group_size=32, bound="restricted")
    relative = np.abs(np.asarray(seen) - weights).max() / np.abs(weights).max()
    assert 0 < relative < 2**-10
