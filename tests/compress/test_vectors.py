"""Norms and biases in few bits: theory of one grid a vector, and of half precision."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfm_jax import compress

KEY = jax.random.key(0)
NUMBERS = st.integers(-(10**6), 10**6).map(lambda n: n / 1000)


def stored(params, bits):
    method = compress.store_vectors(bits)
    params, state = method.update(params, method.init(params, key=KEY))
    return method.apply(params, state), state


def vectors():
    return {"norm": {"bias": jax.random.normal(KEY, (7,))}, "gain": jnp.float32(0.3)}


def test_matrices_and_integers_are_left_alone():
    params = vectors() | {"kernel": jnp.full((3, 3), 0.3), "index": jnp.arange(3)}
    seen, state = stored(params, 2)
    assert seen["kernel"] is params["kernel"]
    assert seen["index"] is params["index"]
    assert set(state.scale) == {"norm/bias", "gain"}


def test_nothing_is_in_force_before_the_stage():
    method, params = compress.store_vectors(8), vectors()
    chex.assert_trees_all_equal(method.apply(params, method.init(params, key=KEY)), params)


def test_sixteen_bits_are_half_precision_and_32_are_all():
    params = vectors()
    half, _ = stored(params, 16)
    chex.assert_trees_all_equal(
        half, jax.tree.map(lambda w: w.astype(jnp.float16).astype(jnp.float32), params)
    )
    chex.assert_trees_all_equal(stored(params, 32)[0], params)


@settings(deadline=None, max_examples=40)
@given(st.lists(NUMBERS, min_size=9, max_size=9), st.integers(2, 8))
def test_every_number_is_within_half_a_step(w, bits):
    w = np.asarray(w, np.float32)
    seen, state = stored({"w": jnp.asarray(w)}, bits)
    (scale,) = jax.device_get(state.scale["w"])
    levels = 2 ** (bits - 1) - 1
    assert np.abs(w).max() <= levels * scale * (1 + 1e-6)
    assert levels * scale <= np.abs(w).max() * (1 + 2.0**-5) * (1 + 1e-6) + 1e-37
    assert (np.abs(np.asarray(seen["w"]) - w) <= 0.5 * scale * (1 + 1e-4)).all()
    np.testing.assert_array_equal(scale, compress.round_up_scale(scale))


def test_bits_may_be_traced_and_side_by_side():
    params, bits = vectors(), jnp.array([2.0, 8.0, 16.0, 32.0])
    together = jax.jit(jax.vmap(lambda b: stored(params, b)[0]))(bits)
    for i, b in enumerate(bits.tolist()):
        chex.assert_trees_all_equal(
            jax.tree.map(lambda leaf, i=i: leaf[i], together), stored(params, b)[0]
        )


@pytest.mark.parametrize("bits", [4, 16])
def test_gradients_pass_straight_through(bits):
    params = vectors()
    method = compress.store_vectors(bits)
    _, state = method.update(params, method.init(params, key=KEY))
    slopes = jax.grad(lambda p: sum(map(jnp.sum, jax.tree.leaves(method.apply(p, state)))))(params)
    chex.assert_trees_all_equal(slopes, jax.tree.map(jnp.ones_like, params))


@pytest.mark.parametrize("bits", [1, 9, 12, float("nan")])
def test_other_bits_are_refused(bits):
    with pytest.raises(ValueError, match="bits must be 2 to 8, 16 or 32"):
        compress.store_vectors(bits)
