import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.compress import (
    PruneState,
    Transform,
    absmax_scale,
    chain,
    identity,
    magnitude_prune,
    matching,
    quantize,
    store_half,
)

KEY = jax.random.key(9)
W = jnp.asarray(np.random.default_rng(9).normal(size=(32, 12)), jnp.float32)


def make_params():
    return {
        "block_0": {
            "mlp": {"kernel": W, "bias": jnp.ones(12) / 3},
            "norm": {"scale": jnp.ones(12)},
        },
        "head": {"kernel": W},
    }


def default():
    """What the library compresses by default, in miniature."""
    return chain(
        matching("block_*/kernel", magnitude_prune(0.5)),
        matching("block_*/kernel", quantize(4)),
        matching("head/*", quantize(4, min_bits=8)),
        matching(("*/bias", "*/scale"), store_half()),
    )


def test_identity_returns_its_arguments():
    params, transform = make_params(), identity()
    state = transform.init(params, key=KEY)
    assert transform.update(params, state)[0] is transform.apply(params, state) is params
    assert jax.tree.leaves(state) == []


def test_empty_chain_is_identity():
    params = make_params()
    assert chain().init(params, key=KEY) == ()
    assert chain().apply(params, ()) is params


def test_the_default_compression_touches_what_it_should():
    params, transform = make_params(), default()
    latent, state = transform.update(params, transform.init(params, key=KEY))
    seen = transform.apply(latent, state)
    assert int((seen["block_0"]["mlp"]["kernel"] == 0).sum()) >= 192
    assert int((seen["head"]["kernel"] == 0).sum()) < 20
    assert float(state[2].bits["head/kernel"]) == 8
    chex.assert_trees_all_equal(
        seen["block_0"]["mlp"]["bias"],
        params["block_0"]["mlp"]["bias"].astype(jnp.float16).astype(jnp.float32),
    )


def test_matching_leaves_the_others_the_same_objects():
    params = make_params()
    transform = matching("*/mlp/kernel", chain(magnitude_prune(0.5), quantize(4)))
    latent, state = transform.update(params, transform.init(params, key=KEY))
    seen = transform.apply(latent, state)
    for tree in (latent, seen):
        assert tree["block_0"]["mlp"]["bias"] is params["block_0"]["mlp"]["bias"]
        assert tree["block_0"]["norm"]["scale"] is params["block_0"]["norm"]["scale"]
        assert tree["head"]["kernel"] is params["head"]["kernel"]
    assert set(state[0].keep) == {"block_0/mlp/kernel"}


def test_matching_takes_a_predicate():
    state = matching(lambda path, leaf: leaf.ndim == 1, magnitude_prune(0.5)).init(
        make_params(), key=KEY
    )
    assert set(state.keep) == {"block_0/mlp/bias", "block_0/norm/scale"}


def test_a_pattern_without_a_match_names_the_nearest():
    with pytest.raises(ValueError, match=r"'\*/kernels' matches no leaf; .*head/kernel"):
        matching("*/kernels", identity()).init(make_params(), key=KEY)
    with pytest.raises(ValueError, match="matches no leaf"):
        matching(lambda path, leaf: False, identity()).init(make_params(), key=KEY)


def test_update_in_a_chain_sees_what_came_before_and_returns_latent_weights():
    params = {"w": W}
    transform = chain(magnitude_prune(0.9), quantize(4, scale="mse"))
    latent, (pruned, quantized) = transform.update(params, transform.init(params, key=KEY))
    assert latent["w"] is params["w"]
    survivors = quantize(4, scale="mse").update(
        {"w": jnp.where(pruned.keep["w"], params["w"], 0.0)},
        quantized,
    )[1]
    chex.assert_trees_all_equal(quantized, survivors)


def test_update_in_a_chain_hands_on_weights_that_a_transform_changed():
    double = Transform(
        init=lambda params, *, key: (),
        update=lambda params, state, stats=None: (jax.tree.map(lambda w: 2 * w, params), state),
        apply=lambda params, state: params,
    )
    params = {"w": W}
    transform = chain(double, quantize(4))
    latent, (_, state) = transform.update(params, transform.init(params, key=KEY))
    chex.assert_trees_all_equal(latent["w"], 2 * params["w"])
    np.testing.assert_array_equal(state.scale["w"], absmax_scale(2 * params["w"], 4))


def test_chain_gives_every_transform_its_own_key():
    params = {"w": jnp.ones(64)}
    transform = chain(magnitude_prune(0.5), magnitude_prune(0.5))
    first, second = transform.init(params, key=KEY)
    assert isinstance(first, PruneState)
    assert bool(jnp.any(jax.random.key_data(first.key) != jax.random.key_data(second.key)))


def test_chain_rejects_a_state_that_is_not_its_own():
    with pytest.raises(ValueError, match="zip"):
        chain(identity(), identity()).apply({}, ((),))
