"""Training a teacher: stopped and resumed bit for bit, strict about what it loads."""

import dataclasses
import functools
import json
import shutil
import signal

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.model import param_shapes, smaller
from wfm_jax.results import checkpoint
from wfm_jax.results.progress import Silent
from wfm_jax.train import teacher
from wfm_jax.train.interrupt import Stopped, StopRequest
from wfm_jax.train.losses import TaskWeights
from wfm_jax.train.teacher import TeacherSettings, load_teacher, save_teacher, train_teacher

SETTINGS = TeacherSettings(steps=150, batch_size=8, chunk_steps=50, learning_rate=5e-3)


class Steps(Silent):
    """Counts what it is told, and sends a signal after some steps."""

    def __init__(self, send=None, after=0):
        self.begun, self.done, self.send, self.after = [], 0, send, after

    def start(self, title, total, done=0):
        self.begun.append((total, done))

    def advance(self, units, note=""):
        self.done += units
        if self.done == self.after:
            signal.raise_signal(self.send)


def losses(folder):
    return [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def trained(config, tmp_path_factory):
    """The folder of an uninterrupted training, and its teacher."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, train_teacher(config, SETTINGS, folder)


@pytest.fixture(scope="module")
def resumed(config, tmp_path_factory):
    """The same, stopped by SIGTERM after its first chunk and called again."""
    folder = tmp_path_factory.mktemp("resumed")
    with StopRequest() as stop, pytest.raises(Stopped) as stopped:
        train_teacher(config, SETTINGS, folder, progress=Steps(signal.SIGTERM, 50), stop=stop)
    assert stopped.value.exit_code == 75
    assert not (folder / "teacher").exists()
    assert [row["step"] for row in losses(folder)] == [50]
    progress = Steps()
    again = train_teacher(config, SETTINGS, folder, progress=progress)
    assert progress.begun == [(150, 50)]
    assert progress.done == 100
    return folder, again


def test_losses_fall(trained):
    rows = losses(trained[0])
    assert [row["step"] for row in rows] == [50, 100, 150]
    total = [
        TaskWeights().total({k: jnp.float32(v) for k, v in row.items() if k != "step"})
        for row in rows
    ]
    assert max(total[1:]) < 0.9 * total[0]


def test_a_stopped_training_ends_where_an_unbroken_one_does(trained, resumed):
    chex.assert_trees_all_equal(resumed[1].params, trained[1].params)
    assert resumed[1].hash == trained[1].hash
    assert losses(resumed[0]) == losses(trained[0])


def test_a_finished_training_is_loaded_again(config, trained):
    progress = Steps()
    again = train_teacher(config, SETTINGS, trained[0], progress=progress)
    assert progress.begun == []
    chex.assert_trees_all_equal(again.params, trained[1].params)
    assert (again.config, again.hash) == (config, trained[1].hash)


def test_a_teacher_carries_its_architecture_and_training(config, trained):
    loaded = load_teacher(trained[0] / "teacher")
    assert loaded.config == config
    chex.assert_trees_all_equal_shapes_and_dtypes(loaded.params, param_shapes(config))
    metadata = checkpoint.read_metadata(trained[0] / "teacher")
    assert metadata["training"]["steps"] == 150
    assert metadata["training"]["learning_rate"] == 5e-3


def test_another_training_in_the_folder_is_refused(config, resumed, tmp_path):
    shutil.copytree(resumed[0] / "training", tmp_path / "training")
    other = dataclasses.replace(SETTINGS, learning_rate=1e-3)
    with pytest.raises(checkpoint.CheckpointError, match="belongs to configuration"):
        train_teacher(config, other, tmp_path)


@pytest.fixture
def stored(config, teacher_params, tmp_path):
    save_teacher(tmp_path / "teacher", config, teacher_params, {"steps": 1})
    return tmp_path / "teacher"


def test_no_teacher_is_an_error(tmp_path):
    with pytest.raises(checkpoint.CheckpointError, match="holds no checkpoint"):
        load_teacher(tmp_path / "nowhere")


def test_damage_is_an_error(stored, teacher_params):
    chex.assert_trees_all_equal(load_teacher(stored).params, teacher_params)
    largest = max((f for f in stored.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    with pytest.raises(checkpoint.CheckpointError, match="damaged"):
        load_teacher(stored)


def test_a_lost_file_is_an_error(stored):
    next(f for f in (stored / "1" / "arrays").rglob("*") if f.is_file()).unlink()
    with pytest.raises(checkpoint.CheckpointError, match="damaged"):
        load_teacher(stored)


def test_arrays_of_another_architecture_are_an_error(config, teacher_params, tmp_path):
    save_teacher(tmp_path / "teacher", smaller(config), teacher_params, {})
    with pytest.raises(checkpoint.CheckpointError, match="block_1"):
        load_teacher(tmp_path / "teacher")


def test_a_checkpoint_that_is_no_model_is_an_error(teacher_params, tmp_path):
    checkpoint.save(tmp_path / "a", teacher_params, config_hash="x", metadata={"step": 3})
    checkpoint.save(tmp_path / "b", teacher_params, config_hash="x", metadata={"model": {}})
    for name in ("a", "b"):
        with pytest.raises(checkpoint.CheckpointError, match="holds no model"):
            load_teacher(tmp_path / name)


@pytest.fixture
def fake_chunk(monkeypatch):
    """Stands in for the compiled steps: counts, and answers with the losses it is given."""

    def install(value):
        def chunk(config, apply, settings, training, n_steps):
            counted = training._replace(step=training.step + n_steps)
            return counted, {"modulation": jnp.float32(value), "bits": jnp.float32(1.0)}

        monkeypatch.setattr(teacher, "_chunk", chunk)

    return install


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_ends_the_training(config, fake_chunk, tmp_path, value):
    fake_chunk(value)
    with pytest.raises(teacher.TrainingDivergedError, match="step 50"):
        train_teacher(config, SETTINGS, tmp_path)
    assert not (tmp_path / "teacher").exists()


@pytest.mark.parametrize("name", ["training", "teacher"])
def test_a_save_that_was_killed_leaves_nothing_behind(config, fake_chunk, tmp_path, name):
    """The first save of a checkpoint makes its folder before anything in it is complete."""
    (tmp_path / name / ".1.partial" / "arrays").mkdir(parents=True)
    fake_chunk(1.0)
    progress = Steps()
    train_teacher(config, SETTINGS, tmp_path, progress=progress)
    assert progress.begun == [(150, 0)]
    assert not (tmp_path / name / ".1.partial").exists() or name == "training"


def test_checkpoints_are_as_frequent_as_asked(config, fake_chunk, tmp_path):
    fake_chunk(1.0)
    saves = []

    def count(save, path, *args, **kwargs):
        saves.append(path.name)
        return save(path, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save", functools.partial(count, checkpoint.save))
        train_teacher(config, dataclasses.replace(SETTINGS, save_every_s=0.0), tmp_path / "often")
        assert saves == ["training"] * 3 + ["teacher"]
        saves.clear()
        train_teacher(config, dataclasses.replace(SETTINGS, save_every_s=1e9), tmp_path / "seldom")
        assert saves == ["teacher"]


def test_seeds_draw_their_own_start(config, fake_chunk, tmp_path):
    fake_chunk(1.0)
    first, second = (
        train_teacher(config, dataclasses.replace(SETTINGS, seed=seed), tmp_path / str(seed))
        for seed in (0, 1)
    )
    difference = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), first.params, second.params)
    assert difference["block_0"]["mlp"]["up"]["kernel"] > 0.01


@pytest.mark.parametrize(
    "name, value",
    [
        ("steps", 0),
        ("batch_size", 0),
        ("chunk_steps", -1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("blind_fraction", 1.5),
    ],
)
def test_bad_settings_are_named(name, value):
    with pytest.raises(ValueError, match=name):
        TeacherSettings(**{name: value})
