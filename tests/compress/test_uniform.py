import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfm_jax.compress import absmax_scale, dequantize, fake_quant, quantize_integers

W = jnp.asarray(np.random.default_rng(11).normal(size=(32, 12)), jnp.float32)
BITS = (2, 3, 4, 5, 6, 7, 8)
BOUNDS = ("restricted", "half_step")


def bits_equal(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()


def reference(w, bits, bound, axis=0):
    """The definition in NumPy float32, one scale over ``axis``."""
    w, one, half = np.asarray(w), np.float32(1), np.float32(2 ** (bits - 1))
    low, high, steps = {
        "restricted": (one - half, half - one, half - one),
        "half_step": (-half, half - one, half - one / 2),
    }[bound]
    scale = np.abs(w).max(axis, keepdims=True) * (one / steps)
    return np.clip(np.round(w * (one / scale)), low, high) * scale


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("bits", BITS)
def test_agrees_with_numpy(bits, bound):
    np.testing.assert_array_equal(
        fake_quant(W, bits, bound=bound), reference(W, bits, bound, axis=0)
    )
    np.testing.assert_array_equal(
        fake_quant(W, bits, axis=0, bound=bound), reference(W, bits, bound, axis=1)
    )
    np.testing.assert_array_equal(
        fake_quant(W, bits, axis=None, bound=bound), reference(W, bits, bound, axis=(0, 1))
    )
    grouped = fake_quant(W, bits, group_size=8, bound=bound)
    for start in range(0, 32, 8):
        rows = slice(start, start + 8)
        np.testing.assert_array_equal(grouped[rows], reference(W[rows], bits, bound, axis=0))


def test_rounds_half_to_even():
    w = jnp.array([[7.0], [0.5], [1.5], [2.5], [-0.5], [-1.5]])
    np.testing.assert_array_equal(
        quantize_integers(w, 4, jnp.ones((1, 1)))[:, 0], [7, 0, 2, 2, 0, -2]
    )


@pytest.mark.parametrize("bound", BOUNDS)
def test_integers_span_the_range_and_no_more(bound):
    w = jnp.array([[-1e9], [-1.0], [1.0], [1e9]])
    integers = quantize_integers(w, 4, jnp.ones((1, 1)), bound=bound)
    assert integers.dtype == jnp.int32
    assert integers[:, 0].tolist() == [-7 if bound == "restricted" else -8, -1, 1, 7]


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("bits", BITS)
def test_dequantized_integers_are_the_fake_quantized_weights(bits, bound):
    scale = absmax_scale(W, bits, bound=bound, group_size=4)
    integers = quantize_integers(W, bits, scale, bound=bound)
    np.testing.assert_array_equal(
        dequantize(integers, scale), fake_quant(W, bits, bound=bound, group_size=4)
    )


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16, jnp.bfloat16])
@settings(max_examples=25, deadline=None)
@given(
    bits=st.sampled_from(BITS),
    exponent=st.integers(-3, 3),
    seed=st.integers(0, 999),
    group_size=st.sampled_from([None, 4]),
)
def test_with_its_stored_scale_a_snapped_tensor_stays(
    bound, dtype, bits, exponent, seed, group_size
):
    w = np.random.default_rng(seed).normal(0, 10.0**exponent, (32, 12))
    w = jnp.asarray(w.astype(np.float32)).astype(dtype)
    scale = absmax_scale(w, bits, bound=bound, group_size=group_size)
    snapped = fake_quant(w, bits, bound=bound, scale=scale)
    assert snapped.dtype == dtype
    assert bits_equal(fake_quant(snapped, bits, bound=bound, scale=scale), snapped)


def test_half_step_with_a_recomputed_scale_moves_again():
    """The reason for stored scales: a snapped tensor's own absmax is another grid's."""
    snapped = fake_quant(W, 4, bound="half_step")
    again = fake_quant(snapped, 4, bound="half_step")
    assert not bits_equal(again, snapped)
    moved = jnp.linalg.norm(again - snapped) / jnp.linalg.norm(snapped)
    assert 0.01 < float(moved) < 0.2


@pytest.mark.parametrize("bound", BOUNDS)
def test_traced_bits_equal_static_bits(bound):
    traced = jax.jit(lambda w, bits: fake_quant(w, bits, bound=bound))
    for bits in (2, 4, 8, 32):
        static = fake_quant(W, bits, bound=bound)
        assert bits_equal(traced(W, bits), static)
        assert bits_equal(traced(W, float(bits)), static)
        assert bits_equal(jax.jit(lambda w, b=bits: fake_quant(w, b, bound=bound))(W), static)


def test_vmap_over_bits_equals_the_loop():
    bits = jnp.array([2, 4, 8, 32])
    many = jax.vmap(lambda b: fake_quant(W, b))(bits)
    assert all(bits_equal(one, fake_quant(W, b)) for one, b in zip(many, bits, strict=True))


def test_sixteen_bits_and_more_leave_weights_alone():
    for bits in (16, 32, jnp.float32(16)):
        assert bits_equal(fake_quant(W, bits), W)
    assert bits_equal(jax.jit(fake_quant)(W, 32), W)


@pytest.mark.parametrize("bits", [2, 4, 32])
def test_gradient_is_exactly_straight_through(bits):
    scale = 0.3 * absmax_scale(W, bits)  # clips most weights

    def total(w, scale, bits):
        return jnp.sum(2.0 * fake_quant(w, bits, scale=scale))

    by_w, by_scale, by_bits = jax.grad(total, (0, 1, 2))(W, scale, float(bits))
    np.testing.assert_array_equal(by_w, 2 * np.ones_like(W))
    np.testing.assert_array_equal(by_scale, np.zeros_like(scale))
    assert by_bits == 0
    np.testing.assert_array_equal(
        jax.grad(lambda w: jnp.sum(fake_quant(w, bits)))(W), np.ones_like(W)
    )


@pytest.mark.parametrize("bound", BOUNDS)
def test_channels_of_zeros_give_zeros_and_no_nan(bound):
    w = W.at[:, 3].set(0.0).at[:, 4].set(1e-44)
    value, gradient = jax.value_and_grad(lambda w: jnp.sum(fake_quant(w, 3, bound=bound) ** 2))(w)
    assert bool(jnp.isfinite(value))
    assert bool(jnp.isfinite(gradient).all())
    assert not bool(fake_quant(w, 3, bound=bound)[:, 3:5].any())
    stored_zero = fake_quant(W, 3, bound=bound, scale=jnp.zeros((1, 12)))
    np.testing.assert_array_equal(stored_zero, np.zeros_like(W))


def test_nan_weights_stay_visible():
    assert bool(jnp.isnan(fake_quant(W.at[0, 0].set(jnp.nan), 4, scale=1.0))[0, 0])


def test_scale_shapes():
    def shape(w, **settings):
        return absmax_scale(w, 4, **settings).shape

    assert shape(W) == (1, 12)
    assert shape(W, axis=0) == (32, 1)
    assert shape(W, axis=None) == (1, 1)
    assert shape(W, group_size=8) == (4, 12)
    assert shape(W, axis=0, group_size=4) == (32, 3)
    assert shape(W[:, 0]) == (1,)
    assert shape(W[:, 0], group_size=8) == (4,)
    assert shape(jnp.ones((3, 3, 8, 5))) == (1, 1, 1, 5)
    assert shape(jnp.ones((3, 3, 8, 5)), group_size=4) == (1, 1, 2, 5)


def test_a_scale_may_be_a_scalar_or_lie_along_the_axis():
    per_channel = absmax_scale(W, 4)
    assert bits_equal(fake_quant(W, 4, scale=per_channel[0]), fake_quant(W, 4))
    assert bits_equal(fake_quant(W.T, 4, axis=0, scale=per_channel[0]), fake_quant(W, 4).T.copy())
    assert bits_equal(fake_quant(W, 4, scale=0.5), fake_quant(W, 4, scale=jnp.full((1, 1), 0.5)))


@pytest.mark.parametrize("bits", [0, 1, 9, 12, 64, 4.5, float("nan"), jnp.array([2, 3])])
def test_rejects_bad_bits(bits):
    with pytest.raises(ValueError, match="bits must be 2 to 8, or 16 or 32"):
        fake_quant(W, bits)


def test_rejects_what_does_not_fit():
    with pytest.raises(ValueError, match="group_size=5 does not divide the input axis"):
        fake_quant(W, 4, group_size=5)
    with pytest.raises(ValueError, match="axis=2 is not an axis"):
        fake_quant(W, 4, axis=2)
    with pytest.raises(ValueError, match="bound must be 'restricted' or 'half_step'"):
        fake_quant(W, 4, bound="loose")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"scale of shape \(5, 12\) does not tile"):
        fake_quant(W, 4, scale=jnp.ones((5, 12)))
