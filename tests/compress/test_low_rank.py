"""Truncated SVD: the closed form of what is lost, ranks that pay, and what training cannot undo."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.compress import factorise, low_rank, rank_of_share

KEY = jax.random.key(10)
RNG = np.random.default_rng(10)
WIDE = jnp.asarray(RNG.normal(size=(12, 40)), jnp.float32)
TALL = jnp.asarray(RNG.normal(size=(30, 10)), jnp.float32)
PARAMS = {"wide": WIDE, "tall": TALL, "bias": jnp.ones(40), "thin": jnp.ones((1, 9))}
SHARES = (0.1, 0.3, 0.5, 0.9)


def lowered(method, params=PARAMS):
    _, state = method.update(params, method.init(params, key=KEY))
    return state, method.apply(params, state)


def singular(w):
    return np.linalg.svd(np.asarray(w, np.float64), compute_uv=False)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("name", ["wide", "tall"])
def test_what_is_lost_is_the_root_of_the_dropped_squares(share, name):
    state, seen = lowered(low_rank(share))
    rank, w = int(state.rank[name]), PARAMS[name]
    error = np.linalg.norm(np.asarray(seen[name] - w, np.float64))
    assert error == pytest.approx(np.sqrt(np.sum(singular(w)[rank:] ** 2)), rel=1e-5)
    assert np.linalg.matrix_rank(np.asarray(seen[name])) == rank


@pytest.mark.parametrize("share", SHARES)
def test_the_rank_is_the_largest_that_stores_no_more_than_the_share(share):
    state, _ = lowered(low_rank(share))
    for name in ("wide", "tall"):
        n_in, n_out = PARAMS[name].shape
        rank = int(state.rank[name])
        assert (n_in + n_out) * rank <= share * n_in * n_out or rank == 1
        assert (n_in + n_out) * (rank + 1) > share * n_in * n_out
        most = state.basis[name].shape[1]
        assert (n_in + n_out) * most < n_in * n_out <= (n_in + n_out) * (most + 1)


@pytest.mark.parametrize("shape", [(1, 9), (2, 2), (3, 7), (16, 4), (12, 40)])
def test_rank_of_share_by_counting_traced_as_well(shape):
    n_in, n_out = shape
    shares = np.array([0.01, 0.3, 0.55, 0.8, 1.0], np.float32)
    many = jax.jit(jax.vmap(lambda share: rank_of_share(shape, share)))(shares)
    for share, rank in zip(shares, many, strict=True):
        pays = [r for r in range(1, 50) if (n_in + n_out) * r <= share * n_in * n_out]
        plain = share == 1 or n_in + n_out >= n_in * n_out
        assert rank == rank_of_share(shape, share)
        assert rank == (min(shape) if plain else max(pays, default=1))


@pytest.mark.parametrize("energy", [0.2, 0.5, 0.8])
def test_the_rank_is_the_smallest_that_keeps_the_energy(energy):
    state, seen = lowered(low_rank(energy=energy))
    for name in ("wide", "tall"):
        rank, squares = int(state.rank[name]), singular(PARAMS[name]) ** 2
        smallest = 1 + int(np.sum(np.cumsum(squares) < energy * squares.sum()))
        most = state.basis[name].shape[1]
        assert rank == (smallest if smallest <= most else min(PARAMS[name].shape))
        kept = np.sum(np.square(np.asarray(seen[name], np.float64))) / squares.sum()
        assert kept >= energy * (1 - 1e-6)


@pytest.mark.parametrize("method", [low_rank(1.0), low_rank(energy=1.0)])
def test_all_of_it_leaves_the_kernel_as_it_is_bit_for_bit(method):
    state, seen = lowered(method)
    chex.assert_trees_all_equal(seen, PARAMS)
    assert state.rank == {"wide": 12, "tall": 10}
    before = method.init(PARAMS, key=KEY)
    chex.assert_trees_all_equal(method.apply(PARAMS, before), PARAMS)


def test_kernels_that_cannot_get_smaller_and_vectors_are_the_same_objects():
    state, seen = lowered(low_rank(0.1))
    assert set(state.rank) == {"wide", "tall"}
    assert seen["bias"] is PARAMS["bias"]
    assert seen["thin"] is PARAMS["thin"]


def test_zeros_have_rank_one_and_stay_zeros():
    for method in (low_rank(0.5), low_rank(energy=0.5)):
        state, seen = lowered(method, {"w": jnp.zeros((8, 8))})
        assert not seen["w"].any()
        assert int(state.rank["w"]) <= 2
        assert np.isfinite(state.basis["w"]).all()


@pytest.mark.parametrize("name", ["wide", "tall"])
def test_training_moves_the_longer_factor_and_cannot_raise_the_rank(name):
    """The projection is idempotent, linear, and of r * max(in, out) dimensions: its trace."""
    method = low_rank(0.5)
    state, seen = lowered(method)
    rank, w = int(state.rank[name]), PARAMS[name]

    def project(x):
        return method.apply({**PARAMS, name: x}, state)[name]

    np.testing.assert_allclose(project(seen[name]), seen[name], atol=1e-5)
    a, b = (jnp.asarray(x, jnp.float32) for x in RNG.normal(size=(2, *w.shape)))
    np.testing.assert_allclose(project(a - 3 * b), project(a) - 3 * project(b), atol=2e-5)
    assert np.linalg.matrix_rank(np.asarray(project(w + 5 * a))) == rank
    jacobian = jax.jacobian(project)(w).reshape(w.size, w.size)
    np.testing.assert_allclose(np.trace(jacobian), rank * max(w.shape), rtol=1e-5)


def test_the_gradient_is_that_of_the_projection():
    method = low_rank(0.5)
    state, _ = lowered(method)
    weights = jnp.asarray(RNG.normal(size=WIDE.shape), jnp.float32)
    grad = jax.grad(lambda p: jnp.sum(weights * method.apply(p, state)["wide"]))(PARAMS)["wide"]
    basis = np.asarray(state.basis["wide"], np.float64)
    np.testing.assert_allclose(grad, basis @ (basis.T @ np.asarray(weights)), atol=1e-5)


def test_a_basis_is_orthonormal_up_to_the_rank_and_zero_beyond():
    state, _ = lowered(low_rank(0.5))
    for name in ("wide", "tall"):
        basis, rank = np.asarray(state.basis[name]), int(state.rank[name])
        assert basis.shape[0] == min(PARAMS[name].shape)
        wanted = np.diag(np.arange(basis.shape[1]) < rank).astype(float)
        np.testing.assert_allclose(basis.T @ basis, wanted, atol=1e-5)


@pytest.mark.parametrize("by", ["share", "energy"])
def test_jit_and_vmap_over_the_number_equal_the_loop(by):
    numbers = jnp.array([0.1, 0.5, 0.8, 1.0])

    def run(number):
        state, seen = lowered(low_rank(**{by: number}))
        return state.rank, seen

    many = jax.jit(jax.vmap(run))(numbers)
    for i, number in enumerate(numbers):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], many)
        chex.assert_trees_all_close(one, run(float(number)), atol=1e-5)


def test_factors_multiply_to_the_projected_kernel():
    state, seen = lowered(low_rank(0.5))
    for name in ("wide", "tall"):
        rank = int(state.rank[name])
        a, b = factorise(seen[name], rank)
        assert a.shape[1] == b.shape[0] == rank
        assert a.size + b.size <= 0.5 * seen[name].size
        np.testing.assert_allclose(a @ b, seen[name], atol=1e-5)
        norms = np.linalg.norm(a, axis=0), np.linalg.norm(b, axis=1)
        np.testing.assert_allclose(*norms, rtol=1e-4)


def test_bad_input_is_named():
    for bad in (0.0, -1.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"share must be in \(0, 1\]"):
            low_rank(bad)
        with pytest.raises(ValueError, match=r"share must be in \(0, 1\]"):
            rank_of_share((3, 4), bad)
        with pytest.raises(ValueError, match=r"energy must be in \(0, 1\]"):
            low_rank(energy=bad)
    for both in ({}, {"share": 0.5, "energy": 0.5}):
        with pytest.raises(ValueError, match="either share or energy"):
            low_rank(**both)
    broken = {"w": WIDE.at[0, 0].set(jnp.nan)}
    with pytest.raises(ValueError, match="params\\['w'\\] holds NaN"):
        low_rank(0.5).update(broken, low_rank(0.5).init(broken, key=KEY))
    with pytest.raises(ValueError, match=r"rank must be 1 to 12 for shape \(12, 40\), got 13"):
        factorise(WIDE, 13)
    for bad in (jnp.ones(3), broken["w"]):
        with pytest.raises(ValueError, match="kernel"):
            factorise(bad, 1)
