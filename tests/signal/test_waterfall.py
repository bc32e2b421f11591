"""Waterfalls: noise is at its power in every bin, a tone in its own."""

import numpy as np
import pytest

from wfm_jax.signal.waterfall import LEAST_DB, waterfall


def test_white_noise_is_at_its_power():
    """Of 8,000 windows, of which neighbours share half: within 4 standard errors, about 5 %."""
    rng = np.random.default_rng(0)
    n = 32 * 8001
    samples = np.sqrt(0.5) * (rng.normal(size=n) + 1j * rng.normal(size=n))
    power = 10.0 ** (waterfall(samples, 64, most=1)[:, 0] / 10.0)
    np.testing.assert_allclose(power, 1.0, atol=0.06)


@pytest.mark.parametrize("k", [-32, -5, 0, 17, 31])
def test_a_tone_is_in_its_bin(k):
    shown = waterfall(np.exp(2j * np.pi * k / 64 * np.arange(2000)), 64)
    np.testing.assert_array_equal(np.argmax(shown, axis=0), k + 32)
    # All of its power of 1 over the bins of a window: 64 at most, over Hann's 1.5.
    np.testing.assert_allclose(shown.max(axis=0), 10.0 * np.log10(64 / 1.5), atol=1e-3)


@pytest.mark.parametrize("most", [37, 800])
def test_time_runs_evenly(most):
    """A burst is where it is in the samples, to within two columns and a window."""
    n = 100_000
    samples = np.full(n, 1e-3 + 0j)
    samples[60_000:70_000] = 1.0
    shown = waterfall(samples, 64, most)[32]
    loud = np.flatnonzero(shown > -20.0)
    step = n / shown.size
    assert abs(loud[0] * step - 60_000) < 2.0 * step + 64
    assert abs((loud[-1] + 1) * step - 70_000) < 2.0 * step + 64


def test_its_size_is_bounded():
    assert waterfall(np.ones(100_000, complex), 64, most=50).shape == (64, 50)
    assert waterfall(np.ones(100_000, complex), 64, most=49).shape[1] <= 49
    assert waterfall(np.ones(3, complex), 64).shape == (64, 1)
    assert waterfall(np.zeros(640, complex), 64).max() == LEAST_DB
