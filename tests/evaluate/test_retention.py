"""Retention: one for the teacher, zero for null, and silent where there is nothing to retain."""

import numpy as np
import pytest

from wfm_jax.evaluate.retention import TASKS, retentions, smallest_retention

WEIGHTS = np.ones((2, 160))


@pytest.fixture
def teacher(synthetic):
    return synthetic(5.0)


@pytest.fixture
def null(synthetic):
    return synthetic(-15.0)


def between(a, b, share):
    """Scores that are ``share`` of the way from ``b`` to ``a``."""
    mixed = (share * x + (1 - share) * y for x, y in zip(a.scores, b.scores, strict=True))
    return a._replace(scores=type(a.scores)(*mixed))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 1.0, 1.1])
def test_the_share_of_the_way_from_null_to_teacher(teacher, null, share):
    kept = retentions(between(teacher, null, share), teacher, null, WEIGHTS)
    assert set(kept) == set(TASKS) == {"amc", "gmi", "los", "snr", "k"}
    for values in kept.values():
        np.testing.assert_allclose(values, share, atol=1e-5)


@pytest.mark.parametrize("task, field", [("los", "los_correct"), ("k", "k_error_db")])
def test_the_smallest_task_counts(teacher, null, task, field):
    worse = getattr(between(teacher, null, 0.25).scores, field)
    scored = teacher._replace(scores=teacher.scores._replace(**{field: worse}))
    np.testing.assert_allclose(retentions(scored, teacher, null, WEIGHTS)[task], 0.25, atol=1e-5)
    np.testing.assert_allclose(smallest_retention(scored, teacher, null, WEIGHTS), 0.25, atol=1e-5)


@pytest.mark.parametrize("null_is", ["as good", "better"])
def test_a_task_that_null_masters_is_left_out(teacher, null, null_is):
    los, snr = teacher.scores.los_correct, teacher.scores.snr_error_db
    if null_is == "better":
        los, snr = np.ones_like(los), 0.5 * snr
    null = null._replace(scores=null.scores._replace(los_correct=los, snr_error_db=snr))
    assert set(retentions(teacher, teacher, null, WEIGHTS)) == {"amc", "gmi", "k"}


def test_nothing_to_retain_is_nan(teacher):
    assert np.all(np.isnan(smallest_retention(teacher, teacher, teacher, WEIGHTS)))


def test_a_diverged_model_does_not_hide_behind_its_other_tasks(teacher, null):
    broken = teacher.scores._replace(snr_error_db=np.nan * teacher.scores.snr_error_db)
    broken = teacher._replace(scores=broken)
    assert np.all(np.isnan(smallest_retention(broken, teacher, null, WEIGHTS)))
