"""Fake quantization against qwix's QArray, which is of the ``half_step`` convention.

Its type is static, ours is traced. Differences are exactly zero, not within a tolerance.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.compress import absmax_scale, fake_quant, quantize_integers

qwix = pytest.importorskip("qwix", reason="qwix is missing: run `make test-oracles`")

BITS = (2, 3, 4, 5, 6, 7, 8)
SHAPE = (256, 96)
BLOCKS = {
    "channel": ({"channelwise_axes": [1]}, {}),
    "input": ({"channelwise_axes": [0]}, {"axis": 0}),
    "group": ({"channelwise_axes": [1], "tiled_axes": {0: 32}}, {"group_size": 32}),
}

each_block = pytest.mark.parametrize("theirs, ours", BLOCKS.values(), ids=BLOCKS)
each_bits = pytest.mark.parametrize("bits", BITS)


def weights(seed):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=SHAPE) * 10.0 ** rng.integers(-3, 3), jnp.float32)


@each_bits
@each_block
def test_fake_quantized_weights_are_equal(bits, theirs, ours):
    for seed in range(3):
        w = weights(seed)
        array = qwix.quantize(w, f"int{bits}", **theirs)
        seen = fake_quant(w, bits, bound="half_step", **ours)
        assert np.abs(np.asarray(seen) - np.asarray(qwix.dequantize(array))).max() == 0.0
        scale = absmax_scale(w, bits, bound="half_step", **ours)
        np.testing.assert_array_equal(scale, array.scale)
        integers = quantize_integers(w, bits, scale, bound="half_step")
        np.testing.assert_array_equal(integers, array.qvalue.astype(jnp.int32))


@each_bits
def test_with_one_scale_a_tensor_too(bits):
    """A single scale qwix divides out, where several are multiplied by 1 / (2^(b-1) - 1/2): that
    may be another last bit of the scale, and with theirs all is equal."""
    w = weights(4)
    array = qwix.quantize(w, f"int{bits}")
    scale = absmax_scale(w, bits, axis=None, bound="half_step")
    np.testing.assert_allclose(scale, array.scale, rtol=2e-7)
    seen = fake_quant(w, bits, bound="half_step", scale=array.scale)
    assert np.abs(np.asarray(seen) - np.asarray(qwix.dequantize(array))).max() == 0.0


@each_block
def test_one_program_with_traced_bits_equals_all_of_their_types(theirs, ours):
    w = weights(11)
    over_bits = jax.vmap(lambda b: fake_quant(w, b, bound="half_step", **ours))
    for bits, seen in zip(BITS, jax.jit(over_bits)(jnp.array(BITS)), strict=True):
        expected = np.asarray(qwix.dequantize(qwix.quantize(w, f"int{bits}", **theirs)))
        assert np.abs(np.asarray(seen) - expected).max() == 0.0
