"""Masked modelling: the decoders' formula, the share of tokens that is hidden, and that nothing of
what is hidden reaches the prediction."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import small
from tests.model.formulas import Formulas
from wfm_jax import compress
from wfm_jax.model.config import VIEWS
from wfm_jax.model.reconstruction import mask_tokens
from wfm_jax.model.views import n_features


@pytest.fixture(scope="module")
def moved(masked):
    return small.moved(masked[1], 0.1)


@pytest.fixture(scope="module")
def shown(batch):
    """Inputs with a third of the tokens of each view hidden."""
    return jax.jit(mask_tokens)(batch.inputs, 1 / 3, key=jax.random.key(5))


def test_the_model_within_is_the_model(built, masked):
    """Same key, same parameters: what pretraining leaves behind are the decoders alone."""
    chex.assert_trees_all_equal(masked[1]["model"], built[1])
    assert set(masked[1]) == {"model", *(f"decode_{view}" for view in VIEWS)}


def test_decoders_have_stable_names(config, masked):
    for view in VIEWS:
        flat = compress.flatten(masked[1][f"decode_{view}"])
        features = n_features(config, view)
        expected = {"token": (16, 16), "times": (10, 16), "features": (16, features)}
        assert {path: leaf.shape for path, leaf in flat.items()} == {
            f"{layer}/{leaf}": shape if leaf == "kernel" else shape[1:]
            for layer, shape in expected.items()
            for leaf in ("kernel", "bias")
        }


def test_predictions_are_those_of_the_formulas(config, masked, moved, shown):
    """A token's code and a time's, added and rectified, and a layer to the view's features."""
    predicted = masked[0](moved, shown)
    model = Formulas(config, moved["model"])
    tokens = model.encode(shown)
    of = dict.fromkeys(VIEWS, tokens[:, 1:9]) | {"iq": tokens[:, 9:]}
    decoders = Formulas(config, moved)
    assert set(predicted) == set(VIEWS)
    for view, got in predicted.items():
        assert got.shape == shown.views[view].shape
        hidden = decoders.dense(f"decode_{view}/token", of[view])[:, :, None]
        hidden = hidden + decoders.dense(f"decode_{view}/times", model.times(view))
        expected = decoders.dense(f"decode_{view}/features", np.maximum(hidden, 0.0))
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3, err_msg=view)


@pytest.mark.parametrize("ratio", [0.15, 0.5])
def test_tokens_are_hidden_at_the_ratio(batch, ratio):
    """Within 5 standard deviations in each view, and independently of one another; what is not
    there stays away."""
    shape, n = (400, 500), 400 * 500
    there = np.arange(400)[:, None] >= 100
    visible = {view: jnp.asarray(np.broadcast_to(there, shape)) for view in VIEWS}
    inputs = batch.inputs._replace(visible=visible)
    after = jax.jit(mask_tokens)(inputs, ratio, key=jax.random.key(7))
    chex.assert_trees_all_equal(after._replace(visible=visible), inputs)
    spread = np.sqrt(ratio * (1 - ratio) / (0.75 * n))
    hidden = {}
    for view in VIEWS:
        assert not np.any(after.visible[view][:100])
        hidden[view] = ~np.asarray(after.visible[view])[100:]
        assert abs(hidden[view].mean() - ratio) < 5 * spread
        neighbours = np.mean(hidden[view][:, 1:] & hidden[view][:, :-1])
        assert abs(neighbours - ratio**2) < 10 * spread * ratio
    for one, other in itertools.pairwise(VIEWS):
        both = np.mean(hidden[one] & hidden[other])
        assert abs(both - ratio**2) < 10 * spread * ratio


def test_what_is_hidden_does_not_reach_the_prediction(masked, moved, shown):
    """Bit for bit, in every view's prediction; what is shown does."""
    expected = masked[0](moved, shown)
    rng = np.random.default_rng(3)
    for view in VIEWS:
        content = np.asarray(shown.views[view])
        hidden = ~np.asarray(shown.visible[view])[..., None, None]
        assert 0.1 < hidden.mean() < 0.6
        other = rng.normal(size=content.shape).astype(np.float32)
        for where, changes in ((hidden, False), (~hidden, True)):
            views = {**shown.views, view: np.where(where, other, content)}
            got = masked[0](moved, shown._replace(views=views))
            for name in VIEWS:
                same = np.array_equal(got[name], expected[name])
                assert same != changes, (view, name)


def test_views_and_modulation_are_all_that_is_read(masked, moved, shown):
    """Elements and pilots, from which the heads answer, are no way around the mask."""
    noise = small.received(small.LINK, 32, seed=5)
    blank = {"grid": noise.grid, "has_grid": np.zeros(32, bool), "has_pilots": np.zeros(32, bool)}
    blank |= {"pilots": 3.0 - shown.pilots, "channel_ls": 1j * shown.channel_ls}
    chex.assert_trees_all_equal(masked[0](moved, shown._replace(**blank)), masked[0](moved, shown))
