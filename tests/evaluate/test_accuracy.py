"""Classifiers on frozen frames: the same decisions as elsewhere, rows and table by hand."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.evaluate import frames
from wfm_jax.evaluate.accuracy import (
    CEILING,
    CUMULANTS,
    LIKELIHOOD,
    accuracy_rows,
    accuracy_table,
    classical_classifiers,
    score_classifiers,
)
from wfm_jax.evaluate.intervals import resample_weights
from wfm_jax.evaluate.scores import Scored, no_scores
from wfm_jax.train.interrupt import Stopped


@pytest.fixture(scope="module")
def scored(test_set, drawn):
    """Classical classifiers, one that reads the label, and one that always says the first."""
    told = {
        "told": lambda _, frame: frame.modulation,
        "first": lambda _, frame: jnp.zeros_like(frame.modulation),
    }
    return score_classifiers(test_set, drawn.snrs_db, told | classical_classifiers(test_set))


@pytest.mark.slow
def test_likelihood_decides_as_behind_the_same_receivers(scored, classical):
    """The channel's covariance is estimated from other frames here, so LMMSE differs by little."""
    ceiling = classical["genie"].scores.modulation
    np.testing.assert_array_equal(scored[CEILING].scores.modulation, ceiling)
    same = scored[LIKELIHOOD].scores.modulation == classical["lmmse"].scores.modulation
    assert same.mean() > 0.9


@pytest.mark.slow
def test_cumulants_beat_a_guess_and_not_the_likelihood(scored):
    means = {name: found.scores.amc_correct.mean() for name, found in scored.items()}
    assert 0.25 < means[CUMULANTS] < means[LIKELIHOOD] <= means[CEILING]


@pytest.mark.slow
def test_right_is_what_the_label_says(scored, test_set):
    assert scored["told"].scores.amc_correct.all()
    right = scored["first"].scores.amc_correct
    np.testing.assert_array_equal(right, np.tile(test_set.modulation == 0, (3, 1)))
    assert np.isnan(scored["told"].scores.bit_errors).all()


def test_a_request_to_stop_ends_it(test_set):
    def check():
        raise Stopped(15)

    with pytest.raises(Stopped):
        score_classifiers(test_set, (0.0,), {}, check=check)


def by_hand(correct):
    """A scored receiver of 80 frames in two strata."""
    test_set = dataclasses.replace(
        frames.TestSet(_link(), seed=0), frames_per_stratum=40, los_bins=1
    )
    assert correct.shape[1] == test_set.n_frames
    scores = no_scores(correct.shape)._replace(amc_correct=correct.astype(np.float32))
    return Scored(test_set, (0.0, 10.0), scores), resample_weights(test_set.strata, seed=1)


def _link():
    from tests import small

    hall = dataclasses.replace(small.LINK.scenario, rayleigh_fraction=0.0)
    return dataclasses.replace(small.LINK, scenario=hall, bits_per_symbol=(2, 4))


def test_rows_are_shares_with_intervals_over_frames():
    correct = np.ones((2, 80), bool)
    correct[0, :10] = correct[0, 40:70] = False  # 30 and 10 of 40 right
    rows = accuracy_rows("mlp", 20_284, *by_hand(correct))
    assert [row["snr_db"] for row in rows] == [0.0, 10.0]
    assert [row["accuracy"] for row in rows] == [0.5, 1.0]
    assert all((row["receiver"], row["params"]) == ("mlp", 20_284) for row in rows)
    # Within strata: the variance is the mean of their p (1 - p) / 39, over two.
    expected = 1.96 * (0.75 * 0.25 / 39 / 2) ** 0.5
    np.testing.assert_allclose(rows[0]["ci95"], expected, rtol=0.2)
    # No frame is wrong: Wilson's interval from z^2 / (n + z^2) below.
    np.testing.assert_allclose(rows[1]["ci95"], 0.5 * 1.96**2 / (80 + 1.96**2), rtol=1e-2)


def test_the_table_fits_100_columns():
    scored, weights = by_hand(np.ones((2, 80), bool))
    names = [("mlp", 20_284), ("conv", 28_644), (LIKELIHOOD, None), (CUMULANTS, None)]
    rows = [
        row for name in [*names, (CEILING, None)] for row in accuracy_rows(*name, scored, weights)
    ]
    lines = accuracy_table(rows[:-1]).splitlines()  # the ceiling at 10 dB is missing
    assert max(map(len, lines)) <= 100
    assert lines[0].split() == ["SNR", "(dB)", "mlp", "conv", LIKELIHOOD, CUMULANTS, CEILING]
    assert lines[1].split() == ["params", "20,284", "28,644", "-", "-", "-"]
    assert lines[2].split() == ["0", *["100.0", "±", "2.3"] * 5]
    assert lines[3].split() == ["10", *["100.0", "±", "2.3"] * 4, "-"]
