"""Intervals: they resample frames within strata, cover what they say, and pair."""

import dataclasses
import functools

import numpy as np
import pytest
from scipy import stats

from wfm_jax.evaluate import metrics
from wfm_jax.evaluate.intervals import (
    half_width,
    independent_difference,
    interval,
    paired_difference,
    resample_weights,
)


@pytest.fixture(scope="module")
def weights(test_set):
    return resample_weights(test_set.strata, 400, seed=0)


def test_resampling_keeps_every_stratum(weights, test_set):
    assert weights.shape == (401, 160)
    np.testing.assert_array_equal(weights[0], 1.0)
    for stratum in range(20):
        np.testing.assert_allclose(weights[:, test_set.strata == stratum].sum(axis=1), 8.0)


def test_the_variance_of_a_mean_is_unbiased_in_small_strata(test_set):
    """Var of the resampled mean is s^2 / n with s^2 over n - 1, stratum by stratum."""
    weights = resample_weights(test_set.strata, 20_000, seed=0)
    values = np.random.default_rng(1).exponential(size=160)
    within = np.var(values.reshape(20, 8), axis=1, ddof=1) / 8
    resampled = np.var(metrics.weighted_mean(values, weights[1:]))
    np.testing.assert_allclose(resampled, np.sum(within) / 20**2, rtol=0.04)


def test_the_same_seed_gives_the_same_weights(weights, test_set):
    again = resample_weights(test_set.strata, 400, seed=0)
    np.testing.assert_array_equal(again, weights)


BER_16 = functools.partial(metrics.bit_error_rate, modulation=1)


def test_coverage_where_bits_fade_together(synthetic, test_set):
    """95 % intervals hold the truth in 90 to 98 % of 200 draws of 40 frames a stratum; binomial
    ones, which take the bits for independent, in less than 60 %."""
    large = dataclasses.replace(test_set, frames_per_stratum=40)
    weights = resample_weights(large.strata, 200, seed=0)
    a = 0.2 * np.exp(-2.0)
    truth = a * (1.0 - np.exp(-0.5 / a))  # E min(1/2, a X), X exponential
    percentile, around_the_point, binomial = [], [], []
    for seed in range(200):
        rate = BER_16(synthetic(seed=seed, snrs_db=(20.0,), test_set=large), weights)
        low, high = interval(rate)
        percentile.append(low <= truth <= high)
        around_the_point.append(abs(rate[0] - truth) <= half_width(rate))
        n_bits = 200 * 896
        low, high = stats.binomtest(round(rate[0] * n_bits), n_bits).proportion_ci()
        binomial.append(low <= truth <= high)
    assert 0.90 <= np.mean(percentile) <= 0.98
    assert 0.90 <= np.mean(around_the_point) <= 0.98
    assert np.mean(binomial) < 0.6


def test_what_moves_both_cancels(synthetic, weights):
    """A half-dB difference drowns in each one's interval and is clear when paired."""
    a, b = synthetic(0.5), synthetic(0.0)
    difference, low, high = paired_difference(BER_16, a, b, weights)
    np.testing.assert_allclose(difference, BER_16(a, weights)[0] - BER_16(b, weights)[0])
    assert low < difference < high < 0.0
    assert high - low < 0.2 * half_width(BER_16(b, weights))


def test_missing_tasks_have_no_interval(classical, weights):
    values = metrics.k_mae_db(classical["ls"], weights)
    assert np.isnan(half_width(values))


def test_independent_differences_of_symmetric_intervals_add_their_squares():
    difference = independent_difference((5.0, 2.0, 8.0), (1.0, -3.0, 5.0))
    assert difference == (4.0, -1.0, 9.0)


def test_independent_differences_of_themselves_hold_zero_and_keep_their_skew():
    value, low, high = independent_difference((1.0, 0.9, 3.0), (0.0, -0.1, 0.1))
    assert value == 1.0
    assert value - low < 0.2
    assert 2.0 < high - value < 2.1
    assert independent_difference((1.0, 0.5, 2.0), (1.0, 1.0, 1.0)) == (0.0, -0.5, 1.0)


def test_independent_differences_cover_the_truth():
    """Two proportions of 60 frames each, by Wilson's intervals, as Zou and Donner did."""
    rng = np.random.default_rng(0)
    hits = 0
    for a, b in zip(rng.binomial(60, 0.9, 600), rng.binomial(60, 0.7, 600), strict=True):
        ends = [stats.binomtest(int(k), 60).proportion_ci(method="wilson") for k in (a, b)]
        of = [(k / 60, *end) for k, end in zip((a, b), ends, strict=True)]
        _, low, high = independent_difference(*of)
        hits += low <= 0.2 <= high
    assert 0.92 <= hits / 600 <= 0.98
