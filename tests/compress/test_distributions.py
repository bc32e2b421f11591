from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.compress import (
    erk,
    erk_kept,
    global_keep_masks,
    globally,
    per_layer,
    per_output,
    uniform_keep_masks,
    uniformly,
)

KEY = jax.random.key(13)
RNG = np.random.default_rng(13)
SHAPES = {"a/kernel": (24, 16), "b/kernel": (16, 48), "c/kernel": (4, 16)}
SCORES = {p: jnp.asarray(RNG.normal(size=s) ** 2, jnp.float32) for p, s in SHAPES.items()}
TIES = {p: jnp.zeros(s) for p, s in SHAPES.items()}
ROWS = {p: jnp.asarray(RNG.permutation(s[0]) + 1.0).reshape(-1, 1) for p, s in SHAPES.items()}
BLOCKS = {p: s.reshape(s.shape[0] // 4, 4, -1, 4).mean((1, 3)) for p, s in SCORES.items()}
KINDS = {"distinct": SCORES, "ties": TIES, "rows": ROWS, "blocks": BLOCKS}
TOTAL = sum(a * b for a, b in SHAPES.values())
SPARSITIES = np.array([0.0, 0.3, 0.5, 0.9], np.float32)
MIXED = per_layer({"a/*": 0.9, "*": 0.5})

of_weights = pytest.mark.parametrize("kind", ["distinct", "ties"])
each_distribution = pytest.mark.parametrize("distribution", [globally, uniformly, per_output, erk])


def removed(masks):
    return {path: int(np.sum(~np.asarray(mask))) for path, mask in masks.items()}


def lowest_go(masks, scores):
    """Whether no removed entry outranks a kept one of the same tensor."""
    return all(
        not (~m).any() or not m.any() or s[~m].max() <= s[m].min()
        for m, s in ((np.asarray(masks[p]), np.asarray(scores[p])) for p in scores)
    )


@pytest.mark.parametrize(
    "ours, plain", [(globally, global_keep_masks), (uniformly, uniform_keep_masks)]
)
def test_of_weights_global_and_uniform_are_the_plain_masks(ours, plain):
    masks, expected = ours(TIES, 0.6, shapes=SHAPES, key=KEY), plain(TIES, 0.6, key=KEY)
    assert all(bool((masks[p] == expected[p]).all()) for p in SHAPES)


@partial(jax.jit, static_argnums=0)
def masks_of(distribution, scores, sparsities):
    def masks(sparsity):
        return distribution(scores, sparsity, shapes=SHAPES, key=KEY)

    return jax.vmap(masks)(sparsities)


def over_sparsities(distribution, kind):
    """Masks at all SPARSITIES, in one program, as NumPy arrays."""
    return jax.device_get(masks_of(distribution, KINDS[kind], SPARSITIES))


def each_count(distribution, kind):
    """(sparsity, removed units by path) at all SPARSITIES."""
    masks = over_sparsities(distribution, kind)
    for i, sparsity in enumerate(SPARSITIES):
        yield sparsity, removed({path: mask[i] for path, mask in masks.items()})


@of_weights
def test_global_is_exact_in_total(kind):
    for sparsity, counts in each_count(globally, kind):
        assert sum(counts.values()) == round(sparsity * TOTAL)


@of_weights
def test_uniform_is_exact_in_every_tensor(kind):
    for sparsity, counts in each_count(uniformly, kind):
        assert counts == {p: round(sparsity * s.size) for p, s in KINDS[kind].items()}


@of_weights
def test_per_output_is_exact_in_every_column(kind):
    for path, masks in over_sparsities(per_output, kind).items():
        for sparsity, mask in zip(SPARSITIES, masks, strict=True):
            assert ((~mask).sum(0) == round(sparsity * SHAPES[path][0])).all()


@of_weights
def test_erk_is_its_law_s_numbers_and_takes_the_lowest(kind):
    for sparsity, counts in each_count(erk, kind):
        kept = erk_kept(SHAPES, sparsity)
        assert counts == {p: KINDS[kind][p].size - int(n) for p, n in kept.items()}
    for i in range(len(SPARSITIES)):
        masks = {path: mask[i] for path, mask in over_sparsities(erk, kind).items()}
        assert lowest_go(masks, KINDS[kind])


def test_global_of_rows_counts_weights_and_ranks_units():
    """Off by at most half of the largest unit, which is 48 weights."""
    scores = np.concatenate([np.ravel(s) for s in ROWS.values()])
    masks = over_sparsities(globally, "rows")
    for i, (sparsity, counts) in enumerate(each_count(globally, "rows")):
        weights = sum(n * SHAPES[path][1] for path, n in counts.items())
        assert abs(weights - round(sparsity * TOTAL)) <= 48 / 2
        kept = np.concatenate([np.ravel(mask[i]) for mask in masks.values()])
        assert kept.all() or scores[~kept].max() <= scores[kept].min()


def test_erk_of_rows_is_off_by_half_a_row_a_tensor():
    for sparsity, counts in each_count(erk, "rows"):
        for path, kept in erk_kept(SHAPES, sparsity).items():
            n_in, n_out = SHAPES[path]
            assert abs(counts[path] * n_out - (n_in * n_out - int(kept))) <= n_out / 2


def test_erk_of_equal_units_is_exact_in_total():
    for sparsity, counts in each_count(erk, "blocks"):
        assert sum(counts.values()) == round(sparsity * TOTAL / 16)


@each_distribution
def test_a_concrete_sparsity_gives_the_masks_of_a_traced_one(distribution):
    many = over_sparsities(distribution, "distinct")
    one = distribution(SCORES, 0.3, shapes=SHAPES, key=KEY)
    assert all(bool((many[path][1] == one[path]).all()) for path in SHAPES)


def test_per_output_ranks_every_column_by_itself():
    masks = per_output(SCORES, 0.5, shapes=SHAPES, key=KEY)
    for path, mask in masks.items():
        for column, scores in zip(np.asarray(mask).T, np.asarray(SCORES[path]).T, strict=True):
            assert scores[~column].max() < scores[column].min()


@each_distribution
def test_ties_are_broken_by_the_key(distribution):
    kernel = {"a/kernel": TIES["a/kernel"]}
    masks = [distribution(kernel, 0.5, shapes=SHAPES, key=k) for k in jax.random.split(KEY, 2)]
    assert bool((masks[0]["a/kernel"] != masks[1]["a/kernel"]).any())


class TestPerLayer:
    def test_the_first_pattern_that_matches_counts(self):
        counts = removed(MIXED(SCORES, None, shapes=SHAPES, key=KEY))
        assert counts == {"a/kernel": round(0.9 * 384), "b/kernel": 384, "c/kernel": 32}

    def test_array_in_the_order_of_the_tree(self):
        masks = per_layer([0.25, 0.5, 0.75])(SCORES, None, shapes=SHAPES, key=KEY)
        assert removed(masks) == {"a/kernel": 96, "b/kernel": 384, "c/kernel": 48}
        assert lowest_go(masks, SCORES)

    def test_arrays_of_sparsities_are_traced(self):
        def counts(sparsities):
            masks = per_layer(sparsities)(SCORES, None, shapes=SHAPES, key=KEY)
            return jnp.stack([jnp.sum(~mask) for mask in masks.values()])

        settings = jnp.array([[0.0, 0.5, 0.75], [0.5, 0.25, 0.0]])
        np.testing.assert_array_equal(
            jax.jit(jax.vmap(counts))(settings), [[0, 384, 48], [192, 192, 0]]
        )

    @pytest.mark.parametrize(
        "sparsities, message",
        [
            ({"a/kernal": 0.5}, r"matches no leaf; the nearest are a/kernel"),
            ({"a/*": 0.5}, "no sparsity for b/kernel, c/kernel: add one for '\\*'"),
            ({"*": 1.0}, r"sparsity of '\*' must be one number in \[0, 1\), got 1.0"),
            (np.array([0.5, 0.5]), r"each of 3 tensors, got an array of shape \(2,\)"),
            (np.array([0.5, 0.5, np.nan]), r"must be numbers in \[0, 1\)"),
        ],
    )
    def test_rejects_bad_sparsities(self, sparsities, message):
        with pytest.raises(ValueError, match=message):
            per_layer(sparsities)(SCORES, None, shapes=SHAPES, key=KEY)

    def test_rejects_a_sparsity_beside_its_own(self):
        with pytest.raises(ValueError, match="per_layer has sparsities of its own"):
            MIXED(SCORES, 0.5, shapes=SHAPES, key=KEY)


@each_distribution
@pytest.mark.parametrize("sparsity", [None, 1.0, float("nan")])
def test_rejects_a_bad_sparsity(distribution, sparsity):
    with pytest.raises(ValueError, match="sparsity must be one number"):
        distribution(SCORES, sparsity, shapes=SHAPES, key=KEY)


def test_per_output_needs_kernels():
    with pytest.raises(ValueError, match=r"per_output needs kernels .* bias has shape \(4,\)"):
        per_output({"bias": jnp.ones(4)}, 0.5, shapes={"bias": (4,)}, key=KEY)


@each_distribution
def test_no_scores_no_masks(distribution):
    assert distribution({}, 0.5, shapes={}, key=KEY) == {}
