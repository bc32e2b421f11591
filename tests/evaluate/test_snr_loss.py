"""Extra SNR for the teacher's BER: exact where the teacher's curve is, and within its ends."""

import numpy as np
import pytest

from wfm_jax.evaluate.intervals import half_width, resample_weights
from wfm_jax.evaluate.snr_loss import read_snr_db, snr_loss_db, worst_snr_loss_db

GRID = (10.0, 14.0, 16.0, 18.0, 20.0, 22.0, 24.0)
ONES = np.ones((1, 160))


@pytest.fixture
def teacher(synthetic):
    return synthetic(snrs_db=GRID)


def at_another_snr(scored, snr_db):
    """A receiver that answers at 20 dB as ``scored`` answers at another SNR."""
    row = scored.snrs_db.index(snr_db)
    scores = type(scored.scores)(*(values[row : row + 1] for values in scored.scores))
    return scored._replace(snrs_db=(20.0,), scores=scores)


@pytest.mark.parametrize("snr_db, loss", [(20.0, 0.0), (18.0, 2.0), (14.0, 6.0), (22.0, -2.0)])
def test_the_teacher_at_another_snr(teacher, snr_db, loss):
    receiver = at_another_snr(teacher, snr_db)
    np.testing.assert_allclose(
        snr_loss_db(receiver, teacher, ONES), np.full((1, 4), loss), atol=1e-6
    )


def test_paired_frames_leave_no_noise_in_it(teacher, test_set):
    weights = resample_weights(test_set.strata, 100, seed=0)
    loss = worst_snr_loss_db(at_another_snr(teacher, 18.0), teacher, weights)
    assert half_width(loss) < 0.02
    np.testing.assert_allclose(worst_snr_loss_db(teacher, teacher, weights), 0.0, atol=1e-9)


def test_between_the_points_log_ber_is_linear(synthetic, teacher):
    """Log BER of the synthetic receiver is linear in dB, so that reading between is exact."""
    np.testing.assert_allclose(
        snr_loss_db(synthetic(-1.3), teacher, ONES), np.full((1, 4), 1.3), atol=0.01
    )


def test_the_worst_constellation_counts(teacher, test_set):
    wrong = teacher.scores.bit_errors.copy()
    wrong[:, test_set.modulation == 2] *= 1.3
    worse = teacher._replace(scores=teacher.scores._replace(bit_errors=wrong))
    losses = snr_loss_db(worse, teacher, ONES)[0]
    assert losses[2] > 1.0
    np.testing.assert_allclose(losses[[0, 1, 3]], 0.0, atol=1e-9)
    np.testing.assert_allclose(worst_snr_loss_db(worse, teacher, ONES), losses[2])


@pytest.mark.parametrize("skill, loss", [(-30.0, 10.0), (30.0, -4.0)])
def test_beyond_the_curve_it_reads_as_its_end(synthetic, teacher, skill, loss):
    np.testing.assert_allclose(
        snr_loss_db(synthetic(skill), teacher, ONES), np.full((1, 4), loss), atol=1e-6
    )


def test_no_errors_at_all_stay_finite(teacher):
    none = teacher._replace(
        scores=teacher.scores._replace(bit_errors=0.0 * teacher.scores.bit_errors)
    )
    np.testing.assert_array_equal(snr_loss_db(none, none, ONES), 0.0)
    assert np.all(np.isfinite(snr_loss_db(teacher, none, ONES)))


def test_a_curve_that_rises_is_read_as_falling():
    curve = np.log([[0.3, 0.1, 0.12, 0.01]])
    level = np.log([0.1, 0.3, 0.01, 0.05])
    read = read_snr_db(np.repeat(curve, 4, axis=0), (0.0, 2.0, 4.0, 6.0), level)
    np.testing.assert_allclose(read, [2.0, 0.0, 6.0, 4.0 + 2.0 * np.log10(2.0)], atol=1e-6)


def test_a_curve_needs_rising_snrs():
    with pytest.raises(ValueError, match="two SNRs or more, rising"):
        read_snr_db(np.zeros((1, 2)), (20.0, 10.0), np.zeros(1))


def test_a_teacher_without_the_reference_point_is_refused(synthetic):
    with pytest.raises(ValueError, match="20 dB was not measured"):
        snr_loss_db(synthetic(), synthetic(snrs_db=(10.0, 15.0)), ONES)
