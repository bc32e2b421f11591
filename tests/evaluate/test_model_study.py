"""A model among receivers: the same frames for all, and the order that theory says."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.evaluate.conftest import LINK
from wfm_jax.evaluate import classical, frames, many, over_snr
from wfm_jax.evaluate.scores import FrameScores
from wfm_jax.signal import receivers

ONES = np.ones((1, 160))


def test_the_model_scores_as_it_does_alone(measured, study, score, pico):
    for row, snr_db in enumerate(study.snrs_db):
        frame = jax.jit(frames.test_frames, static_argnums=0)(study.test_set, snr_db)
        alone = score(pico[2], frame)
        scores = measured["model"].scored.at(snr_db)
        for name in FrameScores._fields:
            np.testing.assert_allclose(
                getattr(scores, name), getattr(alone, name), rtol=1e-3, atol=1e-3, err_msg=name
            )
        bins = measured["model"].bins
        np.testing.assert_array_equal(bins.wrong[row].sum(axis=1), scores.bit_errors)


@pytest.mark.slow
def test_classical_receivers_are_those_of_a_sweep(measured, drawn, study):
    """Same covariance, same frames: ``score_classical`` says the same, in another program."""
    key = jax.random.fold_in(jax.random.key(study.test_set.seed), classical.COVARIANCE_STREAM)
    covariance = jax.jit(lambda key: receivers.ensemble_covariance(LINK, key=key))(key)
    for name, scored in many.score_classical(drawn, covariance, chunk=96).items():
        for snr_db in study.snrs_db:
            ours, theirs = measured[name].scored.at(snr_db), scored.at(snr_db)
            for field in ("bit_errors", "amc_correct"):
                off = np.abs(getattr(ours, field) - getattr(theirs, field))
                assert np.sum(off) <= 3  # decisions within rounding of a border
            np.testing.assert_allclose(ours.gmi_fraction, theirs.gmi_fraction, atol=1e-3)


def test_references_reach_beyond_the_models_snrs(measured, study):
    assert measured["model"].scored.snrs_db == (10.0, 20.0)
    assert measured["lmmse"].scored.snrs_db == (5.0, 7.5, 10.0, 20.0, 22.5)


def test_knowing_more_is_better(measured):
    def errors(name):
        return np.sum([measured[name].scored.at(snr).bit_errors.sum() for snr in (10.0, 20.0)])

    assert errors("genie") < errors("lmmse_true") < errors("lmmse") < errors("ls")
    assert errors("genie") < errors("data_aided") < errors("lmmse")


def test_lmmse_that_knows_the_profile_reaches_the_bound(measured):
    """Within 0.5 dB: 160 fades, of links that walk."""
    true, bound = (
        [over_snr.over_snr(measured[name].scored, "nmse_db", ONES)[0, row] for row in rows]
        for name, rows in (("lmmse_true", (2, 3)), ("lmmse_bound", (0, 1)))
    )
    np.testing.assert_allclose(true, bound, atol=0.5)


def test_who_is_told_the_modulation_does_not_classify(measured):
    assert np.isnan(measured["data_aided"].scored.scores.amc_correct).all()
    assert np.isfinite(measured["genie"].scored.scores.amc_correct).all()
    for name in ("lmmse_bound", "constant"):
        assert measured[name].bins is None


def test_the_genie_promises_what_it_keeps(measured):
    """Exact LLRs of a known channel: as many wrong bits as they claim, |z| < 5 over frames."""
    for scored, bins in (measured["genie"],):
        off = np.sum(bins.wrong - np.asarray(bins.claimed, np.float64), axis=(0, 2))
        assert abs(off.sum()) < 5.0 * np.sqrt(np.sum(np.square(off)))
        np.testing.assert_array_equal(bins.n_bits.sum(axis=2), scored.scores.n_bits)


@pytest.mark.parametrize("snrs_db", [(), (20.0, 10.0), (10.0, 10.0)])
def test_snrs_must_rise(study, snrs_db):
    with pytest.raises(ValueError, match="rising"):
        dataclasses.replace(study, snrs_db=snrs_db)
