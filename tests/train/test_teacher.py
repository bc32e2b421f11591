"""Training a teacher, masked modelling first: stopped and resumed bit for bit in both parts, strict
about what it loads."""

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

from tests import compile_cache
from wfm_jax.model import build, param_shapes, smaller
from wfm_jax.results import checkpoint
from wfm_jax.results.progress import Silent
from wfm_jax.train import fit as fitting
from wfm_jax.train import teacher
from wfm_jax.train.interrupt import Stopped, StopRequest
from wfm_jax.train.losses import TaskWeights
from wfm_jax.train.model_files import load_teacher, save_teacher
from wfm_jax.train.teacher import TeacherSettings, train_teacher

SETTINGS = TeacherSettings(
    steps=150, masked_steps=150, batch_size=8, chunk_steps=50, learning_rate=5e-3
)
PARTS = ("masked modelling", "teacher")


class Steps(Silent):
    """Counts what it is told, and sends a signal after some steps of a part."""

    def __init__(self, send=None, part="", after=0):
        self.begun, self.done, self.send, self.when = [], {}, send, (part, after)

    def start(self, title, total, done=0):
        self.begun.append((title, total, done))
        self.title = title

    def advance(self, units, note="", *, left_s=None):
        self.done[self.title] = self.done.get(self.title, 0) + units
        if (self.title, self.done[self.title]) == self.when:
            signal.raise_signal(self.send)


def losses(folder):
    return [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Equal programs compile once, whichever training they are of."""
    with compile_cache.kept_in(tmp_path_factory.mktemp("programs")):
        yield


@pytest.fixture(scope="module")
def trained(lean, compiled, tmp_path_factory):
    """The folder of an uninterrupted training, and its teacher."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, train_teacher(lean, SETTINGS, folder)


@pytest.fixture(scope="module")
def resumed(lean, compiled, tmp_path_factory):
    """The same, stopped by SIGTERM after the first chunk of each part and called again."""
    folder = tmp_path_factory.mktemp("resumed")
    for part, already in zip(PARTS, (0, 150), strict=True):
        progress = Steps(signal.SIGTERM, part, 50)
        with StopRequest() as stop, pytest.raises(Stopped) as stopped:
            train_teacher(lean, SETTINGS, folder, progress=progress, stop=stop)
        assert stopped.value.exit_code == 75
        assert not (folder / "teacher").exists()
        rows = [(row["training"], row["step"]) for row in losses(folder)]
        assert rows[-1] == (part, 50)
        assert len(rows) == already // 50 + 1
    progress = Steps()
    again = train_teacher(lean, SETTINGS, folder, progress=progress)
    assert progress.begun == [("teacher", 150, 50)]
    assert progress.done == {"teacher": 100}
    return folder, again


def test_losses_fall(trained):
    """Of what is hidden less is left unexplained in every view; then the tasks' sum falls."""
    rows = losses(trained[0])
    assert [(row.pop("training"), row.pop("step")) for row in rows] == [
        (part, step) for part in PARTS for step in (50, 100, 150)
    ]
    masked, tasks = rows[:3], rows[3:]
    assert set(masked[0]) == {"csi", "iq"}
    for view in masked[0]:
        assert masked[2][view] < 0.95 * masked[0][view]
    total = [TaskWeights().total({k: jnp.float32(v) for k, v in row.items()}) for row in tasks]
    assert max(total[1:]) < 0.9 * total[0]


@pytest.mark.slow
def test_a_stopped_training_ends_where_an_unbroken_one_does(trained, resumed):
    chex.assert_trees_all_equal(resumed[1].params, trained[1].params)
    assert resumed[1].hash == trained[1].hash
    assert losses(resumed[0]) == losses(trained[0])


def test_a_finished_training_is_loaded_again(lean, trained):
    progress = Steps()
    again = train_teacher(lean, SETTINGS, trained[0], progress=progress)
    assert progress.begun == []
    chex.assert_trees_all_equal(again.params, trained[1].params)
    assert (again.config, again.hash) == (lean, trained[1].hash)


def test_a_teacher_carries_its_architecture_and_training(lean, trained):
    loaded = load_teacher(trained[0] / "teacher")
    assert loaded.config == lean
    chex.assert_trees_all_equal_shapes_and_dtypes(loaded.params, param_shapes(lean))
    metadata = checkpoint.read_metadata(trained[0] / "teacher")
    assert metadata["training"]["steps"] == 150
    assert metadata["training"]["learning_rate"] == 5e-3


@pytest.mark.slow
@pytest.mark.parametrize("part", ["masked", "training"])
def test_another_training_in_the_folder_is_refused(lean, resumed, tmp_path, part):
    shutil.copytree(resumed[0] / part, tmp_path / part)
    other = dataclasses.replace(SETTINGS, learning_rate=1e-3)
    with pytest.raises(checkpoint.CheckpointError, match="belongs to configuration"):
        train_teacher(lean, other, tmp_path)


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
    """Stands in for the compiled steps: counts them, and adds their number to every parameter."""

    def make_chunk(how, loss_of, stream):
        def chunk(training, n_steps):
            params = jax.tree.map(lambda w: np.asarray(w) + n_steps, training.params)
            return training._replace(params=params, step=training.step + n_steps), {}

        return chunk

    monkeypatch.setattr(fitting, "make_chunk", make_chunk)


@pytest.mark.usefixtures("fake_chunk")
def test_the_tasks_begin_where_masked_modelling_ends(lean, tmp_path):
    """With the same parameters as without it, if none of its steps had moved them."""
    _, initial = build(lean, jax.random.key(0))
    for masked_steps in (0, 70):
        settings = dataclasses.replace(SETTINGS, masked_steps=masked_steps)
        progress = Steps()
        folder = tmp_path / str(masked_steps)
        got = train_teacher(lean, settings, folder, progress=progress)
        chex.assert_trees_all_close(
            got.params, jax.tree.map(lambda w: w + masked_steps + 150, initial), rtol=1e-6
        )
        parts = [("masked modelling", 70, 0)] * (masked_steps > 0)
        assert progress.begun == [*parts, ("teacher", 150, 0)]
        assert (folder / "masked").exists() == (masked_steps > 0)


@pytest.mark.usefixtures("fake_chunk")
@pytest.mark.parametrize("name", ["masked", "training", "teacher"])
def test_a_save_that_was_killed_leaves_nothing_behind(lean, tmp_path, name):
    """The first save of a checkpoint makes its folder before anything in it is complete."""
    (tmp_path / name / ".1.partial" / "arrays").mkdir(parents=True)
    progress = Steps()
    train_teacher(lean, SETTINGS, tmp_path, progress=progress)
    assert progress.begun == [(part, 150, 0) for part in PARTS]
    assert not (tmp_path / name / ".1.partial").exists()


@pytest.mark.usefixtures("fake_chunk")
def test_checkpoints_are_as_frequent_as_asked(lean, tmp_path, monkeypatch):
    saves = []

    def count(save, path, *args, **kwargs):
        saves.append(path.name)
        return save(path, *args, **kwargs)

    monkeypatch.setattr(checkpoint, "save", functools.partial(count, checkpoint.save))
    for every_s, n in ((0.0, 3), (1e9, 1)):
        saves.clear()
        train_teacher(lean, dataclasses.replace(SETTINGS, save_every_s=every_s), tmp_path / str(n))
        assert saves == ["masked"] * n + ["training"] * n + ["teacher"]


@pytest.mark.usefixtures("fake_chunk")
def test_seeds_draw_their_own_start(lean, tmp_path):
    first, second = (
        train_teacher(lean, dataclasses.replace(SETTINGS, seed=seed), tmp_path / str(seed))
        for seed in (0, 1)
    )
    difference = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), first.params, second.params)
    assert difference["block_0"]["mlp"]["up"]["kernel"] > 0.01


def test_settings_reach_the_losses(lean, monkeypatch, tmp_path):
    """Both parts compute in bfloat16 and run blocks again where that is asked for, the parameters
    staying float32; each draws from a stream of its own."""
    traced, streams = {}, {}

    def fake_fit(how, loss_of, training, stream, folder, **_):
        program = jax.make_jaxpr(jax.grad(loss_of, has_aux=True))(training.params, stream)
        traced[how.title], streams[how.title] = str(program), stream
        assert (how.learning_rate, how.accumulate) == (5e-3, 3)
        return training

    monkeypatch.setattr(teacher, "fit", fake_fit)
    settings = dataclasses.replace(SETTINGS, compute="bfloat16", remat=True, accumulate=3)
    got = train_teacher(lean, settings, tmp_path)
    assert {leaf.dtype for leaf in jax.tree.leaves(got.params)} == {np.dtype("float32")}
    for part in PARTS:
        assert "bf16[" in traced[part]
        assert "remat2[" in traced[part]
    assert streams[PARTS[0]] != streams[PARTS[1]]


@pytest.mark.parametrize(
    "name, value",
    [
        ("steps", 0),
        ("masked_steps", -1),
        ("mask_ratio", 0.0),
        ("mask_ratio", 1.0),
        ("batch_size", 0),
        ("accumulate", 0),
        ("chunk_steps", -1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("blind_fraction", 1.5),
        ("view_dropout", 1.0),
        ("view_dropout", float("nan")),
        ("carrier_offset_fraction", 0.5),
        ("carrier_offset_fraction", -0.01),
        ("compute", "float16"),
    ],
)
def test_bad_settings_are_named(name, value):
    with pytest.raises(ValueError, match=name):
        TeacherSettings(**{name: value})
