"""Sensitivity of a model's tensors: what the program measures is what compressing by hand gives."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import evaluated
from wfm_jax import compress
from wfm_jax.evaluate import frames, scores, sensitivity
from wfm_jax.evaluate import sensitivity_study as study_of
from wfm_jax.export.packed import unpack
from wfm_jax.results.sensitivity_rows import SCORES
from wfm_jax.train.frame_loss import frame_loss
from wfm_jax.train.losses import TaskWeights, task_losses

LEVELS = (2, 4, 8)


@pytest.fixture(scope="module")
def few(test_set):
    return dataclasses.replace(test_set, frames_per_stratum=1)


@pytest.fixture(scope="module")
def study(few):
    return study_of.SensitivityStudy(
        few, dataclasses.replace(few, seed=6), LEVELS, (0.5,), budget_bits=4
    )


@pytest.fixture(scope="module")
def subject(pico):
    config, _, params = pico
    return study_of.Subject(config, params, frame_loss, "a-hash")


@pytest.fixture(scope="module")
def answers(pico, few):
    """The model's answers on the calibration frames, and a function that gives others'."""
    config, apply, params = pico
    batch = sensitivity.calibration_frames(few)
    answer = jax.jit(lambda params: scores.answer(config, apply, params, batch))
    return lambda changed=None: answer(params if changed is None else changed)


@pytest.mark.slow
def test_the_task_loss_of_frames_is_that_of_training(pico, answers):
    """Where all frames of a batch have every task, the mean over frames is the batch's loss."""
    config, given = pico[0], answers()
    names = ("modulation", "bits", "channel", "link")

    @jax.jit
    def both(given):
        batch, everyone = given.batch, jnp.ones_like(given.batch.blind)
        aware = task_losses(config, given.known, batch)
        unaware = task_losses(config, given.blind, batch._replace(blind=everyone))
        own = {
            name: frame_loss(config, given, TaskWeights(**dict.fromkeys(names, 0.0) | {name: 1.0}))
            for name in names
        }
        return own, {**unaware, "bits": aware["bits"], "channel": aware["channel"]}

    own, expected = both(given)
    for name in names[:3]:  # of the last, K is averaged over frames with a LOS ray in training
        assert own[name].shape == (60,)
        np.testing.assert_allclose(jnp.mean(own[name]), expected[name], rtol=2e-5)
    has_k = np.asarray(given.batch.frame.has_k)
    assert 0 < has_k.sum() < has_k.size
    np.testing.assert_allclose(
        frame_loss(config, given), own["modulation"] + own["bits"] + 2 * own["channel"]
        + own["link"], rtol=2e-5,
    )  # fmt: skip


@pytest.mark.slow
def test_cells_are_the_model_with_one_tensor_compressed(pico, subject, few, answers):
    config, _, params = pico
    paths = subject.paths
    alike = np.full((3, len(paths)), 32.0, np.float32)
    pruned = np.zeros_like(alike)
    alike[1, 3], pruned[2, 5] = 4, 0.5
    found = sensitivity.measure(subject.program, few, params, sensitivity.Cells(alike, pruned))
    flat = compress.flatten(params)
    keep = compress.keep_mask(abs(flat[paths[5]]), 0.5)
    by_hand = [
        params,
        compress.unflatten(params, {paths[3]: compress.fake_quant(flat[paths[3]], 4)}),
        compress.unflatten(params, {paths[5]: jnp.where(keep, flat[paths[5]], 0)}),
    ]
    for measured, changed in zip(found, by_hand, strict=True):
        expected = frame_loss(config, answers(changed)).reshape(3, -1)
        np.testing.assert_allclose(measured.task_loss, expected, rtol=2e-3, atol=2e-3)
        gmi = scores.score_answers(config, answers(changed))[0].gmi_fraction.reshape(3, -1)
        np.testing.assert_allclose(measured.scored.scores.gmi_fraction, gmi, rtol=2e-3, atol=2e-3)
    assert not np.allclose(found[1].task_loss, found[0].task_loss)
    assert subject.program._cache_size() <= 1  # JAX forgets some where there are very many


@pytest.mark.slow
def test_a_whole_study_in_one_program(subject, study):
    """Every tensor at every level, then mixed precision: the same program, of other frames."""
    told = []
    cells = study_of.measure_cells(study, subject, check=lambda: told.append(1))
    paths = subject.paths
    assert len(cells) == len(paths) * 4
    assert [row["tensor"] for row in cells[:6]] == [paths[0]] * 3 + [paths[1]] * 3
    assert {row["method"] for row in cells[-len(paths) :]} == {"sparsity"}
    assert len(told) == 1 + -(-(len(cells) + 1) // sensitivity.WIDTH)
    for row in cells:
        assert row["task_loss_change_low"] <= row["task_loss_change"] + 1e-6
        assert row["task_loss_change"] <= row["task_loss_change_high"] + 1e-6
        assert row["expected_rise"] >= 0.0
        assert (row["size_bytes"] is None) == (row["method"] == "sparsity")
    full = {round(row["task_loss"] - row["task_loss_change"], 5) for row in cells}
    assert len(full) == 1

    given = study_of.allocations(study, subject, cells)
    assert list(given) == ["4 bits everywhere", "4 bits in blocks, 8 elsewhere"]
    rows = study_of.measure_allocations(study, subject, given)
    assert [row["configuration"] for row in rows] == [
        "baseline", "measured", "expected", "larger"
    ] * 2  # fmt: skip
    for row in rows:
        assert row["tensor_bytes"] <= row["budget_bytes"]
        if row["configuration"] == "baseline":
            assert row["tensor_bytes"] == row["budget_bytes"]
            assert row["task_loss_change"] == 0.0
    assert rows[0]["mean_bits"] == 4.0
    assert {row["frames_hash"] for row in rows} != {row["frames_hash"] for row in cells}
    assert subject.program._cache_size() <= 1  # JAX forgets some where there are very many


@pytest.mark.slow
def test_mixed_precision_is_paired_with_its_baseline(subject, study):
    """An allocation that equals the baseline changes nothing, with no doubt about it."""
    uniform = np.full(len(subject.paths), 4.0)
    given = {"four": {"baseline": uniform, "same": uniform, "eight": 2.0 * uniform}}
    base, same, eight = study_of.measure_allocations(study, subject, given)
    for name in SCORES:
        ends = [same[f"{name}_change{end}"] for end in ("", "_low", "_high")]
        assert ends == [0.0, 0.0, 0.0]
    assert same["size_bytes"] == base["size_bytes"] < eight["size_bytes"]
    assert (base["mean_bits"], eight["mean_bits"]) == (4.0, 8.0)
    for name in SCORES:
        found = eight[name] - base[name]
        assert eight[f"{name}_change"] == pytest.approx(found, abs=1e-9)
        assert eight[f"{name}_change_low"] <= found <= eight[f"{name}_change_high"]
    assert eight["task_loss_change"] != 0.0


def test_the_bytes_of_tensors_are_those_of_the_packed_tensors(subject):
    """Before the file's entropy code: values at their bits, and 4 bytes a scale."""
    rng = np.random.default_rng(0)
    bits = rng.choice([2, 3, 4, 6, 8], len(subject.paths))
    tensors = unpack(study_of.packed(subject, bits))
    assert {path: tensors[path].grid.bits for path in subject.paths} == dict(
        zip(subject.paths, map(int, bits), strict=True)
    )
    values = sum(-(-tensors[p].values.size * tensors[p].grid.bits // 8) for p in subject.paths)
    scales = sum(4 * tensors[p].grid.scale.size for p in subject.paths)
    assert study_of.tensor_bytes(subject, bits) == values + scales
    mixed = compress.flatten(compress.quantize_by(subject.params, subject.paths, bits))
    for path in subject.paths:
        np.testing.assert_array_equal(tensors[path].effective(), mixed[path])


def test_the_larger_damage_is_what_is_allocated_by(subject, study):
    """Given measurements of nothing, all allocations by the larger are those by Fisher."""
    rows = [
        {"method": "bits", "tensor": path, "level": float(level), "task_loss_change": -1.0,
         "expected_rise": 4.0**-level * (1 + i)}
        for i, path in enumerate(subject.paths) for level in LEVELS
    ]  # fmt: skip
    given = study_of.allocations(study, subject, rows)
    for of in given.values():
        np.testing.assert_array_equal(of["larger"], of["expected"])
        assert json.dumps(list(of["expected"])) != json.dumps(list(of["measured"]))


def test_metrics_have_paired_intervals(synthetic, test_set):
    from wfm_jax.evaluate.intervals import resample_weights

    weights = resample_weights(test_set.strata, 50, seed=0)
    scored = evaluated.receiver(test_set, sensitivity.SNRS_DB)
    loss = np.broadcast_to([[1.0], [2.0], [6.0]], (3, test_set.n_frames))
    values = sensitivity.metric_values(sensitivity.Measured(loss, scored), weights)
    assert set(values) == set(SCORES)
    np.testing.assert_allclose(values["task_loss"], 3.0)
    assert all(value.shape == (51,) for value in values.values())


@pytest.mark.parametrize(
    "change, words",
    [
        ({"bits": (4, 2)}, "rising"),
        ({"bits": ()}, "rising"),
        ({"bits": (1, 4)}, "2 to 8"),
        ({"sparsities": (0.5, 1.0)}, r"\(0, 1\)"),
        ({"budget_bits": 9}, "2 to 8, the fewest"),
        ({"bits": (4, 8), "budget_bits": 3}, "4 to 8, the fewest"),
    ],
)
def test_bad_studies_are_named(study, change, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(study, **change)


def test_allocations_are_tested_on_other_frames(study):
    with pytest.raises(ValueError, match="different seeds"):
        dataclasses.replace(study, test=frames.TestSet(study.test.link, study.calibration.seed))
