"""Whole units go: exact counts, scores by brute force, and what stays in any case."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.compress.nets import ALL, HEADS, MIX, MLP, NEURONS, params
from wfm_jax.compress import (
    Coupling,
    Part,
    chain,
    fake_quant,
    flatten,
    matching,
    prune_units,
    quantize,
    sparsity_achieved,
)

KEY = jax.random.key(8)
BOTH = (HEADS, NEURONS)


def pruned(sparsity, couplings=BOTH, given=None, key=KEY, distribution="global"):
    given = params() if given is None else given
    return update(sparsity, given, key, tuple(couplings), distribution)


@functools.partial(jax.jit, static_argnums=(3, 4))
def update(sparsity, given, key, couplings, distribution):
    method = prune_units(sparsity, couplings, distribution=distribution)
    return method.update(given, method.init(given, key=key))[1]


def kept(state):
    return {name: int(mask.sum()) for name, mask in state.units.items()}


def layers(sizes):
    """Couplings of one kind, and weights for them, each layer twice as large as the one before."""
    couplings = [
        Coupling(f"{i}", n, (Part(f"{i}/up", 1, 1), Part(f"{i}/down", 0, 1)))
        for i, n in enumerate(sizes)
    ]
    rng = np.random.default_rng(5)
    shapes = {f"{i}": {"up": (3, n), "down": (n, 2)} for i, n in enumerate(sizes)}
    return couplings, {
        i: {k: jnp.asarray(2.0 ** int(i) * rng.normal(size=s), jnp.float32) for k, s in v.items()}
        for i, v in shapes.items()
    }


def test_init_keeps_everything():
    method = prune_units(0.5, ALL)
    state = method.init(params(), key=KEY)
    chex.assert_trees_all_equal(method.apply(params(), state), params())
    assert sparsity_achieved(state.keep) == 0
    assert all(mask.all() for mask in state.units.values())


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.25, 0.5, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("given", [params(), jax.tree.map(jnp.ones_like, params())])
def test_counts_are_exact_with_and_without_ties(sparsity, given):
    for distribution in ("global", "uniform"):
        state = pruned(sparsity, given=given, distribution=distribution)
        assert kept(state) == {
            "heads": max(1, 4 - round(sparsity * 4)),
            "neurons": max(1, 10 - round(sparsity * 10)),
        }


@pytest.mark.parametrize("sparsity", [0.2, 0.5, 0.8])
def test_a_global_ranking_takes_the_asked_fraction_of_a_kind_and_uniform_of_every_coupling(
    sparsity,
):
    couplings, given = layers((20, 10, 30))
    everywhere = pruned(sparsity, couplings, given)
    assert sum(kept(everywhere).values()) == 60 - round(sparsity * 60)
    assert kept(everywhere)["0"] < 20 * (1 - sparsity) < kept(everywhere)["2"]
    each = pruned(sparsity, couplings, given, distribution="uniform")
    assert list(kept(each).values()) == [n - round(sparsity * n) for n in (20, 10, 30)]


def test_the_best_of_every_coupling_stays_however_small():
    couplings, given = layers((20, 10, 30))
    given["0"] = jax.tree.map(lambda w: 1e-3 * w, given["0"])
    state = pruned(0.6, couplings, given)
    assert kept(state)["0"] == 1
    assert sum(kept(state).values()) == 24
    norms = np.sum(np.square(given["0"]["up"]), 0) + np.sum(np.square(given["0"]["down"]), 1)
    assert state.units["0"][np.argmax(norms)]
    couplings[0] = couplings[0]._replace(least=7)
    assert kept(pruned(0.6, couplings, given))["0"] == 7
    assert kept(pruned(0.99, couplings, given)) == {"0": 7, "1": 1, "2": 1}


def test_branches_compete_and_one_of_them_stays():
    given = params()
    given["mix"]["kernel"] *= 0.1
    given["out"]["kernel"] *= 0.1
    state = pruned(0.5, (MIX, MLP), given)
    assert kept(state) == {"mix": 0, "mlp": 1}
    assert kept(pruned(0.99, (MIX, MLP), given)) == {"mix": 0, "mlp": 1}
    assert kept(pruned(0.99, (MIX, MLP), given, distribution="uniform")) == {"mix": 1, "mlp": 1}
    seen = prune_units(0.5, (MIX, MLP)).apply(given, state)
    assert not any(w.any() for name in ("mix", "out") for w in jax.tree.leaves(seen[name]))
    chex.assert_trees_all_equal(seen["up"], given["up"])


def test_scores_are_mean_squares_over_the_kernels_of_a_unit():
    """The mean and no sum: a unit of more weights is not worth more."""
    given = params()
    in_order = np.argsort(
        [
            np.mean(np.square(np.concatenate([
                np.ravel(given["mix"]["kernel"][:, 3 * i : 3 * i + 3]),
                np.ravel(given["out"]["kernel"][3 * i : 3 * i + 3]),
            ])))
            for i in range(4)
        ]
    )  # fmt: skip
    for n_removed in range(1, 4):
        gone = np.flatnonzero(~pruned(n_removed / 4).units["heads"])
        assert set(gone) == set(in_order[:n_removed])
    big = jax.tree.map(jnp.ones_like, given)
    big["up"]["kernel"] = 0.99 * big["up"]["kernel"]  # 120 weights of the MLP, 144 of the mixer
    assert kept(pruned(0.5, (MIX, MLP), big)) == {"mix": 1, "mlp": 0}


def test_another_score_is_pooled_the_same_way_and_gets_statistics_and_a_key_a_leaf():
    given, seen = params(), {}
    stats = {path: jnp.float32(i) for i, path in enumerate(flatten(given))}

    def score(w, stats_of_leaf, key):
        seen[w.shape] = (stats_of_leaf, jax.random.key_data(key).tolist())
        return jnp.abs(w) * stats_of_leaf

    method = prune_units(0.5, BOTH, score=score)
    state = method.update(given, method.init(given, key=KEY), stats)[1]
    paths = ("mix/kernel", "out/kernel", "up/kernel", "down/kernel")
    assert {shape: s for shape, (s, _) in seen.items()} == {
        flatten(given)[path].shape: stats[path] for path in paths
    }
    assert len({tuple(key) for _, key in seen.values()}) == 4
    pooled = stats["up/kernel"] * np.abs(given["up"]["kernel"]).sum(0)
    pooled += stats["down/kernel"] * np.abs(given["down"]["kernel"]).sum(1)
    assert set(np.flatnonzero(~state.units["neurons"])) == set(np.argsort(pooled)[:5])


def test_all_parts_of_a_removed_unit_are_zero_and_masks_say_so_of_kernels():
    state = pruned(0.5)
    seen = flatten(prune_units(0.5, BOTH).apply(params(), state))
    heads, neurons = np.repeat(state.units["heads"], 3), np.asarray(state.units["neurons"])
    for path, axis, mask in (
        ("mix/kernel", 1, heads), ("mix/bias", 0, heads), ("out/kernel", 0, heads),
        ("up/kernel", 1, neurons), ("up/bias", 0, neurons), ("down/kernel", 0, neurons),
    ):  # fmt: skip
        alive = np.moveaxis(np.asarray(seen[path]) != 0, axis, 0).reshape(mask.size, -1)
        assert alive[mask].all()
        assert not alive[~mask].any()
    assert set(state.keep) == {"mix/kernel", "out/kernel", "up/kernel", "down/kernel"}
    for path, mask in state.keep.items():
        np.testing.assert_array_equal(mask, seen[path] != 0)
    assert float(sparsity_achieved(state.keep)) == 0.5


def test_leaves_without_units_are_the_same_objects():
    given = params()
    seen = prune_units(0.5, BOTH).apply(given, pruned(0.5))
    assert seen["head"]["kernel"] is given["head"]["kernel"]
    assert seen["out"]["bias"] is given["out"]["bias"]
    method = prune_units(0.5, BOTH)
    assert method.update(given, method.init(given, key=KEY))[0] is given


@pytest.mark.parametrize("distribution", ["global", "uniform"])
def test_a_removed_unit_never_comes_back(distribution):
    first = pruned(0.5, distribution=distribution)
    method = prune_units(0.5, BOTH, distribution=distribution)
    seen = method.apply(params(), first)
    grown = jax.tree.map(lambda w, now: jnp.where(now == 0, 100.0, w), params(), seen)
    for sparsity in (0.5, 0.1):
        again = prune_units(sparsity, BOTH, distribution=distribution).update(grown, first)[1]
        chex.assert_trees_all_equal(again.units, first.units)
        chex.assert_trees_all_equal(again.keep, first.keep)
    more = prune_units(0.75, BOTH, distribution=distribution).update(grown, first)[1]
    assert kept(more) == {"heads": 1, "neurons": 2}
    assert not any((more.units[name] & ~first.units[name]).any() for name in more.units)


def test_ties_are_broken_by_the_key_and_a_second_update_draws_its_own():
    flat = jax.tree.map(jnp.ones_like, params())
    states = [pruned(0.5, given=flat, key=key) for key in jax.random.split(KEY, 8)]
    assert len({tuple(np.asarray(s.units["neurons"])) for s in states}) > 4
    assert (jax.random.key_data(states[0].key) != jax.random.key_data(KEY)).any()


def test_no_gradient_reaches_a_removed_unit():
    method, state = prune_units(0.5, ALL), pruned(0.5, ALL)
    grads = jax.grad(lambda p: sum(w.sum() for w in jax.tree.leaves(method.apply(p, state))))(
        params()
    )
    seen = method.apply(params(), state)
    chex.assert_trees_all_equal(grads, jax.tree.map(lambda w: (w != 0) * 1.0, seen))


@pytest.mark.parametrize("distribution", ["global", "uniform"])
def test_jit_and_vmap_over_sparsities_equal_the_loop_and_plain_calls(distribution):
    sparsities = jnp.array([0.0, 0.3, 0.5, 0.95])

    def state(sparsity):
        return pruned(sparsity, ALL, distribution=distribution)._replace(key=0)

    many = jax.jit(jax.vmap(state))(sparsities)
    for i, sparsity in enumerate(sparsities):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], many)
        chex.assert_trees_all_equal(one, state(float(sparsity)))
    method = prune_units(0.5, ALL, distribution=distribution)
    plain = method.update(params(), method.init(params(), key=KEY))[1]
    chex.assert_trees_all_equal(plain._replace(key=0), state(0.5))


def test_works_in_a_chain_and_behind_a_pattern():
    method = chain(
        matching(lambda path, _: "head" not in path, prune_units(0.5, BOTH)),
        matching("*/kernel", quantize(4, scale="absmax")),
    )
    given = params()
    _, state = method.update(given, method.init(given, key=KEY))
    seen = method.apply(given, state)
    masked = prune_units(0.5, BOTH).apply(given, state[0])
    chex.assert_trees_all_equal(seen["down"]["kernel"], fake_quant(masked["down"]["kernel"], 4))


def test_bad_input_is_named():
    for sparsity in (1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match="sparsity"):
            prune_units(sparsity, BOTH)
    with pytest.raises(ValueError, match=r"distribution must be 'global' or 'uniform', got 'erk'"):
        prune_units(0.5, BOTH, distribution="erk")  # pyright: ignore[reportArgumentType]
    given = params()
    state = pruned(0.5)
    given["up"]["kernel"] = given["up"]["kernel"].at[0, 0].set(jnp.nan)
    with pytest.raises(ValueError, match="params\\['up/kernel'\\] holds NaN"):
        prune_units(0.5, BOTH).update(given, state)
    del given["up"]
    method = prune_units(0.5, BOTH)
    for call in (
        lambda: method.init(given, key=KEY),
        lambda: method.update(given, state),
        lambda: method.apply(given, state),
    ):
        with pytest.raises(ValueError, match="'neurons' names up/kernel"):
            call()
