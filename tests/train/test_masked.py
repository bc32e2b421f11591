"""The loss of masked modelling: the share of the hidden that a prediction leaves unexplained."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.model.config import VIEWS
from wfm_jax.model.reconstruction import mask_tokens
from wfm_jax.train import masked
from wfm_jax.train.masked import reconstruction_losses


@pytest.fixture(scope="module")
def shown(batch):
    """Inputs with half of the tokens hidden; of the first frame csi was not there to begin with."""
    there = {**batch.inputs.visible, "csi": batch.inputs.visible["csi"].at[0].set(False)}
    target = batch.inputs._replace(visible=there)
    return target, mask_tokens(target, 0.5, key=jax.random.key(1))


def hidden_means(target, shown):
    """Of each view: which tokens were hidden, and the mean of each feature over them."""
    for view, truth in target.views.items():
        truth = np.asarray(truth, np.float64)
        hidden = np.asarray(target.visible[view]) & ~np.asarray(shown.visible[view])
        yield view, truth, hidden, truth[hidden].mean(axis=(0, 1))


@pytest.mark.parametrize("share, expected", [(0.0, 1.0), (1.0, 0.0), (0.5, 0.25), (-1.0, 4.0)])
def test_the_mean_explains_nothing_and_the_truth_everything(shown, share, expected):
    """Some way from the mean over the hidden tokens to the truth leaves the rest's square; what is
    predicted of tokens in sight, or of tokens that nobody knows, does not count."""
    target, inputs = shown
    predicted = {}
    for view, truth, hidden, mean in hidden_means(target, inputs):
        guess = np.where(hidden[..., None, None], mean + share * (truth - mean), 1e3)
        predicted[view] = guess.astype(np.float32)
    losses = jax.jit(reconstruction_losses)(predicted, target, inputs)
    assert set(losses) == set(target.views)
    for view, loss in losses.items():
        np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=1e-9, err_msg=view)


def test_losses_are_unexplained_shares_of_the_variance(shown):
    target, inputs = shown
    rng = np.random.default_rng(0)
    predicted = {
        view: rng.normal(size=truth.shape).astype(np.float32)
        for view, truth in target.views.items()
    }
    losses = reconstruction_losses(predicted, target, inputs)
    for view, truth, hidden, mean in hidden_means(target, inputs):
        error = np.sum((predicted[view] - truth)[hidden] ** 2)
        expected = error / np.sum((truth[hidden] - mean) ** 2)
        np.testing.assert_allclose(losses[view], expected, rtol=1e-4)


def test_nothing_hidden_is_nothing_to_lose(shown):
    target, _ = shown
    predicted = {view: 1.0 + truth for view, truth in target.views.items()}
    losses = reconstruction_losses(predicted, target, target)
    assert all(loss == 0.0 for loss in losses.values())


def test_the_loss_is_that_of_a_masked_batch(config, batch, monkeypatch):
    """Batch and mask from a key each, drawn as asked; the mean of the views' losses."""
    settings = {"batch_size": 16, "view_dropout": 0.2, "carrier_offset_fraction": 0.01}
    drawn, shown = [], []

    def sample_batch(*arguments, **options):
        drawn.append((arguments, options))
        return batch

    def apply(params, inputs):
        shown.append(inputs)
        return {view: params + jnp.zeros(truth.shape) for view, truth in inputs.views.items()}

    monkeypatch.setattr(masked, "sample_batch", sample_batch)
    loss_of = masked.masked_loss(config, apply, mask_ratio=0.4, **settings)
    loss, parts = loss_of(0.3, jax.random.key(8))
    key_batch, key_mask = jax.random.split(jax.random.key(8))
    assert drawn == [((config,), settings | {"key": key_batch})]
    visible = mask_tokens(batch.inputs, 0.4, key=key_mask).visible
    jax.tree.map(np.testing.assert_array_equal, shown[0].visible, visible)
    assert set(parts) == set(VIEWS)
    predicted = {view: jnp.full(x.shape, 0.3) for view, x in batch.inputs.views.items()}
    for view, value in reconstruction_losses(predicted, batch.inputs, shown[0]).items():
        np.testing.assert_allclose(parts[view], value, rtol=1e-5)
    np.testing.assert_allclose(loss, np.mean([float(part) for part in parts.values()]), rtol=1e-5)
