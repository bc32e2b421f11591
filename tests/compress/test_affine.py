import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfm_jax.compress import (
    AffineGrid,
    affine_grid,
    chain,
    dequantize_affine,
    fake_quant,
    fake_quant_affine,
    magnitude_prune,
    matching,
    min_max_grid,
    quantize_affine,
    quantize_integers_affine,
)

KEY = jax.random.key(7)
RNG = np.random.default_rng(7)
W = jnp.asarray(RNG.normal(0.4, 1.0, size=(32, 12)), jnp.float32)
BITS = (2, 3, 4, 5, 6, 7, 8)
PARAMS = {"kernel": W, "bias": jnp.arange(12.0) / 3, "norm": jnp.ones(12)}


def bits_equal(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()


def reference(w, bits, axis):
    """The definition in NumPy float32, one grid over ``axis``."""
    w, one = np.asarray(w), np.float32(1)
    highest = np.float32(2**bits - 1)
    low = np.minimum(w.min(axis, keepdims=True), 0)
    high = np.maximum(w.max(axis, keepdims=True), 0)
    scale = (high - low) * (one / highest)
    zero_point = np.clip(np.round(-low * (one / scale)), 0, highest)
    integers = np.clip(np.round(w * (one / scale)) + zero_point, 0, highest)
    return (integers - zero_point) * scale


@pytest.mark.parametrize("bits", BITS)
def test_agrees_with_numpy(bits):
    np.testing.assert_array_equal(fake_quant_affine(W, bits), reference(W, bits, 0))
    np.testing.assert_array_equal(fake_quant_affine(W, bits, axis=0), reference(W, bits, 1))
    np.testing.assert_array_equal(fake_quant_affine(W, bits, axis=None), reference(W, bits, (0, 1)))
    grouped = fake_quant_affine(W, bits, group_size=8)
    for start in range(0, 32, 8):
        rows = slice(start, start + 8)
        np.testing.assert_array_equal(grouped[rows], reference(W[rows], bits, 0))


# Not so near to zero that a step is subnormal, which hardware may flush.
ENDS = st.floats(-1e6, 1e6, width=32).map(lambda x: x if abs(x) > 1e-30 else 0.0)


@settings(max_examples=60, deadline=None)
@given(
    low=ENDS,
    high=ENDS,
    bits=st.sampled_from(BITS),
)
def test_zero_and_the_whole_range_are_on_the_grid(low, high, bits):
    """Zero exactly, the range's ends to a step: half for rounding, half for the shifted range."""
    low, high = min(low, high), max(low, high)
    grid = affine_grid(low, high, bits)
    assert grid.zero_point.dtype == jnp.int32
    assert 0 <= int(grid.zero_point) <= 2**bits - 1
    snapped = fake_quant_affine(
        jnp.array([low, 0.0, high], jnp.float32),
        bits,
        scale=grid.scale,
        zero_point=grid.zero_point,
    )
    assert float(snapped[1]) == 0.0
    step = float(grid.scale)
    assert step == pytest.approx((max(high, 0) - min(low, 0)) / (2**bits - 1), rel=1e-6, abs=1e-37)
    assert abs(float(snapped[0]) - low) <= step * (1 + 1e-5)
    assert abs(float(snapped[2]) - high) <= step * (1 + 1e-5)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_error_of_one_sided_weights_is_that_of_all_levels(bits):
    """Uniform on (0, 1): step^2 / 12 with 2^b - 1 steps, where a symmetric grid has half as many.

    The sample's mean square has a relative standard error of sqrt(4 / 5 / n), .002: five of them.
    """
    n = 1 << 18
    w = jnp.asarray(np.random.default_rng(bits).uniform(size=(n, 1)), jnp.float32)
    step = 1 / (2**bits - 1)
    measured = float(jnp.mean((fake_quant_affine(w, bits) - w) ** 2))
    assert measured == pytest.approx(step**2 / 12, rel=5 * np.sqrt(0.8 / n))
    symmetric = float(jnp.mean((fake_quant(w, bits) - w) ** 2))
    coarser = (2**bits - 1) / (2 ** (bits - 1) - 1)
    assert symmetric / measured == pytest.approx(coarser**2, rel=0.02)


@pytest.mark.parametrize("bits", BITS)
def test_dequantized_integers_are_the_fake_quantized_weights(bits):
    grid = min_max_grid(W, bits, group_size=4)
    integers = quantize_integers_affine(W, bits, grid)
    assert integers.dtype == jnp.int32
    assert (int(integers.min()), int(integers.max())) == (0, 2**bits - 1)
    np.testing.assert_array_equal(
        dequantize_affine(integers, grid), fake_quant_affine(W, bits, group_size=4)
    )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16, jnp.bfloat16])
@settings(max_examples=25, deadline=None)
@given(
    bits=st.sampled_from(BITS),
    center=st.sampled_from([0.0, 2.0, -30.0]),
    exponent=st.integers(-2, 3),
    seed=st.integers(0, 999),
)
def test_with_its_stored_grid_a_snapped_tensor_stays(dtype, bits, center, exponent, seed):
    w = np.random.default_rng(seed).normal(center, 1.0, (32, 12)) * 10.0**exponent
    w = jnp.asarray(w.astype(np.float32)).astype(dtype)
    scale, zero_point = min_max_grid(w, bits)
    snapped = fake_quant_affine(w, bits, scale=scale, zero_point=zero_point)
    assert snapped.dtype == dtype
    again = fake_quant_affine(snapped, bits, scale=scale, zero_point=zero_point)
    assert bits_equal(again, snapped)


def test_gradient_is_the_identity_but_zero_where_a_given_grid_clips():
    upstream = jnp.arange(1.0, 8.0)
    w = jnp.array([-1.4, -1.6, 0.0, 0.7, 2.0, 2.4, 2.6])

    def gradient(bits, **grid):
        return jax.grad(lambda w: jnp.sum(upstream * fake_quant_affine(w, bits, **grid)))(w)

    np.testing.assert_array_equal(gradient(2), upstream)
    grid = {"scale": 1.0, "zero_point": 1}  # -1, 0, 1, 2
    np.testing.assert_array_equal(gradient(2, **grid), upstream * jnp.array([1, 0, 1, 1, 1, 1, 0]))
    np.testing.assert_array_equal(gradient(32, **grid), upstream)
    scale_gradient = jax.grad(lambda s: jnp.sum(fake_quant_affine(w, 2, scale=s, zero_point=1)))(
        jnp.float32(1)
    )
    assert float(scale_gradient) == 0


def test_traced_bits_equal_static_bits_and_vmap_the_loop():
    bits = jnp.array([2, 4, 8, 32])
    many = jax.jit(jax.vmap(lambda b: fake_quant_affine(W, b)))(bits)
    for one, b in zip(many, (2, 4, 8, 32), strict=True):
        assert bits_equal(one, fake_quant_affine(W, b))
        assert bits_equal(jax.jit(lambda w, b=b: fake_quant_affine(w, b))(W), one)
    assert bits_equal(many[-1], W)
    assert bits_equal(fake_quant_affine(W, 16), W)


def test_channels_of_zeros_give_zeros_and_no_nan():
    w = W.at[:, 3].set(0.0).at[:, 4].set(1e-44)
    value, gradient = jax.value_and_grad(lambda w: jnp.sum(fake_quant_affine(w, 3) ** 2))(w)
    assert bool(jnp.isfinite(value))
    assert bool(jnp.isfinite(gradient).all())
    assert not bool(fake_quant_affine(w, 3)[:, 3:5].any())
    assert not bool(fake_quant_affine(W, 3, scale=0.0, zero_point=0).any())


def test_nan_weights_stay_visible():
    broken = W.at[0, 0].set(jnp.nan)
    assert bool(jnp.isnan(fake_quant_affine(broken, 4, scale=1.0, zero_point=3))[0, 0])
    assert bool(jnp.isnan(fake_quant_affine(broken, 4))[:, 0].all())
    with pytest.raises(ValueError, match=r"params\['kernel'\] holds NaN"):
        quantize_affine(4).update({"kernel": broken}, None)


def test_transform_takes_ranges_once_and_snaps():
    transform = quantize_affine(4, group_size=8)
    before = transform.init(PARAMS, key=KEY)
    params, state = transform.update(PARAMS, before)
    chex.assert_trees_all_equal_shapes_and_dtypes(before, state)
    assert params is PARAMS
    assert set(state.scale) == set(state.zero_point) == set(state.bits) == {"kernel"}
    np.testing.assert_array_equal(state.scale["kernel"], min_max_grid(W, 4, group_size=8).scale)
    seen = transform.apply(PARAMS, state)
    np.testing.assert_array_equal(seen["kernel"], fake_quant_affine(W, 4, group_size=8))
    assert seen["bias"] is PARAMS["bias"]
    outgrown = jax.grad(lambda w: jnp.sum(transform.apply({"kernel": w}, state)["kernel"]))(10 * W)
    np.testing.assert_array_equal(outgrown, jnp.ones_like(W))


def test_pruned_weights_stay_zero_whatever_their_range():
    one_sided = {"kernel": 3 + jnp.abs(W)}
    transform = chain(matching("*", magnitude_prune(0.5)), quantize_affine(2))
    params, state = transform.update(one_sided, transform.init(one_sided, key=KEY))
    assert int((transform.apply(params, state)["kernel"] == 0).sum()) == W.size // 2


def test_min_bits_is_a_floor():
    for bits, expected in ((4, 8), (8, 8), (32, 32)):
        _, state = quantize_affine(bits, min_bits=8).update(PARAMS, None)
        assert float(state.bits["kernel"]) == expected


def test_rejects_bad_arguments():
    with pytest.raises(ValueError, match="give both or neither"):
        fake_quant_affine(W, 4, scale=1.0)
    with pytest.raises(ValueError, match="give both or neither"):
        fake_quant_affine(W, 4, zero_point=1)
    with pytest.raises(ValueError, match="bits must be 2 to 8"):
        fake_quant_affine(W, 9)
    with pytest.raises(ValueError, match="bits must be 2 to 8"):
        quantize_affine(1)
    with pytest.raises(ValueError, match="min_bits must be 2 to 8"):
        quantize_affine(8, min_bits=1)
    with pytest.raises(ValueError, match="group_size=5 does not divide"):
        quantize_affine(8, group_size=5).init(PARAMS, key=KEY)
    with pytest.raises(ValueError, match=r"scale of shape \(5, 12\) does not tile"):
        quantize_integers_affine(W, 4, AffineGrid(jnp.ones((5, 12)), jnp.ones((5, 12), jnp.int32)))
