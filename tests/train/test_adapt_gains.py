"""Gains and shares of them: known by construction, paired, and their intervals' law."""

import numpy as np
import pytest

from tests import small
from wfm_jax.evaluate import frames
from wfm_jax.evaluate.metrics import AMC_SNRS_DB
from wfm_jax.evaluate.scores import Scored, no_scores
from wfm_jax.train.adapt_gains import SCORES, compare

TEST_SET = frames.TestSet(small.LINK, seed=0, frames_per_stratum=10)
SHAPE = (len(AMC_SNRS_DB), TEST_SET.n_frames)
RNG = np.random.default_rng(0)


def scored(gmi, error=1.0):
    """Scores in which only GMI and the error of the SNR are known."""
    known = {
        "gmi_fraction": np.broadcast_to(gmi, SHAPE),
        "snr_error_db": np.full(SHAPE, error),
        "has_k": np.zeros(SHAPE),
    }
    return Scored(TEST_SET, AMC_SNRS_DB, no_scores(SHAPE)._replace(**known))


BEFORE_GMI = 0.5 + 0.1 * RNG.normal(size=TEST_SET.n_frames)
FULL_GAIN = 0.2 + 0.05 * RNG.normal(size=TEST_SET.n_frames)


def test_a_method_that_gains_the_same_share_on_every_frame_has_recovered_it_exactly():
    after = {
        "lora": [scored(BEFORE_GMI + 0.9 * FULL_GAIN, 0.7)] * 3,
        "full": [scored(BEFORE_GMI + FULL_GAIN, 0.6)] * 3,
    }
    found = compare(scored(BEFORE_GMI, 1.0), after)
    lora, full = (found[name, "gmi_fraction"] for name in ("lora", "full"))
    assert full["before"] == pytest.approx(BEFORE_GMI.mean(), rel=1e-6)
    assert full["gain"] == pytest.approx(FULL_GAIN.mean(), rel=1e-5)
    for name in ("recovered", "recovered_low", "recovered_high"):
        assert lora[name] == pytest.approx(0.9, rel=1e-5)
        assert full[name] == pytest.approx(1.0, rel=1e-6)
    # An error that falls is a gain.
    assert found["lora", "snr_mae_db"]["gain"] == pytest.approx(0.3, rel=1e-5)
    assert found["lora", "snr_mae_db"]["recovered"] == pytest.approx(0.75, rel=1e-5)


def test_the_interval_of_a_gain_is_that_of_its_frames():
    """One labelled set: the gain's standard error is that of the mean within the strata."""
    found = compare(scored(BEFORE_GMI), {"full": [scored(BEFORE_GMI + FULL_GAIN)]})
    columns = found["full", "gmi_fraction"]
    strata = [FULL_GAIN[TEST_SET.strata == s] for s in np.unique(TEST_SET.strata)]
    error = np.sqrt(sum(np.var(x, ddof=1) / x.size for x in strata)) / len(strata)
    width = columns["gain_high"] - columns["gain_low"]
    # 400 resamples tell a quantile range to some 10 %.
    assert width == pytest.approx(2 * 1.96 * error, rel=0.2)


def test_sets_that_differ_widen_the_interval():
    alike = [scored(BEFORE_GMI + FULL_GAIN)] * 3
    apart = [scored(BEFORE_GMI + FULL_GAIN + shift) for shift in (-0.05, 0.0, 0.05)]
    narrow, wide = (
        compare(scored(BEFORE_GMI), {"full": sets})["full", "gmi_fraction"]
        for sets in (alike, apart)
    )
    assert wide["gain"] == pytest.approx(narrow["gain"], abs=1e-6)
    # Two of three sets are drawn: their mean has a standard deviation of 0.05 sqrt(1/3).
    assert wide["gain_high"] - wide["gain_low"] > 2 * 0.05 * np.sqrt(1 / 3)
    assert narrow["gain_high"] - narrow["gain_low"] < 0.03


def test_nothing_is_recovered_of_a_gain_that_may_be_none():
    noise = 0.05 * RNG.normal(size=TEST_SET.n_frames)
    noise -= noise.mean()
    after = {"lora": [scored(BEFORE_GMI + 0.1)], "full": [scored(BEFORE_GMI + noise)]}
    found = compare(scored(BEFORE_GMI), after)
    assert all("recovered" not in columns for columns in found.values())
    assert found["lora", "gmi_fraction"]["gain_low"] > 0.0


def test_without_full_fine_tuning_there_is_nothing_to_compare_with():
    found = compare(scored(BEFORE_GMI), {"lora": [scored(BEFORE_GMI + 0.1)]})
    assert "recovered" not in found["lora", "gmi_fraction"]


def test_scores_that_the_target_does_not_have_are_left_out():
    found = compare(scored(BEFORE_GMI), {"full": [scored(BEFORE_GMI + FULL_GAIN)]})
    assert {score for _, score in found} == {"gmi_fraction", "snr_mae_db"} < set(SCORES)
