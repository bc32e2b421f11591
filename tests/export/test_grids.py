"""Whatever compress makes of weights, the file gives them back bit for bit, at the bytes stated."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfm_jax import compress
from wfm_jax.compress.awq import input_scale, snap
from wfm_jax.compress.dynamic_map import Codes8, quantize_dynamic
from wfm_jax.compress.nf4 import NF4_LEVELS
from wfm_jax.export.bound import entropy_bound
from wfm_jax.export.from_model import pack_model
from wfm_jax.export.grids import NF4, Affine, Float, Uniform
from wfm_jax.export.packed import PackedFileError, pack, size_breakdown, unpack
from wfm_jax.export.tensors import PackedTensor

KEY = jax.random.key(5)


def weights_of(shape, seed=0):
    w = np.random.default_rng(seed).normal(size=shape)
    return jnp.asarray(w * np.exp(np.linspace(-2, 2, shape[1])), jnp.float32)


def statistics(w):
    power = np.exp(np.random.default_rng(1).normal(size=w.shape[0]))
    second = jnp.asarray(np.diag(power) + 0.1, jnp.float32)
    return compress.LeafStats(jnp.float32(9), second, jnp.asarray(9 * np.sqrt(power)), w)


def stage(transform, params):
    """The weights that the forward pass sees, compiled, and the state."""
    stats = {path: statistics(w) for path, w in compress.flatten(params).items()}
    params, state = transform.update(params, transform.init(params, key=KEY), stats)
    return jax.jit(transform.apply)(params, state)["w"], state


def uniform(w, bits, *, bound="restricted", group_size=None, scale="absmax"):
    method = compress.quantize(bits, bound=bound, group_size=group_size, scale=scale)
    seen, state = stage(method, {"w": w})
    return seen, Uniform(state.bits["w"], state.scale["w"])


def gptq(w, bits):
    seen, state = stage(compress.gptq_quantize(bits), {"w": w})
    return seen, Uniform(state.bits["w"], state.scale["w"])


def learned(w, bits, *, axis=-1):
    """Scales as if they had been trained since, one of them below zero."""
    scale = compress.lsq_init({"w": w}, "*", bits, axis=axis)["w"]
    scale = (scale * jnp.linspace(0.7, 1.3, scale.size)).at[0, 0].multiply(-1)
    seen = jax.jit(lambda w, s: compress.lsq_apply({"w": w}, {"w": s}, bits)["w"])(w, scale)
    return seen, Uniform(bits, scale)


def affine(w, bits, *, axis=-1, group_size=None):
    method = compress.quantize_affine(bits, axis=axis, group_size=group_size)
    seen, state = stage(method, {"w": w})
    return seen, Affine(state.bits["w"], state.scale["w"], state.zero_point["w"])


def awq(w, bits, *, group_size=None, bound="restricted"):
    method = compress.awq_quantize(bits, group_size=group_size, bound=bound)
    seen, state = stage(method, {"w": w})
    return seen, Uniform(state.bits["w"], state.scale["w"], state.inputs["w"])


def awq_at(w, bits, alpha):
    """With row factors of a given exponent, which the search might not choose."""
    inputs = input_scale(statistics(w).absolute, alpha)
    scale = compress.absmax_scale(w * inputs, bits)
    return jax.jit(partial(snap, bound="restricted"))(w, bits, scale, inputs), Uniform(
        bits, scale, inputs
    )


def nf4(w, *, block_size=64, double_quant=False):
    method = compress.nf4(block_size=block_size, double_quant=double_quant)
    seen, state = stage(method, {"w": w})
    return seen, NF4(state.absmax["w"])


def q8_0(w):
    q = compress.q8_0_quantize(w)
    return jax.jit(compress.q8_0_dequantize)(q), Uniform(8, q.scale)


EVERY = {
    "uniform 2 bits, mse": lambda w: uniform(w, 2, scale="mse"),
    "uniform 3 bits, half a step": lambda w: uniform(w, 3, bound="half_step"),
    "uniform 5 bits, groups": lambda w: uniform(w, 5, group_size=w.shape[0] // 2),
    "uniform 8 bits": lambda w: uniform(w, 8),
    "gptq 3 bits": lambda w: gptq(w, 3),
    "learned 2 bits": lambda w: learned(w, 2),
    "learned 4 bits, one scale": lambda w: learned(w, 4, axis=None),
    "affine 2 bits": lambda w: affine(w, 2),
    "affine 3 bits, groups": lambda w: affine(w, 3, group_size=w.shape[0] // 2),
    "affine 4 bits, one grid": lambda w: affine(w, 4, axis=None),
    "affine 8 bits": lambda w: affine(w + 3, 8),
    "awq 3 bits": lambda w: awq(w, 3),
    "awq 4 bits, groups": lambda w: awq(w, 4, group_size=w.shape[0] // 2, bound="half_step"),
    "awq 4 bits, alpha 1": lambda w: awq_at(w, 4, 1.0),
    "awq 8 bits, alpha 0.4": lambda w: awq_at(w, 8, 0.4),
    "nf4": nf4,
    "nf4 double": lambda w: nf4(w, double_quant=True),
    "nf4 double, blocks of 4": lambda w: nf4(w, block_size=4, double_quant=True),
}


@pytest.mark.parametrize("shape", [(64, 48), (22, 7), (2, 1)])
@pytest.mark.parametrize("name", EVERY)
def test_every_form_comes_back_bit_for_bit(name, shape):
    """With all weights, at random masks of every density, and with a channel of nothing."""
    w = weights_of(shape).at[:, -1].set(0.0)
    seen, grid = EVERY[name](w)
    seen = np.asarray(seen)
    for kept in (1.0, 0.7, 0.25, 0.02, 0.0):
        keep = None if kept == 1.0 else np.random.default_rng(2).random(shape) < kept
        wanted = seen if keep is None else np.where(keep, seen, 0)
        masks = None if keep is None else {"w": keep}
        data = pack(pack_model({"w": seen}, keep=masks, grids={"w": grid}))
        back = unpack(data)["w"].effective()
        assert back.tobytes() == (wanted + np.float32(0)).tobytes()
        assert sum(size_breakdown(data).values()) == len(data)


def test_q8_0_comes_back_bit_for_bit():
    seen, grid = q8_0(weights_of((64, 5)))
    data = pack(pack_model({"w": seen}, grids={"w": grid}))
    np.testing.assert_array_equal(unpack(data)["w"].effective(), seen)
    assert size_breakdown(data)["scales"] == 2 * 2 * 5


@settings(max_examples=40, deadline=None)
@given(
    shape=st.sampled_from([(1, 1), (3, 5), (4, 0), (0, 3), (9, 2), (2, 3, 4), (700,)]),
    bits=st.sampled_from([2, 3, 4, 5, 8]),
    form=st.sampled_from(["affine", "nf4", "rows"]),
    double=st.booleans(),
    kept=st.sampled_from([None, 0.0, 0.3, 1.0]),
    seed=st.integers(0, 1000),
)
def test_any_codes_come_back(shape, bits, form, double, kept, seed):
    """Grids that no transform made: any scale, zero point and magnitude, blocks of every length."""
    rng = np.random.default_rng(seed)
    blocks = tuple(1 for _ in shape)
    scale = rng.normal(size=blocks).astype(np.float32)
    codes = rng.integers(0, 1 << bits, shape)
    if form == "affine":
        grid = Affine(bits, scale, rng.integers(0, 1 << bits, blocks))
    elif form == "nf4":
        codes = rng.integers(0, 16, shape)
        grid = NF4(magnitudes(rng, -(-codes.size // int(rng.choice([1, 4, 64]))), double))
    else:
        shape = (shape * 2)[:2]
        codes = rng.integers(0, 1 << bits, shape) - (1 << bits - 1)
        inputs = rng.uniform(0.1, 9, (shape[0], 1)).astype(np.float16)
        grid = Uniform(bits, np.ones((1, 1)), inputs)
    keep = None if kept is None else rng.random(shape) < kept
    tensor = PackedTensor(codes, grid, keep)
    data = pack({"w": tensor})
    assert unpack(data)["w"].effective().tobytes() == tensor.effective().tobytes()
    assert sum(size_breakdown(data).values()) == len(data)


def magnitudes(rng, n, double):
    absmax = rng.uniform(0, 2, n).astype(np.float32)
    if not double:
        return absmax
    inner = quantize_dynamic(jnp.asarray(absmax)) if n else empty()
    return compress.QuantizedAbsmax(inner, jnp.float32(0.5))


def empty():
    return Codes8(np.zeros(0, np.uint8), np.zeros(0, np.float32))


def test_weights_are_those_of_the_reference_functions():
    """Not only what is read is what was written: the grids say what compress says."""
    w = weights_of((64, 6))
    q = compress.nf4_quantize(w, double_quant=True)
    grid = NF4(q.absmax).checked(w.shape)
    np.testing.assert_array_equal(grid.weights(np.asarray(q.codes)), compress.nf4_dequantize(q))
    lines = compress.min_max_grid(w, 3)
    integers = compress.quantize_integers_affine(w, 3, lines)
    grid = Affine(3, *lines).checked(w.shape)
    weights = compress.dequantize_affine(integers, lines)
    np.testing.assert_array_equal(grid.weights(np.asarray(integers)), weights)
    np.testing.assert_array_equal(grid.codes(np.asarray(weights)), integers)


def section_bytes(seen, grid, keep=None):
    masks = None if keep is None else {"w": keep}
    return size_breakdown(pack(pack_model({"w": seen}, keep=masks, grids={"w": grid})))


@pytest.mark.parametrize(
    ("name", "scales", "zero_points", "inputs"),
    [
        ("uniform 8 bits", 4 * 48, 0, 0),
        ("uniform 5 bits, groups", 4 * 2 * 48, 0, 0),
        ("learned 4 bits, one scale", 4, 0, 0),
        ("affine 3 bits, groups", 4 * 2 * 48, 3 * 2 * 48 // 8, 0),
        ("affine 4 bits, one grid", 4, 1, 0),
        ("awq 3 bits", 4 * 48, 0, 2 * 64),
        ("nf4", 4 * 48, 0, 0),
        ("nf4 double", 48 + 4 + 4, 0, 0),
        ("nf4 double, blocks of 4", 768 + 4 * 3 + 4, 0, 0),
    ],
)
def test_what_a_grid_costs(name, scales, zero_points, inputs):
    """Floats to the byte; values, zero points and codes of magnitudes at most their bits."""
    seen, grid = EVERY[name](weights_of((64, 48)))
    sizes = section_bytes(seen, grid)
    assert sizes["inputs"] == inputs
    assert 0.75 * scales < sizes["scales"] <= scales
    assert sizes["scales"] == scales or "double" in name
    assert sizes["zero_points"] <= zero_points
    assert (sizes["zero_points"] > 0) == (zero_points > 1)
    bits = int(np.asarray(grid.bits))
    assert sizes["matrices"] + sizes["histograms"] <= 64 * 48 * bits // 8


def test_double_quantized_nf4_costs_at_most_4_127_bits_a_weight():
    """4 + 8 / 64 + 32 / (64 * 256), as in the QLoRA paper, before the entropy code."""
    sizes = section_bytes(*nf4(weights_of((512, 512)), double_quant=True))
    whole = sum(sizes[name] for name in ("matrices", "scales", "histograms"))
    assert 3.5 < 8 * (whole - 4) / 512**2 <= 4 + 8 / 64 + 32 / (64 * 256)
    assert sizes["header"] < 100


@pytest.mark.parametrize("name", ["affine 4 bits, one grid", "nf4", "nf4 double", "awq 3 bits"])
def test_masked_weights_take_what_entropy_allows(name):
    """A tenth of the weights: mask and values within 5 % of their bound, and the histograms."""
    seen, grid = EVERY[name](weights_of((64, 48)) + 1)
    keep = np.random.default_rng(0).random((64, 48)) < 0.1
    sizes = section_bytes(seen, grid, keep)
    (bound,) = entropy_bound(pack_model({"w": seen}, keep={"w": keep}, grids={"w": grid})).values()
    p = np.mean(np.where(keep, seen, 0) != 0)
    assert bound.mask == pytest.approx(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)) * keep.size / 8)
    assert sizes["pruned"] + sizes["histograms"] < 1.05 * bound.total + 20


def test_sixteen_bits_and_more_are_no_grid():
    w = {"w": np.float32([[0.5, 0.1]])}
    ones = np.ones((1, 2))
    for grid in (Uniform(32, ones), Affine(32, ones, ones), Float(32)):
        assert pack_model(w, grids={"w": grid}, half=True)["w"].grid == Float(32)
    for grid in (Uniform(16, ones), Affine(jnp.float32(16), ones, ones), Float(16)):
        assert pack_model({"w": ones}, grids={"w": grid})["w"].grid == Float(16)
        with pytest.raises(ValueError, match=r"^w: .*float16"):
            pack_model(w, grids={"w": grid})


@pytest.mark.parametrize("name", EVERY)
def test_latent_weights_are_refused(name):
    """All of them, and one that is off its grid by a unit in the last place."""
    w = weights_of((64, 48))
    seen, grid = EVERY[name](w)
    off = np.array(seen)
    at = np.unravel_index(np.abs(off).argmax(), off.shape)
    off[at] = np.nextafter(off[at], np.float32(0))
    for latent in (w, off):
        with pytest.raises(ValueError, match=r"^w: its weights are not on their grid of \d bits"):
            pack_model({"w": latent}, grids={"w": grid})


ONES = np.ones((1, 2), np.float32)
CODES = Codes8(np.zeros(1, np.uint8), np.ones(1, np.float32))


@pytest.mark.parametrize(
    ("grid", "reason"),
    [
        (Affine(4, ONES, np.ones((1, 1))), "zero points of shape"),
        (Affine(4, ONES, 16 * ONES), r"zero point is none of 0\.\.15"),
        (Affine(4, ONES, 0.5 * ONES), r"zero point is none of 0\.\.15"),
        (Affine(4, np.ones(2), np.ones(2)), "does not fit"),
        (Affine(9, ONES, ONES), "9 bits"),
        (Uniform(4, ONES, np.ones((2, 1))), "row factors of shape"),
        (Uniform(4, ONES, np.full((1, 1), 0.1)), "no positive float16"),
        (Uniform(4, ONES, np.zeros((1, 1))), "no positive float16"),
        (NF4(np.ones(3)), r"magnitudes of shape \(3,\) do not fit 2 weights"),
        (NF4(np.ones(0)), r"magnitudes of shape \(0,\)"),
        (NF4(np.ones((1, 1))), r"magnitudes of shape \(1, 1\)"),
        (NF4(compress.QuantizedAbsmax(CODES._replace(absmax=np.ones(2)), 0.0)), "double-quantized"),
        (NF4(compress.QuantizedAbsmax(CODES._replace(codes=np.zeros(1)), 0.0)), "double-quantized"),
    ],
)
def test_a_grid_that_fits_not_is_named(grid, reason):
    with pytest.raises(ValueError, match=f"^w: .*{reason}"):
        pack_model({"w": np.zeros((1, 2), np.float32)}, grids={"w": grid})


@pytest.mark.parametrize("name", ["affine 2 bits", "nf4 double", "awq 3 bits"])
def test_every_truncation_and_every_flipped_bit_is_refused(name):
    seen, grid = EVERY[name](weights_of((6, 5)))
    keep = np.random.default_rng(0).random((6, 5)) < 0.6
    data = pack(pack_model({"w": seen}, keep={"w": keep}, grids={"w": grid}))
    for length in range(len(data)):
        with pytest.raises(PackedFileError):
            unpack(data[:length])
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PackedFileError):
            unpack(bytes(damaged))


def test_levels_are_sixteen_and_zero_is_the_eighth():
    grid = NF4(np.ones(1)).checked((16,))
    np.testing.assert_array_equal(grid.weights(np.arange(16)), NF4_LEVELS)
    np.testing.assert_array_equal(grid.codes(NF4_LEVELS), np.arange(16))
    assert NF4(np.zeros(1)).checked((3,)).codes(np.zeros(3, np.float32)).tolist() == [7, 7, 7]
