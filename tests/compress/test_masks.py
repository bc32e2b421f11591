import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfm_jax.compress import global_keep_masks, keep_mask, uniform_keep_masks

KEY = jax.random.key(7)
RNG = np.random.default_rng(7)
SPARSITIES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)


def removed(mask):
    return int(np.sum(~np.asarray(mask)))


@settings(max_examples=40, deadline=None)
@given(
    levels=st.integers(1, 5),
    size=st.sampled_from([1, 7, 64]),
    sparsity=st.floats(0, 1, exclude_max=True, width=32),
    seed=st.integers(0, 99),
)
def test_count_is_exact_with_any_ties(levels, size, sparsity, seed):
    scores = np.random.default_rng(seed).integers(0, levels, size).astype(np.float32)
    mask = np.asarray(keep_mask(scores, sparsity, key=jax.random.key(seed)))
    assert removed(mask) == int(np.round(np.float32(sparsity) * np.float32(size)))
    if mask.any() and not mask.all():
        assert scores[~mask].max() <= scores[mask].min()


def test_half_a_weight_rounds_to_even():
    assert [removed(keep_mask(jnp.arange(n * 1.0), 0.5)) for n in (1, 3, 5, 7)] == [0, 2, 2, 4]


def test_agrees_with_a_sort_in_numpy():
    scores = jnp.asarray(RNG.normal(size=(40, 25)), jnp.float32)
    for sparsity in SPARSITIES:
        count = round(sparsity * scores.size)
        expected = np.ones(scores.size, bool)
        expected[np.argsort(np.ravel(scores))[:count]] = False
        np.testing.assert_array_equal(
            keep_mask(scores, sparsity, key=KEY), expected.reshape(scores.shape)
        )


def test_ties_are_broken_by_the_key_and_not_by_position():
    """Each of 200 equal weights stays in about half of 400 draws: binomial, |z| < 5 each."""
    keys = jax.random.split(KEY, 400)
    masks = jax.vmap(lambda k: keep_mask(jnp.zeros(200), 0.5, key=k))(keys)
    np.testing.assert_array_equal(masks.sum(1), 100)
    z = (np.asarray(masks.sum(0)) - 200) / np.sqrt(400 / 4)
    assert np.abs(z).max() < 5


def test_without_a_key_the_first_of_equals_go_first():
    np.testing.assert_array_equal(keep_mask(jnp.zeros(4), 0.5), [False, False, True, True])


def test_zero_and_minus_zero_tie():
    masks = jax.vmap(lambda k: keep_mask(jnp.array([0.0, -0.0]), 0.5, key=k))(
        jax.random.split(KEY, 64)
    )
    assert 0 < int(masks[:, 0].sum()) < 64


def test_jit_and_vmap_equal_the_loop():
    scores = jnp.asarray(RNG.integers(0, 5, (3, 6, 5)), jnp.float32)
    sparsities = jnp.array([0.1, 0.5, 0.9])
    keys = jax.random.split(KEY, 3)

    def call(score, sparsity, key):
        return keep_mask(score, sparsity, key=key)

    loop = jnp.stack([call(*args) for args in zip(scores, sparsities, keys, strict=True)])
    np.testing.assert_array_equal(jax.vmap(call)(scores, sparsities, keys), loop)
    np.testing.assert_array_equal(jax.jit(call)(scores[1], 0.5, keys[1]), loop[1])
    shared = jax.vmap(call, (None, 0, None))(scores[0], sparsities, KEY)
    assert [removed(mask) for mask in shared] == [3, 15, 27]


@pytest.mark.parametrize("sparsity", SPARSITIES)
@pytest.mark.parametrize("size", [10, 1000, 200_000])
def test_traced_and_concrete_sparsity_give_the_same_count(sparsity, size):
    scores = jnp.zeros(size)
    count = removed(keep_mask(scores, sparsity))
    assert count == removed(jax.jit(keep_mask)(scores, sparsity)) == round(sparsity * size)


def test_uniform_takes_from_each_and_global_from_all():
    scores = {"small": jnp.arange(10.0).reshape(2, 5), "large": 100 + jnp.arange(30.0)}
    each = uniform_keep_masks(scores, 0.5, key=KEY)
    assert (removed(each["small"]), removed(each["large"])) == (5, 15)
    together = global_keep_masks(scores, 0.5, key=KEY)
    assert (removed(together["small"]), removed(together["large"])) == (10, 10)
    assert together["small"].shape == (2, 5)


def test_no_scores_no_masks():
    assert global_keep_masks({}, 0.5, key=KEY) == uniform_keep_masks({}, 0.5, key=KEY) == {}
    assert keep_mask(jnp.zeros((0, 3)), 0.5, key=KEY).shape == (0, 3)


@pytest.mark.parametrize("sparsity", [1.0, -0.1, float("nan"), 2, jnp.array([0.5, 0.5])])
def test_rejects_a_bad_sparsity(sparsity):
    with pytest.raises(ValueError, match="sparsity must be one number in"):
        keep_mask(jnp.zeros(4), sparsity)
