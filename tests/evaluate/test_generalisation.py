"""Packed models beside their teacher at places: laws of losses, order of models, resume."""

import numpy as np
import pytest

from tests import small
from wfm_jax import compress
from wfm_jax.evaluate import generalisation, generalisation_files
from wfm_jax.evaluate.generalisation import GeneralisationStudy, Teacher
from wfm_jax.evaluate.generalisation_rows import paired_loss
from wfm_jax.evaluate.intervals import resample_weights
from wfm_jax.evaluate.packed_models import PackedModel
from wfm_jax.evaluate.places import simulated_place
from wfm_jax.export.compressed import CompressedModel
from wfm_jax.model import activation_points
from wfm_jax.results.generalisation_rows import HOME, LOSSES, SCORES, TEACHER, row_of

PLACES = (HOME, "low_k")


@pytest.fixture(scope="module")
def teacher(pico):
    config, _, params = pico
    return Teacher(config, params, "t" * 16)


@pytest.fixture(scope="module")
def packed(teacher):
    """The teacher itself, one with activations in four bits, and one whose weights are moved."""
    flat = {name: np.asarray(w) for name, w in compress.flatten(teacher.params).items()}
    other = compress.flatten(small.moved(teacher.params, 0.05))
    end = compress.ActivationRange(np.float32(-4.0), np.float32(4.0))
    ranges = dict.fromkeys(activation_points(teacher.config), end)
    models = (
        CompressedModel(teacher.config, flat),
        CompressedModel(teacher.config, flat, ranges=ranges, act_bits=4),
        CompressedModel(teacher.config, {name: np.asarray(w) for name, w in other.items()}),
    )
    return tuple(
        PackedModel(f"{i + 1}.0 kB model {i}", 1000 * (i + 1), f"{i}" * 16, model)
        for i, model in enumerate(models)
    )


@pytest.fixture(scope="module")
def places(teacher):
    return tuple(simulated_place(n, teacher.config.link, frames=20, seed=2) for n in PLACES)


@pytest.fixture(scope="module")
def run(teacher, packed, places, tmp_path_factory):
    """A finished run: its folder and its rows."""
    folder = tmp_path_factory.mktemp("run")
    study = GeneralisationStudy(places, packed, seed=2)
    return folder, generalisation_files.generalise_in_folder(study, teacher, folder)


def test_a_row_of_each_model_and_metric_at_each_place(run, packed):
    folder, rows = run
    assert [*dict.fromkeys(row["place"] for row in rows)] == list(PLACES)
    for place in PLACES:
        of = [row for row in rows if row["place"] == place]
        assert [r["metric"] for r in of if r["model"] == TEACHER] == list(SCORES)
        for one in packed:
            assert [r["metric"] for r in of if r["model"] == one.label] == list(LOSSES)
        assert len({row["test_frames_hash"] for row in of}) == 1
        assert {row["frames"] for row in of} == {80}
    assert (folder / generalisation_files.PICTURE).stat().st_size > 10_000


def test_a_file_of_the_teacher_itself_loses_nothing_anywhere(run, packed):
    """Up to what programs of another size round otherwise."""
    of = [row for row in run[1] if row["model_hash"] == packed[0].hash]
    assert len(of) == len(PLACES) * len(LOSSES)
    for row in of:
        assert abs(row["loss"]) < 1e-6
        assert row["loss_low"] <= 1e-9
        assert row["loss_high"] >= -1e-9
        if row["metric"] not in ("amc_accuracy", "los_accuracy"):
            assert row["loss_high"] - row["loss_low"] < 1e-6
        assert row["excess"] is None if row["place"] == HOME else abs(row["excess"]) < 1e-6


def test_losses_are_of_the_values_and_positive_where_worse(run, packed):
    _, rows = run
    for place in PLACES:
        for name, score in SCORES.items():
            of = [row_of(rows, place=place, model_hash=h, metric=name)
                  for h in ("t" * 16, packed[1].hash, packed[2].hash)]  # fmt: skip
            for row in of[1:]:
                worse = row["value"] - of[0]["value"]
                sign = -1.0 if score.larger_is_better else 1.0
                np.testing.assert_allclose(row["loss"], sign * worse, atol=1e-9)
                assert row["loss_low"] <= row["loss"] <= row["loss_high"]
    four_bits = [r for r in rows if r["model_hash"] == packed[1].hash and r["loss"]]
    assert four_bits, "quantized activations change something"


def test_the_place_costs_the_teacher_the_difference_from_home(run):
    _, rows = run
    for name, score in SCORES.items():
        home, there = (
            row_of(rows, place=place, model_hash="t" * 16, metric=name) for place in PLACES
        )
        sign = -1.0 if score.larger_is_better else 1.0
        np.testing.assert_allclose(there["place_loss"], sign * (there["value"] - home["value"]))
        assert there["place_loss_low"] < there["place_loss"] < there["place_loss_high"]
        assert home["place_loss"] is None


def test_other_models_in_another_order_are_the_same_rows(run, teacher, packed, places, tmp_path):
    study = GeneralisationStudy(places[:1], packed[::-1], seed=2)
    rows = generalisation_files.generalise_in_folder(study, teacher, tmp_path)
    before = [row for row in run[1] if row["place"] == HOME]
    for one in packed:
        of = [[r for r in found if r["model_hash"] == one.hash] for found in (rows, before)]
        assert of[0] == of[1]
    order = [row["model"] for row in rows if row["metric"] == "gmi_fraction"]
    assert order == [TEACHER, *(one.label for one in packed[::-1])]


def test_finished_places_are_not_measured_again(run, teacher, packed, places, monkeypatch):
    folder, rows = run
    text = (folder / generalisation_files.ROWS).read_text()
    monkeypatch.setattr(generalisation_files, "measure_place", lambda *_, **__: pytest.fail("was"))
    study = GeneralisationStudy(places, packed, seed=2)
    assert generalisation_files.generalise_in_folder(study, teacher, folder) == rows
    assert (folder / generalisation_files.ROWS).read_text() == text


def test_an_interrupt_keeps_the_places_that_are_done(teacher, packed, places, tmp_path):
    class Stop(Exception):
        pass

    looks = []

    def check():
        looks.append(None)
        if len(looks) > 3:  # home: before the teacher and its two models
            raise Stop

    study = GeneralisationStudy(places, packed[:2], seed=2)
    with pytest.raises(Stop):
        generalisation_files.generalise_in_folder(study, teacher, tmp_path, check=check)
    kept = generalisation_files.read_rows(tmp_path / generalisation_files.ROWS)[0]
    assert {row["place"] for row in kept} == {HOME}


def test_tasks_that_a_place_cannot_tell_have_no_rows(teacher, packed, places, tmp_path):
    """Everywhere Rayleigh: no K, and one LOS label only."""
    place = simulated_place("rayleigh", teacher.config.link, frames=2, seed=2)
    study = GeneralisationStudy((places[0]._replace(draw=place.draw, test_set=place.test_set),),
                                packed[:1], seed=2)  # fmt: skip
    rows = generalisation_files.generalise_in_folder(study, teacher, tmp_path)
    assert {row["metric"] for row in rows} == {*LOSSES} - {"k_mae_db", "los_accuracy"}


def test_two_that_agree_on_few_frames_are_not_known_to_agree(synthetic, test_set):
    one, weights = synthetic(), resample_weights(test_set.strata, seed=0)
    value, low, high = paired_loss("amc_accuracy", one, one, weights)
    assert value == 0.0
    # Wilson's interval of none of so many has its upper end at z^2 / (n + z^2).
    n = test_set.n_frames
    np.testing.assert_allclose([-low, high], 0.5 * 1.96**2 / (n + 1.96**2), rtol=1e-3)


def test_studies_that_make_no_sense_are_named(packed, places):
    with pytest.raises(ValueError, match="first of the places must be as_trained"):
        GeneralisationStudy(places[1:], packed, seed=0)
    with pytest.raises(ValueError, match="two are called low_k"):
        GeneralisationStudy((*places, places[1]), packed, seed=0)
    with pytest.raises(ValueError, match="at least one"):
        GeneralisationStudy(places, (), seed=0)


def test_frames_at_some_snrs_are_those_frames(drawn):
    some = generalisation.at_snrs(drawn, (20.0, 10.0))
    assert some.snrs_db == (20.0, 10.0)
    np.testing.assert_array_equal(some.frame.grid, drawn.frame.grid[np.array([2, 0])])
    with pytest.raises(ValueError, match="not in tuple"):
        generalisation.at_snrs(drawn, (11.0,))
