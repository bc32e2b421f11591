"""NF4 and double quantization against bitsandbytes, on the CPU.

Two things its CPU kernels do not do as its others: the vectorised 4-bit dequantization takes the
wrong block where a row is shorter than a block or ends inside one, so arrays are flat here (blocks
run over the flattened weights in both libraries); and 8-bit codes are found to within 2^-16 of the
block's largest, so that close to the middle between two codes it may be the farther one.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.compress import QuantizedAbsmax, nf4_dequantize, nf4_quantize
from wfm_jax.compress.dynamic_map import (
    DYNAMIC_MAP,
    Codes8,
    dequantize_dynamic,
    quantize_dynamic,
)
from wfm_jax.compress.nf4 import NF4_LEVELS

torch = pytest.importorskip("torch", reason="PyTorch is missing: run `make test-oracles`")
theirs = pytest.importorskip(
    "bitsandbytes.functional", reason="bitsandbytes is missing: run `make test-oracles`"
)


def weights(size, seed=31):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=size) * 0.02).astype(np.float32)


def their_codes(packed, size):
    """Two codes a byte, the first in the upper half."""
    data = packed.numpy().reshape(-1)
    return np.stack([data >> 4, data & 15], axis=1).reshape(-1)[:size]


def test_codebooks_are_equal():
    np.testing.assert_array_equal(NF4_LEVELS, theirs.get_4bit_type("nf4", "cpu").numpy())
    np.testing.assert_array_equal(DYNAMIC_MAP, theirs.create_dynamic_map().numpy())


@pytest.mark.parametrize("block_size", [32, 64, 256])
@pytest.mark.parametrize("size", [64 * 1024, 64 * 63 + 20])
def test_codes_magnitudes_and_weights_are_equal(size, block_size):
    w = weights(size)
    packed, state = theirs.quantize_4bit(
        torch.from_numpy(w), blocksize=block_size, quant_type="nf4"
    )
    q = nf4_quantize(jnp.asarray(w), block_size=block_size)
    np.testing.assert_array_equal(q.codes, their_codes(packed, size))
    np.testing.assert_array_equal(q.absmax, state.absmax.numpy())
    expected = theirs.dequantize_4bit(packed, state).numpy().reshape(-1)
    assert np.abs(np.asarray(nf4_dequantize(q)) - expected).max() == 0.0
    traced = jax.jit(lambda w: nf4_dequantize(nf4_quantize(w, block_size=block_size)))(w)
    assert np.abs(np.asarray(traced) - expected).max() == 0.0


def sure(x, absmax):
    """Where a value is farther than 2^-16 from the middle between any two codes."""
    scaled = np.asarray(x) / np.repeat(absmax, 256)[: x.size]
    middles = (DYNAMIC_MAP[1:] + DYNAMIC_MAP[:-1]) / 2
    return np.abs(scaled[:, None] - middles).min(axis=1) > 2**-16


@pytest.mark.parametrize("size", [700, 2048, 100_000])
def test_eight_bit_codes_are_equal_and_what_they_stand_for(size):
    x = weights(size)
    codes, state = theirs.quantize_blockwise(torch.from_numpy(x), blocksize=256)
    q = quantize_dynamic(jnp.asarray(x))
    np.testing.assert_array_equal(q.absmax, state.absmax.numpy())
    compared = sure(x, q.absmax)
    assert compared.mean() > 0.98
    np.testing.assert_array_equal(np.asarray(q.codes)[compared], codes.numpy()[compared])
    expected = theirs.dequantize_blockwise(codes, state).numpy()
    with_theirs = q._replace(codes=jnp.asarray(codes.numpy()))
    np.testing.assert_array_equal(dequantize_dynamic(with_theirs), expected)


@pytest.mark.parametrize("size", [64 * 300, 64 * 1024])
def test_double_quantization_is_equal(size):
    """With their mean of the magnitudes: ours is summed in another order, and differs in the last
    bit. Of all weights the difference is that of a few magnitudes' codes."""
    w = weights(size)
    packed, state = theirs.quantize_4bit(
        torch.from_numpy(w), blocksize=64, compress_statistics=True, quant_type="nf4"
    )
    expected = theirs.dequantize_4bit(packed, state).numpy().reshape(-1)
    plain, double = nf4_quantize(jnp.asarray(w)), nf4_quantize(jnp.asarray(w), double_quant=True)
    assert isinstance(plain.absmax, jax.Array)
    assert isinstance(double.absmax, QuantizedAbsmax)
    np.testing.assert_array_equal(double.codes, their_codes(packed, size))
    np.testing.assert_allclose(double.absmax.offset, state.offset.numpy(), rtol=1e-6)

    offset = jnp.float32(state.offset.numpy())
    codes = quantize_dynamic(plain.absmax - offset)
    np.testing.assert_array_equal(codes.absmax, state.state2.absmax.numpy())
    compared = sure(plain.absmax - offset, codes.absmax)
    assert compared.mean() > 0.97
    their_absmax = state.absmax.numpy()
    np.testing.assert_array_equal(np.asarray(codes.codes)[compared], their_absmax[compared])
    seen = np.asarray(nf4_dequantize(plain._replace(absmax=QuantizedAbsmax(codes, offset))))
    assert np.abs(seen - expected)[np.repeat(compared, 64)].max() == 0.0

    with_theirs = QuantizedAbsmax(codes._replace(codes=jnp.asarray(their_absmax)), offset)
    seen = np.asarray(nf4_dequantize(plain._replace(absmax=with_theirs)))
    assert np.abs(seen - expected).max() == 0.0
    ours = np.asarray(nf4_dequantize(double))
    assert np.linalg.norm(ours - expected) < 0.01 * np.linalg.norm(expected - w)


def test_relative_errors_are_equal():
    """.092 without and with double quantization, on the same Gaussian weights."""
    w = weights(1 << 18)
    for double_quant in (False, True):
        packed, state = theirs.quantize_4bit(
            torch.from_numpy(w), blocksize=64, compress_statistics=double_quant, quant_type="nf4"
        )
        expected = np.linalg.norm(theirs.dequantize_4bit(packed, state).numpy().reshape(-1) - w)
        seen = nf4_dequantize(nf4_quantize(jnp.asarray(w), double_quant=double_quant))
        error = np.linalg.norm(np.asarray(seen) - w)
        assert error == pytest.approx(expected, rel=1e-5)
        assert 0.0915 < error / np.linalg.norm(w) < 0.0935


def test_codes_of_a_stored_state_are_read_alike():
    """Any codes, not only those of weights: all 256 values of the map, and the sixteen levels."""
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 256, 512).astype(np.uint8)
    absmax = np.array([0.5, 3.0], np.float32)
    expected = theirs.dequantize_blockwise(
        torch.from_numpy(codes),
        absmax=torch.from_numpy(absmax),
        code=theirs.create_dynamic_map(),
        blocksize=256,
    )
    seen = dequantize_dynamic(Codes8(jnp.asarray(codes), jnp.asarray(absmax)))
    np.testing.assert_array_equal(seen, expected.numpy())
