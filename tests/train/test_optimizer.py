"""The learning rate's curve and the optimizer's first steps, with every number traced."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from wfm_jax.train.optimizer import adam, learning_rate_at


@pytest.mark.parametrize("total", [1, 7, 100, 12_000])
def test_learning_rate_follows_its_formula(total):
    """Up to the peak over 5 % of the steps, then half a cosine down to 1 % of it."""
    schedule = jax.jit(jax.vmap(learning_rate_at, in_axes=(0, None, None)))
    rates = np.asarray(schedule(jnp.arange(total), total, 3e-3))
    done = (np.arange(total) + 1) / total
    fall = np.clip((done - 0.05) / 0.95, 0, 1)
    expected = 3e-3 * np.minimum(done / 0.05, 0.01 + 0.99 * (1 + np.cos(np.pi * fall)) / 2)
    np.testing.assert_allclose(rates, expected, rtol=1e-3)
    np.testing.assert_allclose(rates[-1], 3e-5, rtol=1e-3)
    assert rates.max() <= 3e-3 * (1 + 1e-6)
    if total >= 100:
        np.testing.assert_allclose(rates.max(), 3e-3, rtol=1e-4)
        assert np.argmax(rates) == total // 20 - 1


def test_learning_rate_is_never_negative_nor_undefined():
    for step, total in ((0, 0), (10, 0), (200, 100)):
        rate = float(learning_rate_at(step, total, 1e-2))
        assert 0.0 < rate <= 1e-2


def test_one_program_serves_every_schedule():
    @jax.jit
    @chex.assert_max_traces(n=1)
    def update(grads, state, step, total, peak):
        return adam(learning_rate_at(step, total, peak)).update(grads, state)[0]

    params = jnp.zeros(3)
    state = adam(0.0).init(params)
    grads = jnp.array([0.1, -0.2, 0.0])
    for step, total, peak in ((0, 10.0, 1e-3), (4, 50.0, 2e-3), (9, 10.0, 3e-4)):
        moved = update(grads, state, jnp.int32(step), jnp.float32(total), jnp.float32(peak))
        rate = learning_rate_at(step, total, peak)
        # Adam's first step is the sign of the gradient.
        np.testing.assert_allclose(moved, -rate * np.sign(grads), rtol=1e-4, atol=1e-12)


def test_steps_are_adams_with_a_clipped_norm():
    grads = [jnp.array([3.0, 4.0]), jnp.array([0.3, -0.4]), jnp.array([-30.0, 0.0])]
    ours, theirs = adam(0.01), optax.adam(0.01, b2=0.99)
    state, expected_state = ours.init(jnp.zeros(2)), theirs.init(jnp.zeros(2))
    for g in grads:
        moved, state = ours.update(g, state)
        clipped = g / max(1.0, float(jnp.linalg.norm(g)))
        expected, expected_state = theirs.update(clipped, expected_state)
        np.testing.assert_allclose(moved, expected, rtol=1e-5)
