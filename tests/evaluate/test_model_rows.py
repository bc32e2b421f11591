"""Rows of an evaluation: complete, sums that hold, and paired where they compare."""

import numpy as np
import pytest

from tests import evaluated
from wfm_jax.evaluate import model_rows
from wfm_jax.evaluate.behind import behind_db
from wfm_jax.evaluate.confusion import confusion
from wfm_jax.evaluate.intervals import resample_weights
from wfm_jax.results import evaluation_rows as files
from wfm_jax.results.evaluation_rows import select


@pytest.fixture(scope="module")
def weights(test_set):
    return resample_weights(test_set.strata, 100, seed=0)


@pytest.fixture(scope="module")
def measured(study):
    return evaluated.everybody(study)


@pytest.fixture(scope="module")
def rows(measured, study, weights):
    found = model_rows.evaluation_rows(measured, study.snrs_db, weights)
    return [files.complete_row(row) for row in found]


def test_a_number_has_one_row(rows):
    keys = [(r["receiver"], r["metric"], r["snr_db"], r["bits_per_symbol"], r["k_bin"])
            for r in rows]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert {row["snr_db"] for row in rows} == {10.0, 20.0}


def test_no_bit_error_rate_is_of_all_constellations(rows):
    for row in rows:
        if row["metric"].startswith(("ber", "behind")):
            assert row["bits_per_symbol"] is not None


def test_every_task_is_told_over_snr_and_over_k(rows, study):
    for metric in ("gmi_fraction", "nmse_db", "amc_accuracy", "snr_mae_db", "los_accuracy",
                   "delay_spread_mae_ns", "doppler_mae_hz"):  # fmt: skip
        assert len(select(rows, "model", metric)) == 2
        for k_bin in study.test_set.k_bins:
            assert len(select(rows, "model", metric, k_bin=k_bin)) == 2
    assert len(select(rows, "model", "k_mae_db", k_bin=study.test_set.k_bins[0])) == 2
    assert not select(rows, "model", "k_mae_db", k_bin="rayleigh")
    for m in (2, 4, 6, 8):
        for k_bin in (None, *study.test_set.k_bins):
            assert len(select(rows, "model", "ber", bits_per_symbol=m, k_bin=k_bin)) == 2


def test_bit_error_rates_of_the_k_bins_average_to_that_of_all(rows, study):
    """Frames of a constellation have equally many bits, and K bins equally many frames."""
    for m in (2, 8):
        whole = select(rows, "lmmse", "ber", bits_per_symbol=m)
        parts = [
            select(rows, "lmmse", "ber", bits_per_symbol=m, k_bin=k_bin)
            for k_bin in study.test_set.k_bins
        ]
        for i, row in enumerate(whole):
            np.testing.assert_allclose(row["value"], np.mean([p[i]["value"] for p in parts]))
            assert row["frames"] == sum(part[i]["frames"] for part in parts) == 40


def test_decisions_are_the_confusion_matrix(rows, measured):
    counts = confusion(measured["model"].scored, 20.0)
    for i, sent in enumerate((2, 4, 6, 8)):
        shares = [
            select(rows, "model", f"decided_{2**m}", bits_per_symbol=sent)[1]["value"]
            for m in (2, 4, 6, 8)
        ]
        np.testing.assert_allclose(np.array(shares) * 40, counts[i])


def test_distances_are_those_of_the_curves(rows, measured, weights):
    for name in ("lmmse", "lmmse_true", "genie"):
        values = behind_db(measured["model"].scored, measured[name].scored, weights, 1)
        found = select(rows, "model", f"behind_{name}_db", bits_per_symbol=4)
        for row, value in zip(found, values[0], strict=True):
            assert row["value"] == pytest.approx(value, nan_ok=True) or np.isnan(value)
    assert not select(rows, "lmmse", "behind_lmmse_db", bits_per_symbol=4)
    # By hand: 1 dB and 3 dB better, of which the last is beyond the curve's end at 22.5 dB.
    true = select(rows, "lmmse_true", "behind_lmmse_db", bits_per_symbol=6)
    np.testing.assert_allclose([row["value"] for row in true], -1.0, atol=0.02)
    genie = select(rows, "genie", "behind_lmmse_db", bits_per_symbol=6)
    assert [row["value"] is None for row in genie] == [False, True]


def test_differences_are_paired(rows):
    """Their intervals are narrower than what two separate intervals would give."""
    for metric, difference, other in (
        ("nmse_db", "nmse_over_lmmse_db", "lmmse"),
        ("amc_accuracy", "amc_minus_likelihood", "lmmse"),
        ("amc_accuracy", "amc_minus_ceiling", "genie"),
    ):
        for a, b, both in zip(
            select(rows, "model", metric),
            select(rows, other, metric),
            select(rows, "model", difference),
            strict=True,
        ):
            np.testing.assert_allclose(both["value"], a["value"] - b["value"], atol=1e-9)
            assert both["low"] < both["value"] < both["high"]
            assert both["ci95"] < np.hypot(a["ci95"], b["ci95"])


def test_claims_are_those_of_the_bins(rows):
    """By hand a tenth fewer bits are wrong than is claimed."""
    for m in (2, 4, 6, 8):
        had, promised = (
            [row["value"] for row in select(rows, "model", metric, bits_per_symbol=m)]
            for metric in ("ber", "ber_claimed")
        )
        np.testing.assert_allclose(had, 0.9 * np.array(promised), rtol=1e-5)


def test_calibration_rows_hold_every_bit(measured, study, weights):
    rows = model_rows.calibration_rows(measured, study.snrs_db, weights)
    for name in ("model", "lmmse", "genie"):
        for m in (2, 8):
            of = [r for r in rows if r["receiver"] == name and r["bits_per_symbol"] == m
                  and r["snr_db"] == 10.0]  # fmt: skip
            scores = measured[name].scored.at(10.0)
            frames = study.test_set.modulation == (2, 4, 6, 8).index(m)
            bits = scores.n_bits[frames].sum()
            assert sum(row["bits"] for row in of) == pytest.approx(bits, abs=len(of))
            wrong = scores.bit_errors[frames].sum()
            assert sum(row["wrong"] for row in of) == pytest.approx(wrong, abs=len(of))
    for row in rows:
        told = row["observed_low"] is not None
        assert told == (10 <= row["wrong"] <= row["bits"] - 10)
        if told:
            assert row["observed_low"] <= row["observed"] <= row["observed_high"]
