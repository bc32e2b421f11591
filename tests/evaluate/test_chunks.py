"""Blocks on the host: the same as all at once, in one compile."""

import jax
import numpy as np
import pytest

from wfm_jax.evaluate.chunks import in_blocks


@pytest.mark.parametrize("n", [1, 4, 5, 8, 11])
def test_blocks_are_all_at_once(n):
    traces = []

    @jax.jit
    def double(x, y):
        traces.append(x.shape)
        return {"sum": x + y[:, None], "y": 2 * y}

    x, y = np.arange(3.0 * n).reshape(n, 3), np.arange(float(n))
    found = in_blocks(double, x, y, size=4)
    np.testing.assert_array_equal(found["sum"], x + y[:, None])
    np.testing.assert_array_equal(found["y"], 2 * y)
    assert traces == [(4, 3)]
