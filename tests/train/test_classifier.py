"""Training small classifiers: the loss falls, stopped and resumed bit for bit, strict folders."""

import dataclasses
import json
import shutil
import signal

import chex
import numpy as np
import pytest

from tests import compile_cache, small
from wfm_jax.model.small_classifiers import ConvConfig, MLPConfig, param_shapes
from wfm_jax.results.checkpoint import CheckpointError
from wfm_jax.results.progress import Silent
from wfm_jax.train.classifier import ClassifierSettings, train_classifier
from wfm_jax.train.interrupt import Stopped, StopRequest

LINK = dataclasses.replace(small.LINK, snr_db_range=(20.0, 30.0))
CONFIGS = {"mlp": MLPConfig(LINK, bins=16, width=24), "conv": ConvConfig(LINK, 16, 16)}
SETTINGS = ClassifierSettings(steps=300, batch_size=32, chunk_steps=100, learning_rate=1e-2)


class Steps(Silent):
    """Notes what it is told, and sends a signal after some steps."""

    def __init__(self, send=None, after=0):
        self.begun, self.done, self.send, self.after = [], 0, send, after

    def start(self, title, total, done=0):
        self.begun.append((title, total, done))

    def advance(self, units, note="", *, left_s=None):
        self.done += units
        if self.done == self.after:
            signal.raise_signal(self.send)


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory):
    """Many tests run the same program."""
    with compile_cache.kept_in(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.fixture(scope="module", params=CONFIGS)
def trained(request, tmp_path_factory):
    """A config, the folder of its undisturbed training, and the parameters."""
    config = CONFIGS[request.param]
    folder = tmp_path_factory.mktemp("trained")
    return config, folder, train_classifier(config, SETTINGS, folder)


def losses(folder):
    return [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]


def test_the_loss_on_fresh_frames_falls_below_that_of_a_guess(trained):
    config, folder, _ = trained
    rows = losses(folder)
    assert [(row["training"], row["step"]) for row in rows] == [
        (config.NAME, step) for step in (100, 200, 300)
    ]
    assert rows[-1]["modulation"] < min(0.9 * np.log(4), rows[0]["modulation"])


@pytest.mark.parametrize("trained", ["mlp"], indirect=True)
def test_a_stopped_training_ends_where_an_unbroken_one_does(trained, tmp_path):
    config, folder, params = trained
    with StopRequest() as stop, pytest.raises(Stopped) as stopped:
        train_classifier(config, SETTINGS, tmp_path, progress=Steps(signal.SIGTERM, 100), stop=stop)
    assert stopped.value.exit_code == 75
    assert not (tmp_path / "classifier").exists()
    assert [row["step"] for row in losses(tmp_path)] == [100]
    progress = Steps()
    again = train_classifier(config, SETTINGS, tmp_path, progress=progress)
    assert progress.begun == [(config.NAME, 300, 100)]
    assert progress.done == 200
    chex.assert_trees_all_equal(again, params)
    assert losses(tmp_path) == losses(folder)


def test_a_finished_training_is_loaded_again(trained):
    config, folder, params = trained
    progress = Steps()
    again = train_classifier(config, SETTINGS, folder, progress=progress)
    assert progress.begun == []
    chex.assert_trees_all_equal(again, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(again, param_shapes(config))


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """Settings of a single step, and the folder of an MLP trained by them."""
    settings = dataclasses.replace(SETTINGS, steps=1, batch_size=2)
    folder = tmp_path_factory.mktemp("short")
    train_classifier(CONFIGS["mlp"], settings, folder)
    return settings, folder


def test_another_training_in_the_folder_is_refused(short):
    settings, folder = short
    other_link = dataclasses.replace(LINK, snr_db_range=(0.0, 30.0))
    for config, asked in (
        (CONFIGS["mlp"], dataclasses.replace(settings, learning_rate=1e-3)),
        (CONFIGS["mlp"], dataclasses.replace(settings, seed=1)),
        (CONFIGS["conv"], settings),
        (dataclasses.replace(CONFIGS["mlp"], link=other_link), settings),
    ):
        with pytest.raises(CheckpointError, match="belongs to configuration"):
            train_classifier(config, asked, folder)


def test_damage_is_an_error(short, tmp_path):
    settings, folder = short
    shutil.copytree(folder, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "classifier" / "1" / "arrays")
    with pytest.raises(CheckpointError, match="damaged"):
        train_classifier(CONFIGS["mlp"], settings, tmp_path / "copy")


@pytest.mark.parametrize(
    "name, value",
    [
        ("steps", 0),
        ("batch_size", 0),
        ("chunk_steps", -1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
    ],
)
def test_bad_settings_are_named(name, value):
    with pytest.raises(ValueError, match=name):
        ClassifierSettings(**{name: value})


def test_the_default_budget_is_that_of_the_teacher():
    assert ClassifierSettings().steps * ClassifierSettings().batch_size == 1_280_000
