"""Scores kept between runs: the same to the bit, of the same question only, and whole or not at
all."""

import dataclasses

import chex
import jax
import numpy as np
import pytest

from wfm_jax.evaluate.frames import frames_hash
from wfm_jax.sweep import references as subject
from wfm_jax.sweep.references import NAMES, references

PROVENANCE = {"device": "a processor", "versions": "jax=1 numpy=2"}


@pytest.fixture(scope="module")
def kept(teacher, test_set, tmp_path_factory):
    """A folder with what was measured, that, and what was said."""
    folder, said = tmp_path_factory.mktemp("kept"), []
    measured = references(teacher, test_set, PROVENANCE, folder, said.append)
    assert said == ["scoring the teacher, the null model and the classical receivers"]
    return folder, measured


@pytest.fixture
def nothing_is_measured(monkeypatch):
    def measure(*args):
        raise AssertionError("measured")

    monkeypatch.setattr(subject, "_measure", measure)


def test_a_second_run_reads_what_the_first_one_measured(
    teacher, test_set, kept, nothing_is_measured
):
    folder, measured = kept
    said = []
    found = references(teacher, test_set, PROVENANCE, folder, said.append)
    assert said == ["the teacher and the receivers it is compared with are scored already"]
    assert tuple(found.scored) == tuple(measured.scored) == NAMES
    assert found.test_frames_hash == measured.test_frames_hash == frames_hash(test_set)
    assert found.pace_s == measured.pace_s > 0.0
    for name, scored in found.scored.items():
        expected = measured.scored[name]
        assert scored[:2] == expected[:2] == (test_set, subject.CURVE_SNRS_DB)
        chex.assert_trees_all_equal(scored.scores, expected.scores)
        assert {x.dtype for x in scored.scores} == {np.dtype("float32")}


def another(name, teacher, test_set):
    """Arguments of which one thing is another."""
    params = {**teacher.params, "embed_modulation": teacher.params["embed_modulation"] + 1e-3}
    return {
        "parameters": (teacher._replace(params=params), test_set, PROVENANCE),
        "seed": (teacher, dataclasses.replace(test_set, seed=2), PROVENANCE),
        "versions": (teacher, test_set, PROVENANCE | {"versions": "jax=2 numpy=2"}),
        "device": (teacher, test_set, PROVENANCE | {"device": "another"}),
    }[name]


@pytest.mark.parametrize("name", ["parameters", "seed", "versions", "device", "source"])
def test_another_question_is_answered_anew(
    teacher, test_set, kept, monkeypatch, nothing_is_measured, name
):
    folder, _ = kept
    if name == "source":
        monkeypatch.setattr(subject, "_source_hash", lambda: "another")
        arguments = (teacher, test_set, PROVENANCE)
    else:
        arguments = another(name, teacher, test_set)
    with pytest.raises(AssertionError, match=r"^measured$"):
        references(*arguments, folder)


def flipped(data):
    """One bit of the last number."""
    return data[:-1] + bytes([data[-1] ^ 1])


DAMAGE = {
    "empty": lambda data: b"",
    "cut": lambda data: data[:-100],
    "flipped": flipped,
    "renamed": lambda data: data.replace(b"lmmse", b"lmmsf"),
    "no pace": lambda data: data.replace(b"pace_s", b"pace_t"),
    "no content": lambda data: data.replace(b'"content"', b'"contint"'),
    "not a file": lambda data: b"\x80\x04K\x01.",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_not_whole_is_measured_anew_and_replaced(
    teacher, test_set, kept, tmp_path, monkeypatch, damage
):
    (whole,) = kept[0].iterdir()
    broken = tmp_path / whole.name
    broken.write_bytes(DAMAGE[damage](whole.read_bytes()))
    assert broken.read_bytes() != whole.read_bytes()
    monkeypatch.setattr(subject, "_measure", lambda *args: kept[1])
    said = []
    found = references(teacher, test_set, PROVENANCE, tmp_path, said.append)
    assert found is kept[1]
    assert said[0].startswith("scoring")
    monkeypatch.undo()
    again = references(teacher, test_set, PROVENANCE, tmp_path, said.append)
    assert said[1:] == ["the teacher and the receivers it is compared with are scored already"]
    chex.assert_trees_all_equal(again.scored["lmmse"].scores, found.scored["lmmse"].scores)


@pytest.mark.parametrize("folder", [None, "gone"])
def test_without_a_folder_to_write_to_it_measures(
    teacher, test_set, kept, tmp_path, monkeypatch, folder
):
    monkeypatch.setattr(subject, "_measure", lambda *args: kept[1])
    where = None if folder is None else tmp_path / folder / "deep"
    assert references(teacher, test_set, PROVENANCE, where) is kept[1]
    assert not list(tmp_path.iterdir())


def test_the_null_model_is_scored_without_its_prunable_weights(teacher, kept):
    silent = subject.null_of(teacher.params)
    assert not np.any(silent["block_0"]["mlp"]["up"]["kernel"])
    chex.assert_trees_all_equal(silent["head_frame"], teacher.params["head_frame"])
    scored = kept[1].scored
    assert np.any(scored["null"].scores.loss != scored["teacher"].scores.loss)
    assert jax.tree.leaves(silent)[0].shape == jax.tree.leaves(teacher.params)[0].shape
