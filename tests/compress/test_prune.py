import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.compress import magnitude_prune, sparsity_achieved

KEY = jax.random.key(3)


def params():
    a, b = np.random.default_rng(3).normal(size=(2, 32, 12)).astype(np.float32)
    return {"a": jnp.asarray(a), "b": jnp.asarray(b / 10)}


def test_init_keeps_everything():
    transform = magnitude_prune(0.5)
    state = transform.init(params(), key=KEY)
    chex.assert_trees_all_equal(transform.apply(params(), state), params())
    assert sparsity_achieved(state.keep) == 0


@pytest.mark.parametrize("distribution", ["global", "uniform"])
def test_removes_the_asked_fraction(distribution):
    transform = magnitude_prune(0.6, distribution=distribution)
    given = params()
    updated, state = transform.update(given, transform.init(given, key=KEY))
    assert updated is given
    assert float(sparsity_achieved(state.keep)) == pytest.approx(0.6, abs=2e-3)
    fractions = [1 - float(state.keep[name].mean()) for name in "ab"]
    if distribution == "uniform":
        np.testing.assert_allclose(fractions, 0.6, atol=2e-3)
    else:
        assert fractions[0] < 0.3 < 0.7 < fractions[1]
    pruned = transform.apply(given, state)
    chex.assert_trees_all_equal(jax.tree.map(lambda w: w != 0, pruned), state.keep)


@pytest.mark.parametrize("distribution", ["global", "uniform"])
def test_a_removed_weight_never_comes_back(distribution):
    transform = magnitude_prune(0.5, distribution=distribution)
    _, first = transform.update(params(), transform.init(params(), key=KEY))
    grown = jax.tree.map(lambda w, keep: jnp.where(keep, w, 100.0), params(), first.keep)
    _, again = transform.update(grown, first)
    chex.assert_trees_all_equal(again.keep, first.keep)
    _, less = magnitude_prune(0.1, distribution=distribution).update(grown, first)
    chex.assert_trees_all_equal(less.keep, first.keep)
    _, more = magnitude_prune(0.8, distribution=distribution).update(grown, first)
    assert float(sparsity_achieved(more.keep)) == pytest.approx(0.8, abs=1e-3)
    assert not any(bool((more.keep[name] & ~first.keep[name]).any()) for name in "ab")


def test_zeros_go_first_then_ties_at_random():
    ternary = {"w": jnp.tile(jnp.array([0.0, 1.0, -1.0, 0.0]), 50)}
    transform = magnitude_prune(0.75)
    masks = [
        transform.update(ternary, transform.init(ternary, key=key))[1].keep["w"]
        for key in jax.random.split(KEY, 2)
    ]
    for keep in masks:
        assert int(keep.sum()) == 50
        assert not bool((keep & (ternary["w"] == 0)).any())
    assert bool((masks[0] != masks[1]).any())


def test_a_second_update_draws_its_own_ties():
    flat = {"w": jnp.ones(200)}
    _, first = magnitude_prune(0.5).update(flat, magnitude_prune(0.5).init(flat, key=KEY))
    assert bool(jnp.any(jax.random.key_data(first.key) != jax.random.key_data(KEY)))


def test_no_gradient_reaches_a_removed_weight():
    transform = magnitude_prune(0.5)
    _, state = transform.update(params(), transform.init(params(), key=KEY))
    poisoned = jax.tree.map(lambda w, keep: jnp.where(keep, w, jnp.nan), params(), state.keep)

    def total(p):
        return sum(jnp.sum(w) for w in transform.apply(p, state).values())

    grads = jax.grad(total)(poisoned)
    chex.assert_trees_all_equal(grads, jax.tree.map(lambda k: k.astype(jnp.float32), state.keep))


def test_sparsity_achieved_of_stacked_masks_is_a_vmap():
    def achieved(sparsity):
        transform = magnitude_prune(sparsity)
        return sparsity_achieved(
            transform.update(params(), transform.init(params(), key=KEY))[1].keep
        )

    np.testing.assert_allclose(
        jax.vmap(achieved)(jnp.array([0.0, 0.5, 0.9])), [0, 0.5, 0.9], atol=1e-3
    )
    assert sparsity_achieved({}) == 0


@pytest.mark.parametrize("sparsity", [1.0, -0.5, float("nan")])
def test_rejects_a_bad_sparsity(sparsity):
    with pytest.raises(ValueError, match="sparsity"):
        magnitude_prune(sparsity)


def test_rejects_an_unknown_distribution():
    with pytest.raises(ValueError, match=r"distribution must be 'global' or 'uniform'.*'layer'"):
        magnitude_prune(0.5, distribution="layer")  # pyright: ignore[reportArgumentType]
