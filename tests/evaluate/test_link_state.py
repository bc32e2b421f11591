"""Labels of the link state, and constants that no constant beats."""

import jax
import numpy as np
import pytest

from wfm_jax.evaluate import link_state


@pytest.fixture(scope="module")
def labels(drawn):
    return [
        link_state.labels(jax.tree.map(lambda x, i=i: np.asarray(x)[i], drawn.frame))
        for i in range(3)
    ]


def test_no_other_constant_is_better(labels):
    constant = link_state.constant_answers(labels)
    stacked = {name: np.stack([getattr(x, name) for x in labels]) for name in labels[0]._fields}
    has_k = np.isfinite(stacked["k_db"])
    for name, error, guesses in (
        ("snr_db", constant.snr_error_db, np.linspace(0.0, 30.0, 61)),
        ("delay_spread_s", constant.delay_spread_error_s, np.linspace(0.0, 400e-9, 81)),
        ("doppler_hz", constant.doppler_error_hz, np.linspace(0.0, 30.0, 61)),
        ("k_db", constant.k_error_db, np.linspace(-6.0, 20.0, 53)),
    ):
        of = has_k if name == "k_db" else np.ones_like(has_k)
        best = min(np.mean(np.abs(stacked[name][of] - guess)) for guess in guesses)
        assert np.mean(error[of]) <= best * (1.0 + 1e-5)
        assert np.mean(error[of]) > 0.5 * best


def test_the_flag_is_the_more_frequent_one(labels):
    """Four K bins of five have a LOS ray."""
    constant = link_state.constant_answers(labels)
    np.testing.assert_allclose(constant.los_correct.mean(axis=1), 0.8)
    np.testing.assert_array_equal(constant.has_k, constant.los_correct)


def test_it_says_nothing_of_bits(labels):
    constant = link_state.constant_answers(labels)
    for name in ("bit_errors", "channel_error", "amc_correct", "loss"):
        assert np.isnan(getattr(constant, name)).all()
