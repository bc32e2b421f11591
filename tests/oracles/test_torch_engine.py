"""The engine's PyTorch peer takes the same step: compressed weights, loss, gradients, updates."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments.benchmarks import engine
from tests import small
from wfm_jax import compress
from wfm_jax.compress import blend
from wfm_jax.model import preset
from wfm_jax.train.losses import distillation_losses, task_losses

torch = pytest.importorskip("torch", reason="PyTorch is missing: run `make test-oracles`")
engine_torch = pytest.importorskip("experiments.benchmarks.engine_torch")
engine_peer = pytest.importorskip("experiments.benchmarks.engine_peer")
train_torch = pytest.importorskip("experiments.benchmarks.train_torch")

TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def work():
    """A model and a larger teacher, both away from their start."""
    config = dataclasses.replace(preset("pico", small.LINK), heads=(2,), mlp_widths=(16,))
    teacher = dataclasses.replace(config, heads=(2, 2), mlp_widths=(16, 32))
    work = engine.begin(config, batch_size=8, teacher=teacher)
    away = (small.moved(params, 0.05) for params in (work.params, work.teacher))
    return work._replace(**dict(zip(("params", "teacher"), away, strict=True)))


@pytest.fixture(scope="module")
def given(work):
    return engine.lessons(work, 2)


@pytest.fixture(scope="module", params=[2, 4], ids=["4 bits", "6 bits"])
def one(work, request):
    """A configuration that is pruned and quantized: student and recipe."""
    return jax.tree.map(lambda x: x[request.param], engine.students(work, 6))


@pytest.fixture(scope="module")
def subject(work, one, given):
    return engine_peer.subject(work, *one, given)


def loss_of(work, one, lesson):
    (student, recipe), trainer = one, work.trainer

    def loss(params):
        seen = trainer.transform.apply(params, student.compression)
        outputs = trainer.problem.apply(seen, lesson.inputs)
        how = (lesson.teacher, lesson.labels, recipe.temperature)
        distilled = engine.WEIGHTS.total(distillation_losses(work.config, outputs, *how))
        task = engine.WEIGHTS.total(task_losses(work.config, outputs, lesson.labels))
        return blend(recipe.alpha, distilled, task)

    return loss


def test_the_configurations_are_compressed(one):
    student, _ = one
    assert 0.1 < compress.sparsity_achieved(student.compression[0].keep) < 0.9
    assert max(student.compression[1].bits.values()) < 8


def test_compressed_weights_are_equal(work, one, subject):
    student, _ = one
    seen = jax.jit(work.trainer.transform.apply)(student.params, student.compression)
    model = engine_torch.module(subject).losses.model
    for name, ours in train_torch.by_their_names(seen).items():
        where, _, of = name.rpartition(".")
        theirs = getattr(model.get_submodule(where), of)
        torch.testing.assert_close(theirs, ours, rtol=1e-6, atol=1e-7, msg=name)


def test_losses_are_equal_with_the_teacher_asked_and_given(work, one, subject, given):
    ours = jax.jit(loss_of(work, one, given[0]))(one[0].params)
    for is_given in (False, True):
        loop = engine_torch.Loop(subject, given=is_given)
        theirs = loop.run(loop.batches[0], loop.answers[0])
        assert float(theirs.detach()) == pytest.approx(float(ours), rel=TOLERANCE)


def test_gradients_are_equal(work, one, subject, given):
    """Leaf by leaf, relative to the whole gradient's norm: softmax makes some of them zero."""
    loop = engine_torch.Loop(subject)
    loop.run(loop.batches[0], None).backward()
    theirs = {
        name.replace("parametrizations.", "").replace(".original", ""): p.grad.numpy()
        for name, p in loop.module.losses.model.named_parameters()
    }
    gradients = jax.jit(jax.grad(loss_of(work, one, given[0])))(one[0].params)
    ours = {name: x.numpy() for name, x in train_torch.by_their_names(gradients).items()}
    assert ours.keys() == theirs.keys()
    whole = np.sqrt(sum(np.sum(x**2) for x in ours.values()))
    for name, gradient in ours.items():
        error = np.linalg.norm(gradient - theirs[name])
        assert error < TOLERANCE * (np.linalg.norm(gradient) + 1e-4 * whole), name
    masked = train_torch.by_their_names(one[0].compression[0].keep)
    assert all(not theirs[name][~keep.numpy()].any() for name, keep in masked.items())


def test_no_gradient_reaches_the_teacher(subject):
    loop = engine_torch.Loop(subject)
    loop.run(loop.batches[0], None).backward()
    assert all(p.grad is None for p in loop.module.teacher.parameters())


def test_steps_are_equal(work, subject, given, one):
    """Clipping, Adam and the learning rate: parameters after a step on each of two batches.

    As far as they moved: Adam turns a gradient that is zero but for rounding into a step.
    """
    student = jax.jit(engine.on_given(work, 2))(*one, work.teacher, engine.stacked(given))
    loop = engine_torch.Loop(subject)
    loop()
    before, after = (train_torch.by_their_names(s.params) for s in (one[0], student))
    theirs = loop.module.losses.model.state_dict()
    moved, apart = 0.0, 0.0
    for name, ours in after.items():
        where, _, of = name.rpartition(".")
        latent = theirs.get(name, theirs.get(f"{where}.parametrizations.{of}.original".lstrip(".")))
        moved += float((ours - before[name]).square().sum())
        apart += float((ours - latent).square().sum())
    assert moved > 0
    assert apart < 0.01 * moved


def test_a_process_answers_with_times(tmp_path, subject):
    task = engine_peer.Task({"tiny": subject}, "cpu", compiled=False, tf32=True)
    peer = engine_peer.Peer(task, tmp_path, "peer")
    try:
        peer.wait(300.0)
        assert peer.failures == {}
        losses = {name: told["loss"] for (_, name), told in peer.loops.items()}
        asked, given = losses[engine_torch.OWN], losses[engine_torch.GIVEN]
        assert asked == pytest.approx(given, rel=TOLERANCE)
        assert peer.told["products"]["computed_in"] == "float32"
        assert 0.0 < peer.seconds("tiny", engine_torch.OWN, 0.0) < 60.0
    finally:
        peer.close()
    assert not list(tmp_path.glob("*.pickle"))
