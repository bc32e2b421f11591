"""Tests and intervals over seeds against enumeration, SciPy, and their own coverage."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wfm_jax.results import sign_flips
from wfm_jax.results.sign_flips import MOST_EXACT, Interval, band, interval, p_value

Z = 4.0
calm = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
numbers = st.floats(-100, 100).map(lambda value: round(value, 2))
samples = st.lists(numbers, min_size=1, max_size=9).map(np.array)


def by_hand(differences):
    """The p-value from all 2^n patterns, one after the other."""
    as_large = 0
    for signs in itertools.product((1, -1), repeat=len(differences)):
        total = math.fsum(s * d for s, d in zip(signs, differences, strict=True))
        as_large += abs(total) >= abs(math.fsum(differences)) - 1e-9
    return as_large / 2 ** len(differences)


@calm
@given(samples)
def test_the_p_value_is_the_share_of_all_patterns(differences):
    assert p_value(differences) == pytest.approx(by_hand(differences), abs=1e-12)


@pytest.mark.parametrize("n", [2, 5, 8, 11])
def test_scipy_agrees(n):
    differences = np.random.default_rng(n).normal(0.5, 1.0, n)
    theirs = scipy.stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert p_value(differences) == pytest.approx(theirs.pvalue, abs=1e-12)


def test_numbers_worked_out_by_hand():
    assert p_value(np.array([])) == 1.0
    assert p_value(np.array([3.0])) == 1.0
    assert p_value(np.zeros(8)) == 1.0
    assert p_value(np.array([1.0, 2.0, 3.0])) == 2 / 8
    assert p_value(np.array([1.0, -2.0, 3.0])) == 6 / 8  # totals 2 4 -2 0 6 and their opposites
    assert p_value(np.arange(1.0, 11.0)) == 2.0**-9
    assert [sign_flips.least_seeds(level) for level in (0.95, 1 - 0.05 / 8)] == [6, 9]


@pytest.mark.parametrize("n", [5, 6, 9, MOST_EXACT, MOST_EXACT + 3])
@pytest.mark.parametrize("level", [0.5, 0.95, 1 - 0.05 / 8])
def test_the_interval_is_what_the_test_does_not_reject(n, level):
    differences = np.random.default_rng(n).normal(0.3, 1.0, n)
    low, high = interval(differences, level)
    if (1 - level) * 2 ** (n - 1) < 1:
        assert (low, high) == (-math.inf, math.inf)
        return
    for inside in (low + 1e-9, differences.mean(), high - 1e-9):
        assert p_value(differences - inside) > 1 - level
    for outside in (low - 1e-9, high + 1e-9):
        assert p_value(differences - outside) <= 1 - level


@calm
@given(samples.filter(lambda sample: len(sample) >= 6), st.sampled_from([0.8, 0.95]))
def test_the_interval_holds_zero_if_and_only_if_the_test_does_not_reject_it(differences, level):
    low, high = interval(differences, level)
    near = min(abs(low), abs(high)) < 1e-9  # on the edge rounding decides
    assert near or Interval(low, high).holds(0.0) == (p_value(differences) > 1 - level)


@calm
@given(samples, st.floats(-10, 10))
def test_interval_and_band_move_with_the_differences(differences, shift):
    moved, still = interval(differences + shift, 0.8), interval(differences, 0.8)
    assert np.allclose(moved, np.array(still) + shift, atol=1e-9)
    (one,) = band(differences[:, None] + shift, 0.8)
    (other,) = band(differences[:, None], 0.8)
    assert np.allclose(one, np.array(other) + shift, atol=1e-6)


def test_beyond_the_exact_sizes_patterns_are_drawn_and_keep_the_first():
    patterns = sign_flips.sign_patterns(MOST_EXACT + 6)
    assert patterns.shape == (2 ** (MOST_EXACT - 1), MOST_EXACT + 6)
    assert np.all(patterns[0] == 1.0)
    assert np.all(patterns[:, 0] == 1.0)
    mean = patterns[1:, 1:].mean()
    assert abs(mean) < Z / math.sqrt(patterns[1:, 1:].size)
    with pytest.raises(ValueError, match="read-only"):
        patterns[0, 0] = 0.0


@pytest.mark.parametrize("n", [10, 13])
def test_coverage_of_the_interval_where_the_truth_is_known(n):
    rng, runs, truth = np.random.default_rng(n), 600, 0.7
    held = sum(interval(rng.laplace(truth, 1.0, n)).holds(truth) for _ in range(runs))
    assert abs(held / runs - 0.95) < Z * math.sqrt(0.95 * 0.05 / runs)


def test_coverage_of_the_band_over_sizes_that_move_together():
    rng, runs, truth = np.random.default_rng(0), 600, np.linspace(-1.0, 1.0, 6)
    held = 0
    for _ in range(runs):
        seeds = truth + rng.normal(size=(10, 1)) + np.cumsum(rng.normal(size=(10, 6)), axis=1)
        intervals = band(seeds)
        held += all(own.holds(t) for own, t in zip(intervals, truth, strict=True))
    assert abs(held / runs - 0.95) < Z * math.sqrt(0.95 * 0.05 / runs)


def test_a_band_of_one_column_is_about_the_t_interval():
    differences = np.random.default_rng(1).normal(size=12)
    (own,) = band(differences[:, None])
    t = scipy.stats.t.interval(0.95, 11, differences.mean(), scipy.stats.sem(differences))
    assert np.allclose(own, t, rtol=0.15, atol=0.1)


def test_a_band_needs_as_many_seeds_as_a_test_and_takes_columns_without_spread():
    assert band(np.ones((5, 2))) == [Interval(-math.inf, math.inf)] * 2
    assert band(np.empty((0, 2))) == [Interval(-math.inf, math.inf)] * 2
    same = np.column_stack([np.full(8, 2.0), np.arange(8.0)])
    first, second = band(same)
    assert first == Interval(2.0, 2.0)
    assert second.low < 3.5 < second.high


def test_within_a_margin_leaves_no_end_on_it():
    assert Interval(-0.4, 0.4).within(0.5)
    assert not Interval(-0.5, 0.4).within(0.5)
    assert not Interval(-math.inf, math.inf).within(0.5)
