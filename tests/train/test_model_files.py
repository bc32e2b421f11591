"""Trained models on disk, the one that comes with the package, and what its file says of it."""

import dataclasses
import json
import pathlib

import chex
import jax
import numpy as np
import pytest

import wfm_jax
from wfm_jax.evaluate import frames
from wfm_jax.model import param_shapes, preset, smaller
from wfm_jax.results import tensors_file
from wfm_jax.results.checkpoint import CheckpointError
from wfm_jax.train.model_files import (
    PRETRAINED_MICRO,
    describe,
    load_teacher,
    locate,
    save_teacher,
)
from wfm_jax.train.publish import publish, training_frames_hash
from wfm_jax.train.teacher import TeacherSettings


def test_a_file_and_a_folder_hold_the_same_model(config, teacher_params, tmp_path):
    save_teacher(tmp_path / "folder", config, teacher_params, {"steps": 1})
    save_teacher(tmp_path / "file.safetensors", config, teacher_params, {"steps": 1})
    folder, file = load_teacher(tmp_path / "folder"), load_teacher(tmp_path / "file.safetensors")
    assert (file.config, file.hash) == (folder.config, folder.hash)
    chex.assert_trees_all_equal(file.params, folder.params)
    for path in ("folder", "file.safetensors"):
        assert describe(tmp_path / path)["training"] == {"steps": 1}


def test_a_file_of_another_architecture_is_refused(config, teacher_params, tmp_path):
    path = tmp_path / "model.safetensors"
    save_teacher(path, smaller(config), teacher_params, {})
    with pytest.raises(CheckpointError, match="extra block_1/"):
        load_teacher(path)
    save_teacher(path, dataclasses.replace(config, d_model=32), teacher_params, {})
    with pytest.raises(CheckpointError, match=r"reshaped .*stored float32\[16"):
        load_teacher(path)


def test_a_file_that_is_no_model_is_refused(teacher_params, tmp_path):
    path = tmp_path / "model.safetensors"
    for metadata in ({}, {"model": "{}"}, {"model": "not JSON"}):
        tensors_file.save(path, teacher_params, metadata)
        with pytest.raises(CheckpointError, match="holds no model"):
            load_teacher(path)


@pytest.mark.parametrize(
    ("name", "size", "most_bytes"), [("pretrained", "nano", 1e6), (PRETRAINED_MICRO, "micro", 4e6)]
)
def test_what_comes_along_is_small(name, size, most_bytes):
    teacher, file = load_teacher(name), pathlib.Path(locate(name))
    assert teacher.config == preset(size)
    chex.assert_trees_all_equal_shapes_and_dtypes(teacher.params, param_shapes(teacher.config))
    assert file.stat().st_size < most_bytes
    assert file.is_relative_to(pathlib.Path(wfm_jax.__file__).parent)
    assert (load_teacher().hash == teacher.hash) == (name == "pretrained")
    assert describe(name)["training"]["command"].startswith("python -m experiments.pretrain --")


def test_the_pretrained_model_says_how_to_make_it_again():
    """Its settings are the defaults, its command is the one of `make pretrain`, its data are those
    that the simulator draws today."""
    told = describe()["training"]
    settings = TeacherSettings()
    assert told["settings"] == json.loads(json.dumps(dataclasses.asdict(settings)))
    root = pathlib.Path(wfm_jax.__file__).parents[1]
    assert told["command"].removeprefix("python") in (root / "Makefile").read_text()
    assert told["training_frames_hash"] == training_frames_hash(preset("nano"), settings)
    assert told["test_frames_hash"] == frames.frames_hash(
        frames.TestSet(preset("nano").link, seed=1)
    )
    assert 0.8 < told["scores"]["amc_accuracy"] < 0.9
    assert told["scores"]["channel_nmse_db"] < -24.0


@pytest.mark.slow
def test_publishing_scores_and_saves(config, teacher_params, tmp_path):
    test_set = frames.TestSet(config.link, seed=3, frames_per_stratum=2)
    path = tmp_path / "model.safetensors"
    teacher = load_after_saving(config, teacher_params, tmp_path)
    settings = TeacherSettings(steps=1, batch_size=4)
    told = publish(teacher, path, settings, command="make it", test_set=test_set)
    assert json.loads(json.dumps(told)) == describe(path)["training"]
    assert told["command"] == "make it"
    assert told["test_frames_hash"] == frames.frames_hash(test_set)
    assert 0.0 <= told["scores"]["amc_accuracy"] <= 1.0
    assert np.isfinite(told["scores"]["channel_nmse_db_ci95"])
    assert load_teacher(path).hash == teacher.hash
    other = dataclasses.replace(settings, seed=1)
    assert training_frames_hash(config, other) != told["training_frames_hash"]


def load_after_saving(config, params, folder):
    save_teacher(folder / "teacher", config, jax.tree.map(np.asarray, params), {})
    return load_teacher(folder / "teacher")
