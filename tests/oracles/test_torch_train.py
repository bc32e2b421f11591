"""The benchmark's PyTorch peer trains the same model: outputs, losses, gradients, and steps."""

import dataclasses
import json
import sys

import jax
import numpy as np
import pytest
from absl.testing import flagsaver

from experiments import bench, teacher_flags
from experiments.benchmarks import machine, timing, train, train_suite
from experiments.launch import launch
from tests import small
from wfm_jax.model import preset
from wfm_jax.train.losses import task_losses
from wfm_jax.train.optimizer import learning_rate_at
from wfm_jax.train.teacher import TeacherSettings

torch = pytest.importorskip("torch", reason="PyTorch is missing: run `make test-oracles`")
train_torch = pytest.importorskip("experiments.benchmarks.train_torch")

TOLERANCE = 1e-3
SETTINGS = TeacherSettings(batch_size=16, steps=20, view_dropout=0.3)


@pytest.fixture(scope="module")
def work():
    """A model away from its start, on frames with absent views and carrier offsets."""
    work = train.begin(preset("pico"), SETTINGS)
    return work._replace(params=small.moved(work.params, 0.05))


@pytest.fixture(scope="module")
def batch(work):
    return train.drawn(work, 1)[0]


def norm_of_difference(ours, theirs):
    """Relative to ours; complex numbers of the peer are pairs."""
    ours, theirs = np.asarray(ours), theirs.detach().numpy()
    if np.iscomplexobj(ours):
        theirs = theirs[..., 0] + 1j * theirs[..., 1]
    assert ours.shape == theirs.shape
    return np.linalg.norm(ours - theirs) / np.linalg.norm(ours)


def test_parameters_are_as_many(work):
    loop = train_torch.Loop(work.config, SETTINGS, work.params)
    n_theirs = sum(parameter.numel() for parameter in loop.module.parameters())
    assert n_theirs == train.n_parameters(work)


def test_outputs_and_losses_are_equal(work, batch):
    theirs, tensors = train_torch.Loop(work.config, SETTINGS, work.params), train_torch.tensors
    outputs = jax.jit(work.apply)(work.params, batch.inputs)
    answers = theirs.module.model(tensors(batch))
    assert answers.keys() == outputs._asdict().keys()
    for name, ours in outputs._asdict().items():
        assert norm_of_difference(ours, answers[name]) < TOLERANCE, name
    losses = task_losses(work.config, outputs, batch)
    total, peers_losses = theirs.run(tensors(batch))
    assert peers_losses.keys() == losses.keys()
    for task, loss in losses.items():
        assert norm_of_difference(loss, peers_losses[task]) < TOLERANCE, task
    assert norm_of_difference(SETTINGS.weights.total(losses), total) < TOLERANCE


def test_gradients_are_equal(work, batch):
    """Leaf by leaf, relative to the whole gradient's norm: softmax makes some of them zero."""
    loop = train_torch.Loop(work.config, SETTINGS, work.params)
    loop.run(train_torch.tensors(batch))[0].backward()
    theirs = {name: p.grad.numpy() for name, p in loop.module.model.named_parameters()}
    gradients, _ = jax.jit(jax.grad(lambda p: train.loss(work, p, batch), has_aux=True))(
        work.params
    )
    ours = {name: x.numpy() for name, x in train_torch.by_their_names(gradients).items()}
    assert ours.keys() == theirs.keys()
    whole = np.sqrt(sum(np.sum(x**2) for x in ours.values()))
    for name, gradient in ours.items():
        error = np.linalg.norm(gradient - theirs[name])
        assert error < TOLERANCE * (np.linalg.norm(gradient) + 1e-4 * whole), name


def test_steps_are_equal(work):
    """Clipping, Adam and the learning rate's course: losses over twenty steps, the first half of
    them below the clip."""
    batches = train.drawn(work, 4)
    ours = train.on_given(work, batches)
    theirs = train_torch.Loop(work.config, SETTINGS, work.params).call(
        [train_torch.tensors(batch) for batch in batches]
    )
    first = ours()
    assert theirs() == pytest.approx({k: float(v) for k, v in first.items()}, rel=TOLERANCE)
    for _ in range(4):
        last, peers_last = ours(), theirs()
    assert sum(last.values()) < 0.9 * sum(first.values())
    assert peers_last == pytest.approx({k: float(v) for k, v in last.items()}, rel=0.02)


def test_learning_rates_are_equal():
    for step in (0, 4, 50, 99, 120):
        ours = float(learning_rate_at(step, 100, 3e-3))
        assert train_torch.learning_rate_at(step, 100, 3e-3) == pytest.approx(ours, rel=1e-5)


def test_missing_parameters_are_named(work):
    params = {name: part for name, part in work.params.items() if name != "final_norm"}
    with pytest.raises(RuntimeError, match="final_norm"):
        train_torch.Loop(work.config, SETTINGS, params)


def test_ratios_are_reported_and_compiled_steps_are_equal(monkeypatch, capsys, tmp_path):
    """The whole suite on a small model; a minute of it compiles PyTorch's."""
    config = dataclasses.replace(preset("pico", small.LINK), heads=(2,), mlp_widths=(16,))
    monkeypatch.setattr(machine, "measure", lambda: machine.Machine(1e11, 1e9, 1e10))
    monkeypatch.setattr(machine, "matrix_operations", lambda: 1e11)
    monkeypatch.setattr(timing.seconds, "__defaults__", (0.0,))
    monkeypatch.setattr(teacher_flags, "model", lambda: config)
    arguments = ("--suite=train", "--batch=4", "--rounds=2", f"--workdir={tmp_path}")
    monkeypatch.setattr(sys, "argv", ["bench.py", *arguments])
    with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
        launch(bench.main)
    assert not ended.value.code
    assert max(map(len, capsys.readouterr().out.splitlines()[:-1])) <= 100
    result = json.loads((tmp_path / "train.json").read_text())
    assert "torch" in result["versions"]
    assert set(result["matrix_operations_per_second"]) == {"ours", "PyTorch"}
    assert result["failures"] == {}
    assert len(result["implementations"]) == 4
    for measured in result["implementations"].values():
        ratio = measured["ratio"]
        assert 0 < ratio["least"] <= ratio["median"] <= ratio["most"]
    losses = [result["losses"][name] for name in (train_suite.GIVEN, train_suite.COMPILED)]
    assert losses[0] == pytest.approx(losses[1], rel=TOLERANCE)
