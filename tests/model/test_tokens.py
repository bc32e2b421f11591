"""Tokenizers: the formula in NumPy, a set of times, and nothing of what is not visible."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from wfm_jax.model import positions
from wfm_jax.model.tokens import Tokenizer

BATCH, TOKENS, FEATURES, PLACES, WIDTH = 3, 4, 5, 6, 7


@pytest.fixture(scope="module")
def tokenizer():
    made = Tokenizer(FEATURES, PLACES, WIDTH, rngs=nnx.Rngs(params=jax.random.key(0)))
    rng = np.random.default_rng(0)
    graph, state = nnx.split(made)
    moved = jax.tree.map(lambda w: jnp.asarray(w + 0.1 * rng.normal(size=w.shape), w.dtype), state)
    return nnx.merge(graph, moved)


@pytest.fixture(scope="module")
def tokens(tokenizer):
    """``tokens(view, visible, times, places)``, compiled."""
    graph, state = nnx.split(tokenizer)
    return jax.jit(lambda *inputs: nnx.merge(graph, state)(*inputs))


def drawn(n_times, seed=1):
    rng = np.random.default_rng(seed)
    view = rng.normal(size=(BATCH, TOKENS, n_times, FEATURES)).astype(np.float32)
    visible = np.arange(BATCH * TOKENS).reshape(BATCH, TOKENS) % 3 > 0
    places = rng.normal(size=(TOKENS, PLACES)).astype(np.float32)
    return view, visible, positions.time_code(np.arange(n_times) + 0.5), places


@pytest.mark.parametrize("n_times", [1, 4, 9])
def test_tokens_are_those_of_the_formula(tokenizer, tokens, n_times):
    """One relu layer of each time, their mean or the absent vector, one layer with the place; the
    same parameters for any number of times."""
    view, visible, times, places = drawn(n_times)
    got = tokens(view, visible, times, places)
    state = nnx.to_pure_dict(nnx.state(tokenizer))
    w = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), state)
    assert w["times"]["kernel"].shape == (FEATURES + positions.TIME_WAVES, WIDTH)
    assert w["token"]["kernel"].shape == (WIDTH + PLACES, WIDTH)
    for b, t in np.ndindex(BATCH, TOKENS):
        shown = w["absent"]
        if visible[b, t]:
            each = np.concatenate([view[b, t], times], axis=1)
            hidden = np.maximum(each @ w["times"]["kernel"] + w["times"]["bias"], 0.0)
            shown = hidden.mean(axis=0)
        expected = np.concatenate([shown, places[t]]) @ w["token"]["kernel"] + w["token"]["bias"]
        np.testing.assert_allclose(got[b, t], expected, rtol=1e-4, atol=1e-5)


def test_times_are_a_set(tokens):
    """In another order, with their codes, or all of them twice over: the same tokens. Without their
    codes, not."""
    view, visible, times, places = drawn(4)
    expected = tokens(view, visible, times, places)
    order = np.array([2, 0, 3, 1, 2, 0, 3, 1])
    shuffled = tokens(view[:, :, order], visible, times[order], places)
    np.testing.assert_allclose(shuffled, expected, rtol=1e-4, atol=1e-5)
    misplaced = tokens(view[:, :, order[:4]], visible, times, places)
    assert np.abs(np.asarray(misplaced) - expected)[visible].max() > 0.01


def test_what_is_not_visible_has_no_influence_nor_gradient(tokenizer, tokens):
    view, visible, times, places = drawn(4)
    other = np.where(visible[..., None, None], view, 100.0 * drawn(4, seed=2)[0])
    np.testing.assert_array_equal(
        tokens(other, visible, times, places), tokens(view, visible, times, places)
    )
    slope = jax.jit(
        jax.grad(lambda view: jnp.sum(jnp.square(tokenizer(view, visible, times, places))))
    )(view)
    strength = np.abs(slope).max(axis=(2, 3))
    assert np.all((strength > 0) == visible)


def test_a_token_that_is_not_visible_keeps_its_place(tokens):
    view, _, times, places = drawn(4)
    nothing = np.asarray(tokens(view, np.zeros((BATCH, TOKENS), bool), times, places))
    np.testing.assert_array_equal(nothing[1:], nothing[:-1])  # nothing of the frame
    apart = np.abs(nothing[0][:, None] - nothing[0][None]).max(axis=-1)
    assert np.min(apart + np.eye(TOKENS)) > 0.01
