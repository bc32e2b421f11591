"""Extra SNR for a reference's bit error rate: exact on the curve, silent beyond it, paired."""

import numpy as np
import pytest

from wfm_jax.evaluate.behind import behind_db
from wfm_jax.evaluate.intervals import half_width, resample_weights
from wfm_jax.evaluate.snr_loss import log_ber, read_snr_db

SNRS_DB = (18.0, 22.0, 26.0, 30.0)
BEYOND = (14.0, *SNRS_DB, 34.0)
ONES = np.ones((1, 160))


@pytest.fixture
def reference(synthetic):
    return synthetic(snrs_db=BEYOND)


@pytest.fixture(scope="module")
def weights(test_set):
    return resample_weights(test_set.strata, 200, seed=0)


@pytest.mark.parametrize("skill", [-2.0, 0.0, 1.5])
def test_a_shifted_curve_is_behind_by_its_shift(synthetic, reference, skill):
    """Log BER of the synthetic receiver is linear in dB."""
    scored = synthetic(skill, snrs_db=SNRS_DB)
    for modulation in range(4):
        behind = behind_db(scored, reference, ONES, modulation)
        np.testing.assert_allclose(behind, np.full((1, 4), -skill), atol=0.01)


def test_beyond_the_ends_nothing_is_read(synthetic, reference, weights):
    """7 dB worse than at 18 dB is below 14 dB, 7 dB better than at 30 dB above 34 dB."""
    worse = behind_db(synthetic(-7.0, snrs_db=SNRS_DB), reference, weights, 0)
    np.testing.assert_array_equal(np.isnan(worse[0]), [True, False, False, False])
    assert np.isnan(half_width(worse[:, 0]))
    better = behind_db(synthetic(7.0, snrs_db=SNRS_DB), reference, weights, 0)
    np.testing.assert_array_equal(np.isnan(better[0]), [False, False, False, True])


def test_without_a_wrong_bit_nothing_is_read(synthetic, reference):
    scored = synthetic(snrs_db=SNRS_DB)
    errors = scored.scores.bit_errors.copy()
    errors[2] = 0.0
    scored = scored._replace(scores=scored.scores._replace(bit_errors=errors))
    assert np.isnan(behind_db(scored, reference, ONES, 1)[0, 2])


def test_paired_intervals_are_narrower_than_unpaired_ones(synthetic, reference, weights, test_set):
    """Unpaired: the same reading with the reference's frames resampled on their own."""
    scored = synthetic(-0.5, snrs_db=SNRS_DB)
    others = resample_weights(test_set.strata, 200, seed=1)
    paired = behind_db(scored, reference, weights, 2)
    of = test_set.modulation == 2
    own, curve = (
        log_ber(x.scores.bit_errors[:, of], x.scores.n_bits[:, of], w[:, of])
        for x, w in ((scored, weights), (reference, others))
    )
    for i in range(len(SNRS_DB)):
        unpaired = SNRS_DB[i] - read_snr_db(curve, BEYOND, own[:, i])
        np.testing.assert_allclose(unpaired[0], paired[0, i])
        assert 0.0 <= half_width(paired[:, i]) < 0.2 * half_width(unpaired)
