"""The quality columns: those of the schema, ready to be a row."""

import dataclasses
import math
import time

import numpy as np
import pytest

from wfm_jax.evaluate.intervals import resample_weights
from wfm_jax.evaluate.quality import quality_columns
from wfm_jax.results import rows


@pytest.fixture(scope="module")
def weights(test_set):
    return resample_weights(test_set.strata, 50, seed=0)


def schema_quality():
    names = [column.name for column in rows.COLUMNS]
    first, last = names.index("amc_accuracy"), names.index("loss")
    return {name for name in names[first : last + 1] if not name.startswith("example_score")}


def test_a_configuration_has_every_quality_column(synthetic, weights):
    teacher = synthetic(5.0, snrs_db=(10.0, 15.0, 18.0, 20.0, 22.0))
    columns = quality_columns(synthetic(3.0), weights, teacher=teacher, null=synthetic(-15.0))
    assert set(columns) == schema_quality()
    assert all(math.isfinite(value) for value in columns.values())
    assert rows.complete_row(columns)["ber_16"] == columns["ber_16"]
    assert 0.0 < columns["retention"] < 1.0
    np.testing.assert_allclose(columns["snr_loss_db"], 2.0, atol=0.1)


def test_the_teacher_is_its_own_measure(synthetic, weights):
    teacher, null = synthetic(5.0), synthetic(-15.0)
    own = quality_columns(teacher, weights, teacher=teacher, null=null)
    for name, value in {"retention": 1.0, "snr_loss_db": 0.0, "teacher_agreement": 1.0}.items():
        np.testing.assert_allclose(own[name], value, atol=1e-9)
    assert own["retention_ci95"] < 1e-9
    np.testing.assert_allclose(
        quality_columns(null, weights, teacher=teacher, null=null)["retention"], 0.0, atol=1e-9
    )


def test_classical_rows_leave_out_what_they_lack(classical, synthetic, weights):
    teacher, null = synthetic(5.0), synthetic(-15.0)
    columns = quality_columns(classical["genie"], weights, teacher=teacher, null=null)
    row = rows.complete_row(columns)
    for name in ("k_mae_db", "snr_mae_db", "los_accuracy", "retention", "retention_ci95"):
        assert row[name] is None
    assert row["snr_loss_db"] is not None
    assert not {"snr_loss_db", "retention"} & set(quality_columns(classical["ls"], weights))


def test_the_genie_is_ahead_in_its_row(classical, weights):
    ls, lmmse, genie = (quality_columns(scored, weights) for scored in classical.values())
    for name in ("ber_64", "ber_256", "channel_nmse_db"):
        assert genie[name] < lmmse[name] < ls[name]
    for name in ("gmi_fraction", "amc_accuracy"):
        assert genie[name] > lmmse[name] >= ls[name]


def test_a_configuration_costs_milliseconds(synthetic):
    """800 frames and 400 resamples; the bound is loose, for a machine that others use too."""
    test_set = dataclasses.replace(synthetic().test_set, frames_per_stratum=40)
    weights = resample_weights(test_set.strata, 400, seed=0)
    grid = (10.0, 12.0, 14.0, 15.0, 16.0, 18.0, 20.0, 22.0, 24.0)
    teacher = synthetic(5.0, snrs_db=grid, test_set=test_set)
    null, scored = (synthetic(skill, test_set=test_set) for skill in (-15.0, 3.0))
    start = time.perf_counter()
    quality_columns(scored, weights, teacher=teacher, null=null)
    assert time.perf_counter() - start < 1.0
