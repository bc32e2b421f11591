"""Q8_0 and Q4_0 by their definition; `tests/oracles` holds them against gguf bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.compress import q4_0_dequantize, q4_0_quantize, q8_0_dequantize, q8_0_quantize


def test_q8_0_rounds_halves_away_from_zero_and_stores_half_precision_scales():
    w = jnp.concatenate([jnp.array([127.0, 0.5, 1.5, 2.5, -0.5, -2.5]), jnp.zeros(26)])[:, None]
    q = q8_0_quantize(w)
    assert (q.integers.dtype, q.scale.dtype) == (jnp.int8, jnp.float16)
    assert q.integers[:6, 0].tolist() == [127, 1, 2, 3, -1, -3]
    assert q.scale.tolist() == [[1.0]]
    stack = jax.vmap(q8_0_quantize)(jnp.stack([w, 2 * w]))
    np.testing.assert_array_equal(stack.integers[0], stack.integers[1])
    assert not bool(q8_0_dequantize(q8_0_quantize(jnp.zeros((64, 3)))).any())
    with pytest.raises(ValueError, match="group_size=32 does not divide the input axis"):
        q8_0_quantize(jnp.ones((48, 3)))


def test_q8_0_is_within_half_a_step():
    w = jnp.asarray(np.random.default_rng(7).normal(size=(64, 9)), jnp.float32)
    step = jnp.repeat(jnp.abs(w).reshape(2, 32, 9).max(1) / 127, 32, axis=0)
    error = jnp.abs(q8_0_dequantize(q8_0_quantize(w)) - w)
    assert bool((error <= step * (0.5 + 127 * 2**-11)).all())


def test_q4_0_gives_the_largest_magnitude_the_eighth_step_and_rounds_halves_up():
    w = jnp.concatenate([jnp.array([-8.0, 0.5, -0.5, 2.5, -2.5, 8.0]), jnp.zeros(26)])[:, None]
    q = q4_0_quantize(w)
    assert (q.integers.dtype, q.scale.dtype) == (jnp.int8, jnp.float16)
    assert q.integers[:6, 0].tolist() == [-8, 1, 0, 3, -2, 7]
    assert q.scale.tolist() == [[1.0]]
    mirrored = q4_0_quantize(-w)
    assert mirrored.scale.tolist() == [[-1.0]]
    np.testing.assert_array_equal(mirrored.integers, q.integers)
    stack = jax.vmap(q4_0_quantize)(jnp.stack([w, 2 * w]))
    np.testing.assert_array_equal(stack.integers[0], stack.integers[1])
    assert not bool(q4_0_dequantize(q4_0_quantize(jnp.zeros((64, 3)))).any())
    with pytest.raises(ValueError, match="group_size=32 does not divide the input axis"):
        q4_0_quantize(jnp.ones((48, 3)))


def test_q4_0_is_within_half_a_step_or_a_whole_one_at_the_missing_end():
    w = jnp.asarray(np.random.default_rng(7).normal(size=(64, 9)), jnp.float32)
    q = q4_0_quantize(w)
    step = jnp.repeat(jnp.abs(w).reshape(2, 32, 9).max(1) / 8, 32, axis=0)
    error = jnp.abs(q4_0_dequantize(q) - w)
    reach = jnp.where(q.integers == 7, 1.0, 0.5)
    assert bool((error <= step * (reach + 8 * 2**-11)).all())
