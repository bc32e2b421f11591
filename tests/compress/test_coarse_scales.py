"""Scales of few binary digits: the least that are not below, found by brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfm_jax import compress
from wfm_jax.compress import coarse, round_up_scale


def neighbours(fraction_bits):
    """Every number of so few digits from 2^-8 to 2^8, ascending, in exact arithmetic."""
    digits = 1 + np.arange(1 << fraction_bits) / (1 << fraction_bits)
    return np.concatenate([digits * 2.0**exponent for exponent in range(-8, 8)])


@settings(max_examples=100, deadline=None)
@given(
    scale=st.floats(2.0**-8, 127.0, width=32),
    fraction_bits=st.integers(0, 7),
)
def test_it_is_the_least_number_of_so_few_digits_that_is_not_below(scale, fraction_bits):
    every = neighbours(fraction_bits)
    expected = every[np.searchsorted(every, np.float64(np.float32(scale)))]
    assert float(round_up_scale(scale, fraction_bits)) == expected
    assert scale <= expected < scale * (1 + 2.0**-fraction_bits)


@pytest.mark.parametrize("fraction_bits", range(8))
def test_what_is_on_the_grid_stays_and_zero_is_on_it(fraction_bits):
    every = jnp.asarray([0.0, *neighbours(fraction_bits), jnp.inf], jnp.float32)
    np.testing.assert_array_equal(round_up_scale(every, fraction_bits), every)


@pytest.mark.parametrize("bound", ["restricted", "half_step"])
@pytest.mark.parametrize("group_size", [None, 8])
def test_nothing_clips_and_no_weight_is_off_by_more_than_half_a_coarse_step(bound, group_size):
    w = jax.random.normal(jax.random.key(0), (32, 24)) * jnp.exp(jnp.linspace(-4, 4, 24))
    method = compress.quantize(4, scale=coarse("absmax"), bound=bound, group_size=group_size)
    params, state = method.update({"w": w}, method.init({"w": w}, key=jax.random.key(0)))
    scale = state.scale["w"]
    plain = compress.absmax_scale(w, 4, bound=bound, group_size=group_size)
    assert bool((scale >= plain).all())
    assert bool((scale <= plain * (1 + 1 / 32)).all())
    error = jnp.abs(method.apply(params, state)["w"] - w)
    steps = jnp.repeat(scale, 32 // scale.shape[0], 0)
    assert bool((error <= 0.5001 * steps).all())


def test_it_runs_inside_compiled_stacks():
    """Bits traced, the rule's own choice by them included: as one at a time."""
    w = jax.random.normal(jax.random.key(1), (3, 16, 8))
    bits = jnp.array([2.0, 3.0, 8.0])
    rule = coarse("auto")
    together = jax.jit(jax.vmap(rule))(w, bits)
    for i in range(3):
        np.testing.assert_allclose(together[i], rule(w[i], bits[i]), rtol=1 / 32)
        np.testing.assert_array_equal(together[i], round_up_scale(together[i]))


def test_digits_that_no_file_stores_are_refused():
    for fraction_bits in (-1, 8, 23):
        with pytest.raises(ValueError, match=r"fraction_bits must be 0 to 7"):
            round_up_scale(1.0, fraction_bits)
