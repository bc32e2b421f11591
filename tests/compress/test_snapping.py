"""Grids of one's own: off at first, stored, snapped to, and straight through."""

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.compress import absmax_scale, fake_quant, quantize, snapping

W = jnp.asarray(np.random.default_rng(3).normal(size=(16, 6)), jnp.float32)
PARAMS = {"kernel": W, "bias": jnp.ones(6)}
FOUR_BITS = snapping(lambda w: absmax_scale(w, 4), lambda w, scale: fake_quant(w, 4, scale=scale))


def begun(method):
    return method.init(PARAMS, key=jax.random.key(0))


def test_a_grid_that_is_ours_gives_what_ours_gives():
    ours = quantize(4, scale="absmax")
    found = []
    for method in (ours, FOUR_BITS):
        params, state = method.update(PARAMS, begun(method))
        found.append(method.apply(params, state))
    np.testing.assert_array_equal(found[0]["kernel"], found[1]["kernel"])
    assert found[1]["bias"] is PARAMS["bias"]


def test_nothing_is_changed_before_the_first_update():
    """Also where the grid of zeros divides by zero."""
    method = snapping(lambda w: jnp.max(jnp.abs(w)), lambda w, scale: jnp.round(w / scale) * scale)
    np.testing.assert_array_equal(method.apply(PARAMS, begun(method))["kernel"], W)
    slope = jax.grad(lambda p: jnp.sum(method.apply(p, begun(method))["kernel"]))(PARAMS)
    np.testing.assert_array_equal(slope["kernel"], 1.0)


def test_the_stored_grid_stays_while_weights_move():
    _, state = FOUR_BITS.update(PARAMS, begun(FOUR_BITS))
    moved = {**PARAMS, "kernel": 1.3 * W}
    expected = fake_quant(1.3 * W, 4, scale=absmax_scale(W, 4))
    np.testing.assert_array_equal(FOUR_BITS.apply(moved, state)["kernel"], expected)


def test_the_gradient_goes_straight_through():
    _, state = FOUR_BITS.update(PARAMS, begun(FOUR_BITS))
    slope = jax.grad(lambda p: jnp.sum(3 * FOUR_BITS.apply(p, state)["kernel"]))(PARAMS)
    np.testing.assert_array_equal(slope["kernel"], 3.0)
