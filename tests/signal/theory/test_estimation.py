"""Errors of linear estimates against simulation, closed forms of simple covariances, and order."""

import numpy as np
import pytest

from wfm_jax.signal import theory

N = 32
PILOTS = slice(None, None, 2)


def delay_line_covariance(n=N, n_rays=6):
    """R[f, g] = sum_l p_l exp(-j 2 pi (f - g) l/n) of an exponential profile: rank ``n_rays``."""
    powers = np.exp(-np.arange(n_rays) / 2.0)
    steering = np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(n_rays)) / n)
    return (steering * (powers / powers.sum())) @ steering.conj().T


def interpolator(n, spacing):
    """Linear interpolation from every ``spacing``-th of n elements, constant beyond the last."""
    at = np.arange(0, n, spacing)
    return np.stack([np.interp(np.arange(n), at, unit) for unit in np.eye(at.size)], axis=1)


def simulated_errors(weights, covariance, observed, n0, rng, n_draws=20_000):
    """|h - W y|^2 of independent draws, float64[n_draws, n]."""
    levels, basis = np.linalg.eigh(covariance)

    def normal(width):
        shape = (n_draws, width)
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2)

    h = normal(len(covariance)) @ (basis * np.sqrt(np.maximum(levels, 0))).T
    heard = h[:, observed]
    y = heard + np.sqrt(n0) * normal(heard.shape[1])
    return np.abs(h - y @ weights.T) ** 2


@pytest.mark.parametrize("per_pilot", [False, True])
def test_errors_equal_those_of_simulated_estimates(per_pilot):
    rng = np.random.default_rng(int(per_pilot))
    covariance = delay_line_covariance()
    n0 = np.geomspace(0.003, 0.3, N // 2) if per_pilot else 0.05
    optimal = theory.lmmse_weights(covariance, PILOTS, n0)
    for weights, predicted in (
        (optimal, theory.lmmse_error(covariance, PILOTS, n0)),
        (
            interpolator(N, 2),
            theory.linear_error(interpolator(N, 2), covariance, PILOTS, n0),
        ),
    ):
        errors = simulated_errors(weights, covariance, PILOTS, n0, rng)
        z = (errors.mean(axis=0) - predicted) / (errors.std(axis=0) / np.sqrt(len(errors)))
        assert np.abs(z).max() < 5


@pytest.mark.parametrize("n0", [1e-9, 1e-3, 0.1, 10.0])
def test_lmmse_error_is_the_textbooks_difference(n0):
    covariance = delay_line_covariance()
    at = np.arange(N)[PILOTS]
    received = covariance[np.ix_(at, at)] + n0 * np.eye(at.size)
    explained = covariance[:, at] @ np.linalg.solve(received, covariance[at])
    expected = np.diag(covariance - explained).real
    got = theory.lmmse_error(covariance, PILOTS, n0)
    # The difference is only as good as rounding over n0.
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-14)
    weights = theory.lmmse_weights(covariance, PILOTS, n0)
    np.testing.assert_allclose(theory.linear_error(weights, covariance, PILOTS, n0), got)


@pytest.mark.parametrize("n0", [1e-12, 1e-6, 0.01, 1.0])
def test_all_observed_circulant_is_a_filter_for_every_delay(n0):
    """Delay l of power N p_l keeps the error N p_l n0/(N p_l + n0), relatively exact at any n0."""
    powers = np.exp(-np.arange(6) / 2.0)
    levels = N * powers / powers.sum()
    expected = np.sum(levels * n0 / (levels + n0)) / N
    got = theory.lmmse_error(delay_line_covariance(), slice(None), n0)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_covariance_of_full_rank_and_unequal_levels():
    """Again all observed: 32 delays whose powers fall by e^2 each, to below rounding."""
    powers = np.exp(-2.0 * np.arange(N))
    levels = N * powers / powers.sum()
    steering = np.exp(-2j * np.pi * np.outer(np.arange(N), np.arange(N)) / N)
    covariance = (steering * levels / N) @ steering.conj().T
    for n0 in (0.0, 1e-9, 1e-3, 1.0):
        expected = np.sum(levels * n0 / np.maximum(levels + n0, 1e-300)) / N
        got = theory.lmmse_error(covariance, slice(None), n0)
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=2e-14)
        weights = theory.lmmse_weights(covariance, slice(None), n0)
        got = theory.linear_error(weights, covariance, slice(None), n0)
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=2e-14)


def test_one_element_and_repeated_looks():
    np.testing.assert_allclose(theory.lmmse_error([[2.0]], [0], 0.5), 2 * 0.5 / 2.5)
    np.testing.assert_allclose(theory.lmmse_weights([[2.0]], [0], 0.5), [[0.8]])
    # Looks at n0 that are averaged are one look at n0/s; looks of unequal noise weigh by it.
    covariance = delay_line_covariance()
    once, four = [3, 9, 20], [3, 9, 20] * 4
    np.testing.assert_allclose(
        theory.lmmse_error(covariance, four, 0.2), theory.lmmse_error(covariance, once, 0.05)
    )
    combined = 1 / (1 / 0.2 + 1 / 0.7)
    np.testing.assert_allclose(
        theory.lmmse_error(covariance, [5, 5], [0.2, 0.7]),
        theory.lmmse_error(covariance, [5], combined),
    )


def test_indices_masks_and_slices_mean_the_same():
    covariance = delay_line_covariance()
    mask = np.arange(N) % 2 == 0
    expected = theory.lmmse_error(covariance, PILOTS, 0.1)
    for observed in (mask, np.flatnonzero(mask), list(range(0, N, 2)), list(range(-N, 0, 2))):
        np.testing.assert_array_equal(theory.lmmse_error(covariance, observed, 0.1), expected)


def test_the_limits_of_noise_and_of_no_observation():
    covariance = delay_line_covariance()
    prior = np.diag(covariance).real
    np.testing.assert_allclose(theory.lmmse_error(covariance, PILOTS, 1e12), prior, rtol=1e-9)
    np.testing.assert_array_equal(
        theory.lmmse_error(covariance, np.zeros(N, bool), 0.1),
        theory.lmmse_error(covariance, [], 1),
    )
    np.testing.assert_allclose(theory.lmmse_error(covariance, [], 0.1), prior)
    # Sixteen pilots tell six rays apart, and without noise tell them exactly.
    assert theory.lmmse_error(covariance, PILOTS, 0.0).max() < 1e-20
    assert theory.lmmse_error(covariance, [1, 2], 0.0).max() > 0.1
    np.testing.assert_allclose(theory.lmmse_error(covariance, [1, 2], 0.0)[[1, 2]], 0, atol=1e-20)


@pytest.mark.parametrize("n0", [1e-3, 0.05, 1.0])
def test_nothing_linear_beats_lmmse(n0):
    covariance = delay_line_covariance()
    least = theory.lmmse_error(covariance, PILOTS, n0)
    rng = np.random.default_rng(1)
    best = theory.lmmse_weights(covariance, PILOTS, n0)
    others = [
        interpolator(N, 2),
        theory.lmmse_weights(np.eye(N) + delay_line_covariance(n_rays=12), PILOTS, n0),
        theory.lmmse_weights(covariance, PILOTS, 3 * n0),
        *(best + 0.01 * rng.standard_normal(best.shape) for _ in range(5)),
    ]
    for weights in others:
        assert np.all(theory.linear_error(weights, covariance, PILOTS, n0) > least)
    at_pilots = theory.linear_error(interpolator(N, 2), covariance, PILOTS, n0)[PILOTS]
    np.testing.assert_allclose(at_pilots, theory.ls_error(n0))
    more = theory.lmmse_error(covariance, slice(None), n0)
    assert np.all(more < least)


def test_ls_error_is_the_noise_of_the_averaged_pilots():
    np.testing.assert_array_equal(theory.ls_error(0.1), 0.1)
    np.testing.assert_allclose(theory.ls_error([0.1, 0.2], n_averaged=4), [0.025, 0.05])
    assert theory.ls_error(np.float32(1)).dtype == np.float64


def test_a_covariance_in_complex64_will_do():
    covariance = delay_line_covariance()
    single = covariance.astype(np.complex64)
    got = theory.lmmse_error(single, PILOTS, 0.1)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, theory.lmmse_error(covariance, PILOTS, 0.1), rtol=1e-5)


@pytest.mark.parametrize(
    "covariance, message",
    [
        (np.ones(4), "square"),
        (np.ones((4, 3)), "square"),
        (np.ones((0, 0)), "square"),
        (np.full((4, 4), np.nan), "finite"),
        (np.triu(np.ones((4, 4))), "Hermitian"),
        (1j * np.eye(4), "Hermitian"),
        (-np.eye(4), "semidefinite"),
    ],
)
def test_bad_covariances_are_named(covariance, message):
    for function in (theory.lmmse_weights, theory.lmmse_error):
        with pytest.raises(ValueError, match=f"covariance must be .*{message}"):
            function(covariance, [0], 0.1)
    with pytest.raises(ValueError, match=f"covariance must be .*{message}"):
        theory.linear_error(np.ones((4, 1)), covariance, [0], 0.1)


@pytest.mark.parametrize("n0", [-0.1, np.nan, np.inf, [0.1, -1], [0.1, np.nan], [0.1] * 3, [[0.1]]])
def test_bad_noise_is_named(n0):
    for function in (theory.lmmse_weights, theory.lmmse_error):
        with pytest.raises(ValueError, match="n0 must"):
            function(np.eye(4), [0, 1], n0)
    with pytest.raises(ValueError, match="n0 must"):
        theory.linear_error(np.ones((4, 2)), np.eye(4), [0, 1], n0)


@pytest.mark.parametrize("observed", [[4], [-5], [0.5], [[0, 1]], 0, [True, False], "pilots"])
def test_bad_indices_are_named(observed):
    with pytest.raises(ValueError, match="observed must"):
        theory.lmmse_error(np.eye(4), observed, 0.1)


def test_bad_weights_and_counts_are_named():
    for shape in ((4, 3), (3, 2), (8,)):
        with pytest.raises(ValueError, match="weights must"):
            theory.linear_error(np.ones(shape), np.eye(4), [0, 1], 0.1)
    with pytest.raises(ValueError, match="weights must"):
        theory.linear_error(np.full((4, 2), np.nan), np.eye(4), [0, 1], 0.1)
    for n0 in (-1.0, np.nan, [0.1, np.inf]):
        with pytest.raises(ValueError, match="n0 must"):
            theory.ls_error(n0)
    with pytest.raises(ValueError, match="n_averaged"):
        theory.ls_error(0.1, n_averaged=0)
