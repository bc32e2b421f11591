"""Naive bits on chosen tensors: what is chosen, and that scores are those of the model so made."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from wfm_jax import compress
from wfm_jax.evaluate import frames, scores, sensitivity, sensitivity_study
from wfm_jax.evaluate import sensitive_tensors as study_of
from wfm_jax.results.failure_rows import TENSOR_COLUMNS, TENSOR_SCORES
from wfm_jax.results.rows import complete_row
from wfm_jax.train.frame_loss import frame_loss

PATHS = ["block_0/up/kernel", "block_1/up/kernel", "embed", "head", "other"]
DAMAGE = np.array([0.3, -0.1, 9.0, 0.2, 0.0])


@pytest.fixture(scope="module")
def study(test_set):
    few = dataclasses.replace(test_set, frames_per_stratum=1)
    return study_of.SensitiveTensors(
        dataclasses.replace(few, seed=6), few, counts=(1, 3, 99), draws=2
    )


def test_the_most_and_the_least_sensitive_are_chosen(study):
    found = {(c.kind, c.chosen, c.count): c for c in study_of.choices(study, PATHS, DAMAGE)}
    assert len(found) == 4 + 2 * 2 * 3  # of more tensors than there are: none
    assert found["alone", "most", 3].sets == [[2, 0, 3]]
    assert found["alone", "least", 3].sets == [[1, 4, 3]]
    np.testing.assert_array_equal(found["alone", "most", 1].bits, [[32, 32, 4, 32, 32]])
    np.testing.assert_array_equal(found["spared", "most", 1].bits, [[4, 4, 8, 4, 4]])
    np.testing.assert_array_equal(found["everywhere", "", 0].bits, [[4] * 5])
    np.testing.assert_array_equal(found["blocks", "", 0].bits, [[4, 4, 8, 8, 8]])
    np.testing.assert_array_equal(found["tables", "", 0].bits, [[8, 8, 4, 4, 4]])
    np.testing.assert_array_equal(found["none", "", 0].bits, [[32] * 5])


def test_random_choices_are_of_distinct_tensors_and_repeatable(study):
    many = dataclasses.replace(study, draws=200)
    found = study_of.choices(many, PATHS, DAMAGE)
    again = study_of.choices(many, PATHS, DAMAGE)
    drawn = [c for c in found if c.chosen == "random" and c.count == 3]
    for choice in drawn:
        assert len(choice.bits) == len(choice.sets) == 200
        assert all(len(set(which)) == 3 for which in choice.sets)
        for which, bits in zip(choice.sets, choice.bits, strict=True):
            own = 4 if choice.kind == "alone" else 8
            assert [i for i in range(5) if bits[i] == own] == sorted(which)
        often = np.bincount(np.concatenate(choice.sets), minlength=5) / 200
        assert np.all(np.abs(often - 0.6) < 4 * np.sqrt(0.6 * 0.4 / 200))
    assert [c.sets for c in found] == [c.sets for c in again]


@pytest.mark.slow
def test_a_whole_study_in_one_program(pico, study):
    config, apply, params = pico
    subject = sensitivity_study.Subject(config, params, frame_loss, "a-hash")
    rows = [complete_row(row, TENSOR_COLUMNS) for row in study_of.measure(study, subject)]
    assert subject.program._cache_size() <= 1  # JAX forgets some where there are very many
    full, everywhere, *rest = rows
    assert [full[f"task_loss_change{end}"] for end in ("", "_low", "_high")] == [0.0, 0.0, 0.0]
    assert (full["mean_bits"], everywhere["mean_bits"]) == (32.0, 4.0)
    assert everywhere["share"] == everywhere["share_low"] == everywhere["share_high"] == 1.0
    rise = everywhere["task_loss_change"]
    for row in rest:
        assert row["share"] == pytest.approx(row["task_loss_change"] / rise)
        assert row["rise_smallest"] <= row["task_loss_change"] + 1e-9
        assert row["task_loss_change"] <= row["rise_largest"] + 1e-9
        assert everywhere["size_bytes"] < row["size_bytes"] < full["size_bytes"]

    by = {(row["kind"], row["chosen"], row["count"]): row for row in rows}
    (chosen,) = json.loads(by["alone", "most", 3]["tensors"])
    assert len(chosen) == 3
    mixed = compress.quantize_by(params, chosen, np.full(3, 4.0))
    batch = sensitivity.calibration_frames(study.test)
    loss = jax.jit(lambda p: frame_loss(config, scores.answer(config, apply, p, batch)))
    found = by["alone", "most", 3]["task_loss_change"]
    assert found == pytest.approx(float(np.mean(loss(mixed) - loss(params))), rel=2e-2, abs=2e-3)
    for name in TENSOR_SCORES:
        drawn = by["alone", "random", 1]
        assert drawn[name] - full[name] == pytest.approx(drawn[f"{name}_change"], abs=1e-9)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"bits": 8}, "bits the fewer"),
        ({"bits": 1}, "2 to 8"),
        ({"counts": ()}, "rising"),
        ({"counts": (2, 1)}, "rising"),
        ({"counts": (0, 1)}, "from 1"),
        ({"draws": 0}, "draws"),
    ],
)
def test_bad_studies_are_named(study, change, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(study, **change)


def test_tensors_are_ranked_on_other_frames(study):
    with pytest.raises(ValueError, match="different seeds"):
        dataclasses.replace(study, test=frames.TestSet(study.test.link, study.calibration.seed))
