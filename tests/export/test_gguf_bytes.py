"""Blocks are laid out as gguf lays them out, byte for byte."""

import gguf
import jax.numpy as jnp
import numpy as np
import pytest
from gguf import quants

from wfm_jax.compress import q4_0_dequantize, q4_0_quantize, q8_0_dequantize, q8_0_quantize
from wfm_jax.export import gguf_bytes

FORMATS = {
    "Q8_0": (
        q8_0_quantize,
        q8_0_dequantize,
        gguf_bytes.q8_0_bytes,
        gguf_bytes.q8_0_of_bytes,
    ),
    "Q4_0": (
        q4_0_quantize,
        q4_0_dequantize,
        gguf_bytes.q4_0_bytes,
        gguf_bytes.q4_0_of_bytes,
    ),
}


@pytest.mark.parametrize("shape", [(32, 1), (96, 5), (64, 64)])
@pytest.mark.parametrize("name", FORMATS)
def test_bytes_are_those_of_gguf_and_come_back(name, shape):
    quantize, dequantize, to_bytes, of_bytes = FORMATS[name]
    kind = gguf.GGMLQuantizationType[name]
    w = np.random.default_rng(shape[1]).normal(size=shape).astype(np.float32)
    w[:32, 0] = 0.0
    theirs = quants.quantize(np.ascontiguousarray(w.T), kind)
    q = quantize(jnp.asarray(w))
    rows = to_bytes(q)
    assert (rows.dtype, rows.shape) == (np.uint8, theirs.shape)
    assert rows.tobytes() == theirs.tobytes()
    back = of_bytes(rows)
    for one, other in zip(back, q, strict=True):
        assert np.asarray(one).dtype == np.asarray(other).dtype
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(dequantize(back).T, quants.dequantize(theirs, kind))
