"""Curves over size are straight in log bytes, and compared where both have points."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wfm_jax.results.equal_bytes import at_sizes, common_sizes, curve
from wfm_jax.results.size_axis import size_ticks

calm = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
measured = st.lists(st.tuples(st.integers(1, 10**7), st.floats(-100, 100)), min_size=1, max_size=8)


def between(points, size):
    """By hand: the mean at each size, and between two neighbours the share of the way in log."""
    sizes = sorted({s for s, _ in points})
    mean = {s: np.mean([v for t, v in points if t == s]) for s in sizes}
    if size in mean:
        return mean[size]
    for a, b in itertools.pairwise(sizes):
        if a < size < b:
            way = (math.log(size) - math.log(a)) / (math.log(b) - math.log(a))
            return mean[a] + way * (mean[b] - mean[a])
    return math.nan


@calm
@given(measured, st.integers(1, 10**7))
def test_between_points_it_is_straight_in_log_bytes(points, size):
    own = curve(*zip(*points, strict=True))
    for at in (size, points[0][0]):
        expected = between(points, at)
        got = at_sizes(own, np.log2(np.float64(at)))
        assert got == pytest.approx(expected, rel=1e-6, abs=1e-6, nan_ok=True)


@calm
@given(measured, measured, st.integers(2, 9))
def test_common_sizes_are_reached_by_both(one, other, n):
    curves = [curve(*zip(*points, strict=True)) for points in (one, other)]
    sizes = common_sizes(curves, n)
    low = max(min(s for s, _ in points) for points in (one, other))
    high = min(max(s for s, _ in points) for points in (one, other))
    assert sizes.size == (n if low < high else 0)
    if sizes.size:
        assert np.exp2(sizes[[0, -1]]) == pytest.approx([low, high])
        assert np.isfinite([at_sizes(own, sizes) for own in curves]).all()


def test_no_curves_have_no_sizes():
    assert common_sizes([], 5).size == 0


@calm
@given(st.floats(1.0, 5000.0), st.floats(1.05, 300.0))
def test_ticks_are_round_and_within_the_axis(low, ratio):
    ticks = size_ticks(low, low * ratio)
    assert np.all((ticks >= low) & (ticks <= low * ratio))
    assert ticks.size >= 3 or ratio < 1.4
    assert ticks.size <= 9
    assert np.all(np.diff(ticks) > 0)
    assert all(f"{tick:.2g}" == f"{tick:.6g}" or tick >= 100 for tick in ticks)
