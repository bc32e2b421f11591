"""Metrics: ratios of ensemble means, on numbers that can be checked by hand."""

import numpy as np
import pytest

from wfm_jax.evaluate import frames, metrics
from wfm_jax.evaluate.scores import FrameScores, Scored


@pytest.fixture
def by_hand(test_set):
    """Frame i errs in i % 7 of 10 bits; everything else varies with i too."""
    i = np.arange(test_set.n_frames, dtype=np.float32)
    at_20 = FrameScores(
        bit_errors=i % 7,
        n_bits=np.full_like(i, 10.0),
        gmi_fraction=i / 200.0,
        channel_error=i % 3,
        channel_power=1.0 + i % 5,
        modulation=i % 4,
        amc_correct=(i % 2).astype(np.float32),
        k_error_db=np.where(test_set.k_bin < 4, i % 11, 0.0),
        has_k=(test_set.k_bin < 4).astype(np.float32),
        snr_error_db=i % 6,
        los_correct=(i % 3 == 0).astype(np.float32),
        loss=i,
        delay_spread_error_s=1e-9 * (i % 8),
        doppler_error_hz=i % 9,
    )
    at_15, at_10 = at_20._replace(amc_correct=0.0 * i), at_20._replace(amc_correct=0.0 * i + 1.0)
    stacked = FrameScores(*(np.stack(rows) for rows in zip(at_10, at_15, at_20, strict=True)))
    return Scored(test_set, (10.0, 15.0, 20.0), stacked)


def test_point_estimates(by_hand, test_set):
    ones, i = np.ones((1, 160)), np.arange(160)
    los = test_set.k_bin < 4
    expected = {
        metrics.amc_accuracy: (1.0 + 0.0 + 0.5) / 3.0,
        metrics.gmi_fraction: np.mean(i) / 200.0,
        metrics.channel_nmse_db: 10.0 * np.log10(np.sum(i % 3) / np.sum(1 + i % 5)),
        metrics.k_mae_db: np.mean((i % 11)[los]),
        metrics.snr_mae_db: np.mean(i % 6),
        metrics.los_accuracy: np.mean(i % 3 == 0),
        metrics.loss: np.mean(i),
    }
    for metric, value in expected.items():
        np.testing.assert_allclose(metric(by_hand, ones), [value], rtol=1e-6)
    for modulation in range(4):
        of = slice(40 * modulation, 40 * modulation + 40)
        rate = metrics.bit_error_rate(by_hand, ones, modulation)
        np.testing.assert_allclose(rate, np.sum((i % 7)[of]) / 400.0)


def test_a_weight_is_how_often_a_frame_counts(by_hand):
    """Weight two is the frame twice, weight zero is no frame."""
    weights = np.ones((2, 160))
    weights[1] = np.arange(160) % 3
    picked = np.repeat(np.arange(160), np.arange(160) % 3)
    scores = by_hand.scores
    error, power = scores.channel_error[2, picked], scores.channel_power[2, picked]
    nmse = metrics.channel_nmse_db(by_hand, weights)
    np.testing.assert_allclose(nmse[1], 10.0 * np.log10(error.sum() / power.sum()), rtol=1e-6)
    gmi = metrics.gmi_fraction(by_hand, weights)
    np.testing.assert_allclose(gmi[1], scores.gmi_fraction[2, picked].mean(), rtol=1e-6)


def test_agreement_counts_equal_decisions(by_hand):
    ones = np.ones((1, 160))
    assert metrics.agreement(by_hand, by_hand, ones) == [1.0]
    decided = by_hand.scores.modulation.copy()
    decided[:, :16] += 1.0
    other = by_hand._replace(scores=by_hand.scores._replace(modulation=decided))
    np.testing.assert_allclose(metrics.agreement(other, by_hand, ones), [0.9])


def test_missing_tasks_are_nan(classical):
    ones = np.ones((3, 160))
    for metric in (metrics.k_mae_db, metrics.snr_mae_db, metrics.los_accuracy):
        assert np.all(np.isnan(metric(classical["ls"], ones)))


def test_a_hall_without_los_has_no_k(synthetic):
    scored = synthetic()
    scores = scored.scores._replace(has_k=0.0 * scored.scores.has_k)
    assert np.isnan(metrics.k_mae_db(scored._replace(scores=scores), np.ones((1, 160))))


def test_the_reference_point_is_20_db(synthetic):
    assert frames.REFERENCE_SNR_DB == 20.0
    with pytest.raises(ValueError, match="20 dB was not measured"):
        metrics.gmi_fraction(synthetic(snrs_db=(10.0, 15.0)), np.ones((1, 160)))
