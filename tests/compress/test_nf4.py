import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from wfm_jax.compress import (
    NF4,
    QuantizedAbsmax,
    lora_apply,
    lora_init,
    nf4,
    nf4_dequantize,
    nf4_quantize,
)
from wfm_jax.compress.dynamic_map import DYNAMIC_MAP, dequantize_dynamic, quantize_dynamic
from wfm_jax.compress.nf4 import NF4_LEVELS

KEY = jax.random.key(13)
W = jnp.asarray(np.random.default_rng(13).normal(size=(48, 20)), jnp.float32)
PARAMS = {"dense": {"kernel": W, "bias": jnp.ones(20)}, "head": {"kernel": W.astype(jnp.bfloat16)}}


def test_levels_are_quantiles_of_the_normal_distribution():
    """Section 3 of the paper: equal steps of probability, eight up and seven down, and zero."""
    offset = 0.9677083
    up = stats.norm.ppf(np.linspace(offset, 0.5, 9)[:-1])
    down = -stats.norm.ppf(np.linspace(offset, 0.5, 8)[:-1])
    expected = np.sort(np.concatenate([up, [0], down])) / up.max()
    np.testing.assert_allclose(NF4_LEVELS, expected, atol=1e-6)
    assert NF4_LEVELS.dtype == np.float32
    assert (NF4_LEVELS[0], NF4_LEVELS[7], NF4_LEVELS[15]) == (-1, 0, 1)


def brute_force(w, block_size):
    """The nearest level of every weight, the lower one of two, block by block of the flat array."""
    flat = np.asarray(w, np.float32).reshape(-1)
    codes, absmax = [], []
    for start in range(0, flat.size, block_size):
        block = flat[start : start + block_size]
        absmax.append(np.abs(block).max())
        scaled = block * (np.float32(1) / absmax[-1])
        codes.append(np.abs(scaled[:, None].astype(np.float64) - NF4_LEVELS).argmin(1))
    return np.concatenate(codes).reshape(w.shape), np.array(absmax)


@pytest.mark.parametrize("shape", [(48, 20), (64, 3), (7, 5), (33,), (2, 3, 50)])
@pytest.mark.parametrize("block_size", [16, 64])
def test_codes_are_the_nearest_levels_of_flat_blocks(shape, block_size):
    w = jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)
    codes, absmax = brute_force(w, block_size)
    q = nf4_quantize(w, block_size=block_size)
    assert q.codes.dtype == jnp.uint8
    np.testing.assert_array_equal(q.codes, codes)
    np.testing.assert_array_equal(q.absmax, absmax)
    expected = NF4_LEVELS[codes].reshape(-1) * np.repeat(absmax, block_size)[: w.size]
    np.testing.assert_array_equal(nf4_dequantize(q), expected.reshape(shape))


def test_the_largest_weight_of_a_block_is_exact_and_zero_stays_zero():
    w = W.at[3].set(0.0)
    seen = nf4_dequantize(nf4_quantize(w, block_size=16)).reshape(-1, 16)
    blocks = np.asarray(w).reshape(-1, 16)
    largest = np.abs(blocks).argmax(1)
    rows = np.arange(len(blocks))
    np.testing.assert_array_equal(seen[rows, largest], blocks[rows, largest])
    assert not np.asarray(seen)[blocks == 0].any()


def blockwise_error(block_size):
    """Relative rms error of Gaussian weights: cells of a scale with the law of a block's absmax.

    Given the absmax m the other weights are Gaussian, cut off at m; the largest has no error.
    """
    edges = np.concatenate([[-1], (NF4_LEVELS[:-1] + NF4_LEVELS[1:]) / 2, [1]])

    def cell(m):
        a, b, level = m * edges[:-1], m * edges[1:], m * NF4_LEVELS
        mass = np.diff(stats.norm.cdf(m * edges))
        first = stats.norm.pdf(a) - stats.norm.pdf(b)
        second = mass + a * stats.norm.pdf(a) - b * stats.norm.pdf(b)
        return np.sum(second - 2 * level * first + level**2 * mass)

    def weighted(m):
        inside = 2 * stats.norm.cdf(m) - 1
        density = block_size * 2 * stats.norm.pdf(m) * inside ** (block_size - 1)
        return density * cell(m) / inside * (block_size - 1) / block_size

    return np.sqrt(integrate.quad(weighted, 0.2, 7, limit=200)[0])


def test_error_of_gaussian_weights():
    """The closed form for blocks of 64, .0920; double quantization costs next to nothing."""
    w = jnp.asarray(np.random.default_rng(3).normal(size=1 << 18), jnp.float32)

    def error(double_quant):
        seen = nf4_dequantize(nf4_quantize(w, double_quant=double_quant))
        return float(jnp.linalg.norm(seen - w) / jnp.linalg.norm(w))

    expected = blockwise_error(64)
    assert expected == pytest.approx(0.0920, abs=1e-4)
    assert error(False) == pytest.approx(expected, rel=0.005)
    assert 1 < error(True) / error(False) < 1.002


def test_double_quantization_of_the_magnitudes():
    w = jnp.asarray(np.random.default_rng(4).normal(size=(256, 80)), jnp.float32)
    plain, double = nf4_quantize(w), nf4_quantize(w, double_quant=True)
    np.testing.assert_array_equal(double.codes, plain.codes)
    assert isinstance(double.absmax, QuantizedAbsmax)
    assert isinstance(plain.absmax, jax.Array)
    assert double.absmax.codes.codes.shape == plain.absmax.shape == (320,)
    assert double.absmax.codes.absmax.shape == (2,)
    assert float(double.absmax.offset) == pytest.approx(float(plain.absmax.mean()), rel=1e-6)
    restored = dequantize_dynamic(double.absmax.codes) + double.absmax.offset
    spread = jnp.abs(plain.absmax - double.absmax.offset).max()
    assert 0 < float(jnp.abs(restored - plain.absmax).max()) < 0.01 * float(spread)


def test_the_dynamic_map_is_spaced_like_floating_point():
    assert DYNAMIC_MAP.shape == (256,)
    assert np.all(np.diff(DYNAMIC_MAP) > 0)
    assert (DYNAMIC_MAP[127], DYNAMIC_MAP[255]) == (0, 1)
    np.testing.assert_array_equal(DYNAMIC_MAP[:127], -DYNAMIC_MAP[128:255][::-1])
    for decade in range(7):
        low, high = 10.0 ** (decade - 7), 10.0 ** (decade - 6)
        values = np.array([value for value in DYNAMIC_MAP if low < value < high])
        assert values.size == 2**decade
        np.testing.assert_allclose(values.mean(), 5.5 * low, rtol=1e-6)


def test_dynamic_codes_are_the_nearest():
    x = np.random.default_rng(5).normal(size=700).astype(np.float32)
    q = quantize_dynamic(jnp.asarray(x))
    assert (q.codes.shape, q.codes.dtype, q.absmax.shape) == ((700,), jnp.uint8, (3,))
    scale = np.repeat(np.asarray(q.absmax), 256)[:700]
    distance = np.abs((x / scale)[:, None] - DYNAMIC_MAP)
    chosen = distance[np.arange(700), np.asarray(q.codes)]
    np.testing.assert_allclose(chosen, distance.min(1), atol=1e-7)
    np.testing.assert_array_equal(dequantize_dynamic(q), DYNAMIC_MAP[q.codes] * scale)


def test_transform_snaps_to_stored_blocks_straight_through():
    transform = nf4(block_size=16)
    off = transform.init(PARAMS, key=KEY)
    chex.assert_trees_all_equal(transform.apply(PARAMS, off), PARAMS)
    params, on = transform.update(PARAMS, off)
    assert params is PARAMS
    chex.assert_trees_all_equal_shapes_and_dtypes(off, on)
    seen = transform.apply(PARAMS, on)
    assert seen["dense"]["bias"] is PARAMS["dense"]["bias"]
    np.testing.assert_array_equal(
        seen["dense"]["kernel"], nf4_dequantize(nf4_quantize(W, block_size=16))
    )
    chex.assert_trees_all_equal(transform.apply(seen, on), seen)
    outgrown = jax.grad(
        lambda w: jnp.sum(transform.apply({"dense": {"kernel": w}}, on_of(on))["dense"]["kernel"])
    )(10 * W)
    np.testing.assert_array_equal(outgrown, jnp.ones_like(W))


def on_of(state):
    """The state of the first kernel alone."""
    return state._replace(absmax={"dense/kernel": state.absmax["dense/kernel"]})


def test_double_quantized_weights_stay_with_their_stored_blocks():
    transform = nf4(double_quant=True)
    _, state = transform.update(PARAMS, None)
    seen = transform.apply(PARAMS, state)
    np.testing.assert_array_equal(
        seen["dense"]["kernel"][0] == 0, NF4_LEVELS[nf4_quantize(W).codes][0] == 0
    )
    chex.assert_trees_all_equal(transform.apply(seen, state), seen)
    restored = jnp.abs(seen["dense"]["kernel"]).reshape(-1, 64).max(1)
    stored = NF4(jnp.full_like(W, 15, jnp.uint8), state.absmax["dense/kernel"])
    np.testing.assert_allclose(restored, nf4_dequantize(stored).reshape(-1)[::64], rtol=1e-6)
    assert float(jnp.abs(restored - nf4_quantize(W).absmax).max()) > 0


def test_an_optimizing_compiler_makes_the_same_weights_of_double_quantized_blocks():
    """A fused multiply-add would round once where every other reader of the codes rounds twice."""
    q = nf4_quantize(jax.random.normal(KEY, (64, 256)), block_size=4, double_quant=True)
    blocks = q.absmax.codes.absmax.repeat(256)
    absmax = DYNAMIC_MAP[q.absmax.codes.codes] * blocks + q.absmax.offset
    weights = (NF4_LEVELS[q.codes].reshape(-1, 4) * absmax[:, None]).reshape(64, 256)
    optimized = {"xla_backend_optimization_level": 3}
    np.testing.assert_array_equal(jax.jit(nf4_dequantize, compiler_options=optimized)(q), weights)
    np.testing.assert_array_equal(nf4_dequantize(q), weights)


def test_a_sweep_has_both_and_nf4_is_a_pytree():
    def run(params, on):
        transform = nf4(on, double_quant=True)
        _, state = transform.update(params, transform.init(params, key=KEY))
        return transform.apply(params, state)

    many = jax.jit(jax.vmap(run, (None, 0)))(PARAMS, jnp.array([False, True]))
    chex.assert_trees_all_equal(jax.tree.map(lambda w: w[0], many), PARAMS)
    chex.assert_trees_all_close(jax.tree.map(lambda w: w[1], many), run(PARAMS, True), rtol=1e-6)
    stack = jax.jit(jax.vmap(nf4_quantize))(jnp.stack([W, 2 * W]))
    assert isinstance(stack, NF4)
    np.testing.assert_array_equal(stack.codes[0], stack.codes[1])
    np.testing.assert_array_equal(
        jax.vmap(nf4_dequantize)(stack)[1], 2 * nf4_dequantize(nf4_quantize(W))
    )


def test_qlora_trains_adapters_over_a_frozen_base():
    """Adapters make up for part of what NF4 lost: the best of their rank is the residual's SVD."""
    base = {"kernel": jnp.asarray(np.random.default_rng(6).normal(size=(64, 32)), jnp.float32)}
    transform = nf4(double_quant=True)
    _, state = transform.update(base, None)
    frozen = transform.apply(base, state)
    adapters = lora_init(frozen, "*", 8, key=KEY)

    @jax.jit
    def train(factors):
        def loss(factors):
            seen = lora_apply(frozen, adapters._replace(factors=factors))["kernel"]
            return jnp.sum((seen - base["kernel"]) ** 2)

        def step(factors, _):
            value, grads = jax.value_and_grad(loss)(factors)
            return jax.tree.map(lambda f, g: f - 0.05 * g, factors, grads), value

        return jax.lax.scan(step, factors, length=1500)[1]

    losses = train(adapters.factors)
    residual = np.asarray(base["kernel"] - frozen["kernel"], np.float64)
    values = np.linalg.svd(residual, compute_uv=False) ** 2
    assert float(losses[0]) == pytest.approx(values.sum(), rel=1e-4)
    assert float(losses[-1]) < 1.02 * values[8:].sum()


def test_zeros_and_nan():
    assert not bool(nf4_dequantize(nf4_quantize(jnp.zeros((4, 40)))).any())
    broken = W.at[0, 0].set(jnp.nan)
    with pytest.raises(ValueError, match=r"^w holds NaN$"):
        nf4_quantize(broken)
    with pytest.raises(ValueError, match=r"params\['dense/kernel'\] holds NaN"):
        nf4().update({"dense": {"kernel": broken}}, None)
    seen = jax.jit(lambda w: nf4_dequantize(nf4_quantize(w)))(broken).reshape(-1)
    assert bool(jnp.isnan(seen[:64]).all())
    assert not bool(jnp.isnan(seen[64:]).any())


@pytest.mark.parametrize("block_size", [0, -64, 48])
def test_rejects_bad_block_sizes(block_size):
    with pytest.raises(ValueError, match=f"block_size must be a power of two, got {block_size}"):
        nf4_quantize(W, block_size=block_size)
    with pytest.raises(ValueError, match="block_size must be a power of two"):
        nf4(block_size=block_size)
