import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.compress import NM, Blocks, Inputs, Outputs, Unstructured
from wfm_jax.compress.blocks import spread
from wfm_jax.compress.structures import pool

KEY = jax.random.key(17)
RNG = np.random.default_rng(17)
SCORES = jnp.asarray(RNG.normal(size=(12, 8)) ** 2, jnp.float32)
ALL = jnp.ones(SCORES.shape, bool)
UNITS = {
    Unstructured(): (1, 1),
    Blocks(4, 2): (4, 2),
    Blocks(1, 8): (1, 8),
    Inputs(): (1, 8),
    Outputs(): (12, 1),
}
each_structure = pytest.mark.parametrize("structure, size", UNITS.items(), ids=map(str, UNITS))


def tiles(size):
    """Slices of each unit, in the order of the array of units."""
    rows, columns = size
    for i, j in np.ndindex(12 // rows, 8 // columns):
        yield (i, j), np.s_[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns]


@each_structure
def test_pools_the_mean_and_spreads_a_mask_over_the_same_weights(structure, size):
    units = structure.units(SCORES.shape)
    pooled = np.asarray(pool(SCORES, ALL, units))
    assert pooled.shape == units
    keep = jnp.asarray(RNG.random(units) < 0.5)
    mask = np.asarray(spread(keep, SCORES.shape))
    for unit, weights in tiles(size):
        assert pooled[unit] == pytest.approx(float(np.mean(SCORES[weights])), rel=1e-5)
        assert (mask[weights] == bool(keep[unit])).all()


def test_what_was_removed_counts_as_zero_and_an_empty_unit_ranks_last():
    keep = ALL.at[:4, :4].set(False).at[0, 4].set(False)
    pooled = np.asarray(pool(SCORES, keep, Blocks(4, 4).units(SCORES.shape)))
    assert pooled[0, 0] == -np.inf
    assert pooled[0, 1] == pytest.approx(float((SCORES[:4, 4:].sum() - SCORES[0, 4]) / 16))
    assert np.isfinite(pooled).sum() == 5


def test_leading_axes():
    """Blocks lie in each matrix of a stack; a row or column is the same one of all of them."""
    shape = (3, 12, 8)
    assert Blocks(4, 2).units(shape) == (3, 3, 4)
    assert Inputs().units(shape) == (1, 12, 1)
    assert Outputs().units(shape) == (1, 1, 8)
    assert Unstructured().units(shape) == shape


def brute_force(scores, n, m):
    """Of each group of m inputs, sorted, the last n."""
    keep = np.zeros(scores.shape, bool)
    for column in range(scores.shape[1]):
        for start in range(0, scores.shape[0], m):
            group = np.argsort(scores[start : start + m, column], kind="stable")
            keep[start + group[m - n :], column] = True
    return keep


@pytest.mark.parametrize("n, m", [(2, 4), (1, 4), (4, 4), (5, 12)])
def test_nm_is_a_sort_of_every_group(n, m):
    tied = np.round(np.asarray(SCORES))
    for scores in (np.asarray(SCORES), tied):
        np.testing.assert_array_equal(
            NM(n, m).keep_mask(jnp.asarray(scores)), brute_force(scores, n, m)
        )
    keep = np.asarray(NM(n, m).keep_mask(SCORES, key=KEY))
    np.testing.assert_array_equal(keep, brute_force(np.asarray(SCORES), n, m))
    keep = np.asarray(NM(n, m).keep_mask(jnp.asarray(tied), key=KEY))
    assert (keep.reshape(12 // m, m, 8).sum(1) == n).all()


def test_nm_breaks_ties_by_the_key():
    """Each of four equal weights stays in half of 400 draws: binomial, |z| < 5 each."""
    keys = jax.random.split(KEY, 400)
    masks = jax.vmap(lambda k: NM(2, 4).keep_mask(jnp.zeros((4, 3)), key=k))(keys)
    z = (np.asarray(masks.sum(0)) - 200) / np.sqrt(400 / 4)
    assert np.abs(z).max() < 5
    assert (masks.sum(1) == 2).all()


def test_nm_of_a_stack_is_nm_of_each_and_jit_changes_nothing():
    stack = jnp.stack([SCORES, -SCORES])
    masks = jax.jit(NM(2, 4).keep_mask)(stack)
    for mask, scores in zip(masks, stack, strict=True):
        np.testing.assert_array_equal(mask, NM(2, 4).keep_mask(scores))


def test_sparsity_of_nm():
    assert NM(2, 4).sparsity == 0.5
    assert NM(1, 4).sparsity == 0.75


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: Blocks(5, 2).units((12, 8), "a/kernel"), r"Blocks\(.*a/kernel of shape \(12, 8\)"),
        (lambda: Blocks(4, 3).units((12, 8), "a/kernel"), r"Blocks\(.*a/kernel of shape \(12, 8\)"),
        (lambda: NM(2, 5).check((12, 8), "a/kernel"), r"12 inputs of a/kernel of shape \(12, 8\)"),
        (lambda: NM(2, 5).keep_mask(SCORES), r"does not divide the 12 inputs"),
        (lambda: NM(2, 4).check((8,), "a/bias"), r"needs kernels .* a/bias has shape \(8,\)"),
        (lambda: Inputs().units((8,), "a/bias"), "restrict it with matching"),
        (lambda: Outputs().units((), "a/scale"), "restrict it with matching"),
        (lambda: Blocks(0, 2), "at least 1"),
        (lambda: NM(5, 4), "n must be 1 to m"),
        (lambda: NM(0, 4), "n must be 1 to m"),
    ],
)
def test_rejects_what_does_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()
