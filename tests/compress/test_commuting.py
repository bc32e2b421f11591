"""When pruning and quantizing commute, the order of the two is no factor of a study."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.compress import chain, fake_quant, keep_mask, magnitude_prune, mse_scale, quantize

KEY = jax.random.key(4)
W = jnp.asarray(np.random.default_rng(4).normal(size=(128, 48)), jnp.float32)


def orders(bits, sparsity, scale_of, **settings):
    """M * Q(W) and Q(M * W), with the mask scored on the latent weights."""
    keep = keep_mask(jnp.abs(W), sparsity, key=KEY)
    masked = jnp.where(keep, W, 0.0)
    prune_last = jnp.where(keep, fake_quant(W, bits, scale=scale_of(W), **settings), 0.0)
    return prune_last, fake_quant(masked, bits, scale=scale_of(masked), **settings)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("sparsity", [0.5, 0.75, 0.99])
@pytest.mark.parametrize("group_size", [None, 16])
def test_latent_masks_commute_with_absmax_scales_bit_for_bit(bits, sparsity, group_size):
    prune_last, quantize_last = orders(bits, sparsity, lambda w: None, group_size=group_size)
    assert np.asarray(prune_last).tobytes() == np.asarray(quantize_last).tobytes()


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_they_do_not_commute_with_mse_scales(bits):
    prune_last, quantize_last = orders(bits, 0.75, lambda w: mse_scale(w, bits))
    assert bool((prune_last != quantize_last).any())


def test_the_transforms_commute_with_latent_scores_and_differ_with_current_ones():
    params = {"w": W}

    def run(transform):
        latent, state = transform.update(params, transform.init(params, key=KEY))
        return transform.apply(latent, state)["w"]

    prune, snap = magnitude_prune(0.75), quantize(2, scale="absmax")
    prune_then_snap = run(chain(prune, snap))
    snap_then_prune = run(chain(snap, prune))
    assert bool(((prune_then_snap != 0) != (snap_then_prune != 0)).any())
    _, pruned = prune.update(params, prune.init(params, key=KEY))
    latent_scores = prune.apply({"w": fake_quant(W, 2)}, pruned)["w"]
    np.testing.assert_array_equal(latent_scores, prune_then_snap)
