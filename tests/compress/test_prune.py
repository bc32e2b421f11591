import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.compress import (
    NM,
    Blocks,
    Inputs,
    LeafStats,
    Outputs,
    cubic_sparsity,
    erk,
    erk_kept,
    global_keep_masks,
    magnitude_prune,
    matching,
    per_layer,
    per_output,
    prune,
    random_score,
    sparsity_achieved,
    taylor,
    uniform_keep_masks,
    uniformly,
    wanda,
)

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


STRUCTURES = {
    "blocks": prune(0.5, structure=Blocks(4, 3)),
    "blocks uniformly": prune(0.5, structure=Blocks(8, 2), distribution=uniformly),
    "inputs": prune(0.5, structure=Inputs(), distribution=uniformly),
    "outputs": prune(0.5, structure=Outputs()),
    "2:4": prune(None, structure=NM(2, 4)),
    "2:4, said twice": prune(0.5, structure=NM(2, 4)),
    "2 of 4 by chance": prune(None, structure=NM(2, 4), score=random_score),
    "erk": prune(0.5, distribution=erk),
    "per output by chance": prune(0.5, distribution=per_output, score=random_score),
    "per layer": prune(None, distribution=per_layer({"a": 0.25, "b": 0.75})),
}
each_structure = pytest.mark.parametrize("transform", STRUCTURES.values(), ids=STRUCTURES)


def once(transform, given, stats=None):
    return transform.update(given, transform.init(given, key=KEY), stats)[1]


@pytest.mark.parametrize(
    "distribution, plain", [("global", global_keep_masks), ("uniform", uniform_keep_masks)]
)
def test_magnitude_pruning_ranks_magnitudes_and_breaks_ties_by_the_second_half_of_the_key(
    distribution, plain
):
    ties = jax.tree.map(jnp.round, params())
    key, tie_key = jax.random.split(KEY)
    state = once(magnitude_prune(0.3, distribution=distribution), ties)
    chex.assert_trees_all_equal(state.keep, plain(jax.tree.map(jnp.abs, ties), 0.3, key=tie_key))
    np.testing.assert_array_equal(jax.random.key_data(state.key), jax.random.key_data(key))


@each_structure
def test_half_goes_whatever_goes_together_and_never_comes_back(transform):
    first = once(transform, params())
    assert float(sparsity_achieved(first.keep)) == 0.5
    grown = jax.tree.map(lambda w, keep: jnp.where(keep, w, 100.0), params(), first.keep)
    _, again = transform.update(grown, first)
    chex.assert_trees_all_equal(again.keep, first.keep)


def test_units_go_as_a_whole():
    def share_of_units(name, units):
        keep = np.asarray(once(STRUCTURES[name], params()).keep["a"])
        return keep.reshape(32 // units[0], units[0], 12 // units[1], units[1]).mean((1, 3))

    for name, units in {"blocks": (4, 3), "inputs": (1, 12), "outputs": (32, 1)}.items():
        assert set(np.unique(share_of_units(name, units))) <= {0, 1}, name
    assert set(np.unique(share_of_units("2:4", (4, 1)))) == {0.5}


def test_erk_keeps_what_its_law_says():
    shapes = {"small": (4, 8), "large": (32, 64)}
    given = {p: jnp.asarray(np.random.default_rng(4).normal(size=s)) for p, s in shapes.items()}
    keep = once(prune(0.8, distribution=erk), given).keep
    kept = {path: int(mask.sum()) for path, mask in keep.items()}
    assert kept == {path: int(count) for path, count in erk_kept(shapes, 0.8).items()}
    assert kept["small"] == 32


def test_a_unit_partly_removed_before_loses_its_lead():
    """Two blocks of equal magnitude: of the first, half is gone already."""
    given = {"w": jnp.ones((4, 2))}
    blocks = prune(0.5, structure=Blocks(2, 2))
    state = blocks.init(given, key=KEY)
    state = state._replace(keep={"w": state.keep["w"].at[0].set(False)})
    keep = blocks.update(given, state)[1].keep["w"]
    np.testing.assert_array_equal(keep.all(1), [False, False, True, True])


def test_wanda_through_the_transform_is_a_loop_over_outputs():
    """Also inside `matching`: statistics go by the full path."""
    rng = np.random.default_rng(5)
    w, x = rng.normal(size=(16, 6)), rng.normal(size=(50, 16)) * rng.uniform(0.1, 3, 16)
    given = {"dense": {"kernel": jnp.asarray(w, jnp.float32), "bias": jnp.ones(6)}}
    stats = LeafStats(jnp.float32(50), jnp.asarray(x.T @ x, jnp.float32), jnp.abs(x).sum(0))
    method = matching("*/kernel", prune(0.25, score=wanda, distribution=per_output))
    keep = np.asarray(once(method, given, {"dense/kernel": stats}).keep["dense/kernel"])
    for j in range(6):
        scores = np.abs(w[:, j]) * np.linalg.norm(x, axis=0)
        assert set(np.flatnonzero(~keep[:, j])) == set(np.argsort(scores)[:4])


@pytest.mark.parametrize("score", [wanda, taylor])
def test_scores_that_read_data_name_the_path_that_has_none(score):
    with pytest.raises(ValueError, match=r"params\['a'\]: .* needs statistics: gather them with"):
        once(prune(0.5, score=score), params())


def test_gradual_pruning_only_ever_removes_and_counts_exactly():
    def thin(state, step):
        sparsity = cubic_sparsity(step, start=1, end=5, final=0.9, initial=0.3)
        _, state = prune(sparsity, distribution=erk).update(params(), state)
        return state, (state.keep, sparsity)

    start = prune(0.0).init(params(), key=KEY)
    _, (keep, sparsity) = jax.jit(lambda s: jax.lax.scan(thin, s, jnp.arange(7)))(start)
    kept = np.concatenate([np.reshape(keep[name], (7, -1)) for name in "ab"], axis=1)
    assert not (kept[1:] & ~kept[:-1]).any()
    np.testing.assert_array_equal((~kept).sum(1), np.round(np.asarray(sparsity) * 768))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: prune(0.6, structure=NM(2, 4)), r"sparsity must be 0.5 with NM\(n=2, m=4\)"),
        (lambda: prune(0.5, structure=NM(2, 4), distribution=erk), "takes no distribution"),
        (lambda: once(prune(None), params()), r"sparsity must be one number in \[0, 1\), got None"),
        (
            lambda: prune(0.5, structure=Blocks(5, 3)).init(params(), key=KEY),
            r"Blocks\(rows=5, columns=3\) does not divide a of shape \(32, 12\)",
        ),
        (
            lambda: prune(None, structure=NM(2, 5)).init(params(), key=KEY),
            r"NM\(n=2, m=5\) does not divide the 32 inputs of a of shape \(32, 12\)",
        ),
        (
            lambda: once(prune(0.5), {"w": jnp.array([1.0, jnp.nan])}),
            r"params\['w'\] holds NaN",
        ),
        (
            lambda: once(prune(0.5, score=lambda w, *_: w / 0), {"w": jnp.zeros(2)}),
            r"the score of params\['w'\] holds NaN",
        ),
    ],
)
def test_rejects_what_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()
