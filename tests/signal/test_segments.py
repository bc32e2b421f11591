"""Segments: every one lies in its span, and silence is told by power."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfm_jax.signal.segments import cut, holds_signal, mean_power, segment_starts

spans = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 60)), max_size=5)


@given(spans, st.integers(1, 20), st.integers(1, 20))
def test_starts_are_those_that_fit(spans, length, hop):
    """Brute force over every sample of every span."""
    wanted = [
        start + i
        for start, count in spans
        for i in range(count)
        if i % hop == 0 and i + length <= count
    ]
    found = segment_starts(spans, length, hop)
    assert found.dtype == np.int64
    assert found.tolist() == wanted


def test_segments_are_slices():
    samples = np.arange(30) + 1j
    found = cut(samples, np.array([0, 7, 20]), 10)
    for row, start in zip(found, (0, 7, 20), strict=True):
        np.testing.assert_array_equal(row, samples[start : start + 10])


@pytest.mark.parametrize("starts", [[-1], [0, 21]])
def test_a_segment_beyond_the_samples_is_refused(starts):
    with pytest.raises(ValueError, match="must lie within 30 samples"):
        cut(np.zeros(30, complex), np.array(starts), 10)


@pytest.mark.parametrize("sizes", [(0, 1), (1, 0)])
def test_sizes_below_one_are_refused(sizes):
    with pytest.raises(ValueError, match="must be at least 1"):
        segment_starts([(0, 10)], *sizes)


def test_silence_is_left_out():
    power = mean_power(np.array([[1.0 + 1.0j, 0.0], [0.1, 0.1j], [0.0, 0.0]]))
    np.testing.assert_allclose(power, [1.0, 0.01, 0.0])
    assert holds_signal(power, None).tolist() == [True, True, False]
    assert holds_signal(power, 19.9).tolist() == [True, False, False]
    assert holds_signal(power, 20.1).tolist() == [True, True, False]
