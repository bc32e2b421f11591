"""Floats of few digits as integers, and back."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfm_jax import compress
from wfm_jax.export.coarse import fraction_bits_of, from_codes, to_codes


@pytest.mark.parametrize("fraction_bits", range(8))
def test_what_is_rounded_up_is_recognised_and_comes_back(fraction_bits):
    scales = compress.round_up_scale(
        jax.random.exponential(jax.random.key(0), (999,)), fraction_bits
    )
    scales = np.append(np.asarray(scales), np.float32(0))
    found = fraction_bits_of(scales)
    assert found == fraction_bits
    np.testing.assert_array_equal(from_codes(to_codes(scales, found), found), scales)


@settings(max_examples=200)
@given(st.floats(min_value=0, width=32, allow_infinity=False))
def test_the_fewest_digits_are_found(value):
    values = np.float32([value])
    exact = [
        m for m in range(8) if from_codes(to_codes(values, m), m).tobytes() == values.tobytes()
    ]
    assert fraction_bits_of(values) == min(exact, default=None)


@pytest.mark.parametrize("value", [-0.0, -1.0, np.inf, np.nan, 1 + 2.0**-8])
def test_what_is_no_such_number_is_seen(value):
    assert fraction_bits_of(np.float32([1.0, value])) is None


def test_integers_are_in_the_order_of_the_numbers():
    values = np.float32([0, 1e-30, 0.5, 1, 1.5, 2, 1e30])
    codes = to_codes(values, 1)
    assert (np.diff(codes) > 0).all()
    assert codes[3:6].tolist() == [254, 255, 256]
