"""Metrics over SNR: those of ``metrics`` where both say the same, and honest widths."""

import functools

import numpy as np
import pytest

from wfm_jax.evaluate import metrics, over_snr
from wfm_jax.evaluate.intervals import interval, resample_weights


@pytest.fixture(scope="module")
def weights(test_set):
    return resample_weights(test_set.strata, 100, seed=0)


def test_they_are_the_metrics_at_the_reference_snr(synthetic, weights, test_set):
    scored = synthetic()
    for name, metric in (
        ("gmi_fraction", metrics.gmi_fraction),
        ("nmse_db", metrics.channel_nmse_db),
        ("k_mae_db", metrics.k_mae_db),
        ("snr_mae_db", metrics.snr_mae_db),
        ("los_accuracy", metrics.los_accuracy),
    ):
        values = over_snr.over_snr(scored, name, weights)
        assert values.shape == (101, 3)
        np.testing.assert_allclose(values[:, 2], metric(scored, weights), rtol=1e-6)
    for modulation in range(4):
        of = test_set.modulation == modulation
        values = over_snr.over_snr(scored, "ber", weights, of)[:, 2]
        metric = functools.partial(metrics.bit_error_rate, modulation=modulation)
        np.testing.assert_allclose(values, metric(scored, weights), rtol=1e-6)


def test_units(synthetic):
    scored = synthetic()
    ones = np.ones((1, 160))
    spread = over_snr.over_snr(scored, "delay_spread_mae_ns", ones)[0]
    expected = 1e9 * scored.scores.delay_spread_error_s.mean(axis=1)
    np.testing.assert_allclose(spread, expected, rtol=1e-5)
    accuracy = over_snr.over_snr(scored, "amc_accuracy", ones)[0]
    np.testing.assert_allclose(accuracy, scored.scores.amc_correct.mean(axis=1))


def test_ends_are_those_of_the_intervals(synthetic, weights):
    values = over_snr.over_snr(synthetic(), "nmse_db", weights)
    values = np.column_stack([values, np.full(101, np.nan)])
    for i, ends in enumerate(zip(*over_snr.ends(values), strict=True)):
        np.testing.assert_allclose(ends, interval(values[:, i]))


def test_tasks_that_are_missing(classical, synthetic, test_set):
    assert not over_snr.has_metric(classical["ls"], "k_mae_db")
    assert over_snr.has_metric(classical["ls"], "nmse_db")
    rayleigh = test_set.k_bin == 4
    assert not over_snr.has_metric(synthetic(), "k_mae_db", rayleigh)
    assert over_snr.has_metric(synthetic(), "k_mae_db", ~rayleigh)


def test_nothing_wrong_is_not_no_interval(synthetic, weights):
    """160 of 160 right: Wilson's interval reaches z^2 / (n + z^2) below one."""
    scored = synthetic()
    scores = scored.scores._replace(amc_correct=np.ones_like(scored.scores.amc_correct))
    widths = over_snr.half_widths(scored._replace(scores=scores), "amc_accuracy", weights)
    expected = 0.5 * 1.96**2 / (160 + 1.96**2)
    np.testing.assert_allclose(widths, expected, rtol=1e-3)


@pytest.mark.parametrize("wrong", [1, 9, 10, 150, 151, 160])
def test_resampling_is_trusted_from_ten_frames_of_each_kind_on(wrong):
    width = over_snr.few_frames(np.arange(160) < wrong, 0.1 * wrong / 160, 160)
    assert (width == 0.0) is (10 <= wrong <= 150)
    if wrong == 1:  # a frame's errors, a tenth of what could be: a tenth of the share's width
        share = 0.5 * (0.034503 - 0.001104)
        np.testing.assert_allclose(width, 0.1 * share, rtol=0.01)
