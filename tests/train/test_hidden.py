"""Hidden layers of the teacher matched in the training step, by a student of another size.

The student is half as deep, half as wide and of another number of heads, its activations are
quantized and its scales are learned: all that a step can do but frames without labels.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import small
from wfm_jax import compress
from wfm_jax.model import build, sample_batch
from wfm_jax.results import checkpoint
from wfm_jax.signal.tapped_delay_line import AWGN
from wfm_jax.train.distill import (
    Lesson,
    Recipe,
    Trainer,
    answers,
    new_student,
    start_stage,
    student_step,
)
from wfm_jax.train.hidden import (
    PARTS,
    Hidden,
    HiddenWeights,
    Layers,
    hidden_losses,
    new_maps,
    seeing,
)
from wfm_jax.train.learned_scales import log_scales
from wfm_jax.train.losses import TaskWeights, distillation_losses, task_losses
from wfm_jax.train.model_files import Teacher
from wfm_jax.train.unlabelled import Unlabelled
from wfm_jax.train.wireless import wireless

BATCH, STREAM, RATE = 16, 5, 1e-2
KERNELS = "block_*/kernel"
TASKS = TaskWeights(modulation=0.01, bits=0.01, channel=1e-4, link=0.01)
WEIGHTS = ((0, 0, 0), (1, 0, 0), (0, 10, 0), (0, 0, 1), (1, 5, 0.5))
ACT_BITS = (32, 32, 32, 32, 8)
STRATEGIES = ("map", pytest.param("vmap", marks=pytest.mark.slow))


class State(NamedTuple):
    """Scales by path name, and bits."""

    scales: dict[str, Any]
    bits: Any


def _apply(params, state):
    return compress.lsq_apply(params, state.scales, state.bits)


def _nothing(*_, **__):
    raise NotImplementedError


TRANSFORM = compress.Transform(_nothing, _nothing, _apply)
LEARNED = log_scales(lambda state: state.scales, lambda state, new: state._replace(scales=new))


def recipe(weights=None, act_bits=32, alpha=0.75):
    numbers = (np.float32(x) for x in (2.0, alpha, RATE, 1000))
    weights = weights and HiddenWeights(*map(np.float32, weights))
    return Recipe(*numbers, np.int32(act_bits), weights)


RECIPES = tuple(map(recipe, WEIGHTS, ACT_BITS))


def stack(trees):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def pick(tree, i):
    return jax.tree.map(lambda x: x[i], tree)


def assert_close(got, expected, tolerance):
    got, expected = compress.flatten(got), compress.flatten(expected)
    for path in got:
        if not path.endswith("attention/key/bias"):  # no gradient but rounding: see test_distill
            np.testing.assert_allclose(got[path], expected[path], atol=tolerance, err_msg=path)


@pytest.fixture(scope="module")
def teacher(lean):
    """Its architecture, forward pass and parameters."""
    config = dataclasses.replace(lean, views=("csi",), heads=(2, 3), mlp_widths=(16, 16))
    apply, params = build(config, jax.random.key(1))
    return config, apply, small.moved(params, 0.1)


def student_config(teacher):
    return dataclasses.replace(teacher[0], d_model=8, heads=(1,), head_dim=8, mlp_widths=(16,))


def problem(teacher, **more):
    model = Teacher(student_config(teacher), None, "")
    return wireless(model, batch_size=BATCH, weights=TASKS, **more)


@pytest.fixture(scope="module")
def trainer(teacher):
    return Trainer(
        problem(teacher),
        TRANSFORM,
        teacher[1],
        quantize_activations=True,
        learned=LEARNED,
        hidden=Hidden(student_config(teacher), teacher[0]),
    )


@pytest.fixture(scope="module")
def student(trainer):
    params = small.moved(build(trainer.problem.config, jax.random.key(2))[1], 0.1)
    state = State(compress.lsq_init(params, KERNELS, 4), np.int32(4))
    return new_student(params, state, learned=LEARNED, hidden=trainer.hidden, key=jax.random.key(7))


@pytest.fixture(scope="module")
def steps(trainer, teacher, student):
    """``steps(strategy, n, student=...)``: the student after n steps by each of the recipes; every
    strategy is traced once, whatever it is given."""

    @functools.cache
    def compiled(strategy):
        @jax.jit
        def chunk(*args):
            traced.append(strategy)
            assert traced.count(strategy) == 1
            return trainer._replace(strategy=strategy).chunk(*args, n_steps=1)

        return chunk

    traced = []

    def run(strategy, n, students=None):
        students = stack([student] * len(RECIPES)) if students is None else students
        for t in range(n):
            key = jax.random.key(STREAM)
            students = compiled(strategy)(students, stack(RECIPES), teacher[2], key, jnp.int32(t))
        return students

    return run


@pytest.fixture(scope="module")
def lesson(trainer, teacher):
    """The stream's first, put together by hand."""

    @jax.jit
    def draw(key):
        batch = sample_batch(trainer.problem.config, key=key, batch_size=BATCH)
        see = seeing(trainer.hidden, teacher[1], "teacher")
        return Lesson(batch.inputs, batch, *see(teacher[2], batch.inputs))

    return draw(jax.random.fold_in(jax.random.key(STREAM), 0))


@pytest.fixture(scope="module")
def step(trainer):
    """One step of one configuration by itself, with or without matched layers."""

    @functools.partial(jax.jit, static_argnums=0)
    def step(hidden, student, recipe, lesson):
        return student_step(
            trainer.problem, TRANSFORM, student, recipe, lesson,
            quantize_activations=True, learned=LEARNED, hidden=hidden,
        )  # fmt: skip

    return step


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_together_is_alone(steps, step, trainer, student, lesson, strategy):
    together = steps(strategy, 1)
    np.testing.assert_array_equal(together.step, 1)
    np.testing.assert_array_equal(together.diverged_at, -1)
    for i in (1, 4):
        alone = step(trainer.hidden, student, RECIPES[i], lesson)
        np.testing.assert_allclose(together.loss[i], alone.loss, rtol=1e-4)
        assert_close(pick(together.params, i), alone.params, 3e-5)
        assert_close(pick(together.compression.scales, i), alone.compression.scales, 3e-5)
        assert_close(
            pick(together.maps.layers[0]._asdict(), i), alone.maps.layers[0]._asdict(), 3e-5
        )
    assert np.unique(together.loss).size == len(RECIPES)


@pytest.mark.slow
def test_weights_of_zero_match_nothing(step, trainer, student, lesson):
    """Loss and gradient (Adam's first moment, a tenth of it) are those of a trainer without matched
    layers, to the rounding of another program; maps stay bit for bit."""
    zero = step(trainer.hidden, student, RECIPES[0], lesson)
    without = step(None, student, recipe(), lesson)
    np.testing.assert_allclose(zero.loss, without.loss, rtol=1e-6)
    ours, theirs = zero.optimizer[1].mu, without.optimizer[1].mu
    assert_close(ours.params, theirs.params, 1e-7)
    assert_close(ours.values, theirs.values, 1e-7)
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(ours.values)) > 1e-5
    chex.assert_trees_all_equal(zero.maps, student.maps)


@pytest.fixture(scope="module")
def learnt(steps, trainer, student, lesson):
    """Losses of every part on the first batch, float32[recipes], before and after 80 steps."""
    see = seeing(trainer.hidden, trainer.problem.apply, "student")

    @jax.jit
    def losses(students):
        def one(student):
            _, layers = see(_apply(student.params, student.compression), lesson.inputs)
            return hidden_losses(trainer.hidden, student.maps.layers, layers, lesson.layers)

        return jax.lax.map(one, students)

    return losses(stack([student] * len(RECIPES))), losses(steps("map", 80))


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_a_small_student_learns_what_lies_inside_its_teacher(learnt, part):
    """By each part alone, and by all of them at once; not by the teacher's answers."""
    before, after = (np.asarray(losses[part]) for losses in learnt)
    own = 1 + PARTS.index(part)
    assert before[own] > 0.01
    assert after[own] < 0.4 * before[own]
    assert after[-1] < 0.4 * before[-1]
    assert max(after[own], after[-1]) < 0.4 * after[0]


def test_maps_start_afresh_with_each_stage(steps, student):
    after = pick(steps("map", 1), 1)
    assert np.any(after.maps.layers[0].kernel != student.maps.layers[0].kernel)
    started = start_stage(after, learned=LEARNED)
    chex.assert_trees_all_close(started.maps.layers, student.maps.layers, rtol=1e-6)
    chex.assert_trees_all_equal(started.optimizer, student.optimizer)
    chex.assert_trees_all_equal(started.params, after.params)


def test_a_checkpoint_brings_everything_back(steps, tmp_path):
    """Maps, their key and what else is in training; and the same steps from there."""
    students = steps("map", 1)
    checkpoint.save(tmp_path / "c", students, config_hash="0")
    like = jax.eval_shape(lambda: students)  # arrays tied to a device would compile once more
    restored = checkpoint.restore(tmp_path / "c", like, config_hash="0")
    chex.assert_trees_all_equal(restored, students)
    chex.assert_trees_all_equal(steps("map", 1, restored), steps("map", 1, students))


def test_a_student_without_maps_is_saved_as_before(tmp_path):
    student = new_student({"w": jnp.ones(2)}, ())
    assert student.maps == ()
    checkpoint.save(tmp_path / "c", student, config_hash="0")
    restored = checkpoint.restore(tmp_path / "c", student, config_hash="0")
    assert restored.maps == ()
    chex.assert_trees_all_equal(restored, student)


@pytest.fixture(scope="module")
def layers():
    """Of a teacher: two layers, four frames of three tokens."""
    rng = np.random.default_rng(0)
    outputs = tuple(np.float32(rng.normal(size=(4, 3, 6))) for _ in range(2))
    shares = rng.uniform(size=(2, 4, 1, 3, 3))
    shares = np.float32(shares / shares.sum(-1, keepdims=True))
    return Layers(outputs, tuple(shares))


@pytest.fixture(scope="module")
def matched(trainer):
    """Two layers of six features on two of six, and the losses of given layers."""
    wide = dataclasses.replace(trainer.problem.config, d_model=6, heads=(1, 1), mlp_widths=(4, 4))
    hidden = Hidden(wide, wide)
    maps = new_maps(hidden, jax.random.key(0)).layers

    @jax.jit
    def losses(student, teacher):
        return jax.value_and_grad(
            lambda s: HiddenWeights(1.0, 1.0, 1.0).total(hidden_losses(hidden, maps, s, teacher))
        )(student), hidden_losses(hidden, maps, student, teacher)

    return losses


def test_a_teacher_has_nothing_to_learn_from_itself(matched, layers):
    (total, gradient), losses = matched(layers, layers)
    assert float(total) == 0.0
    assert set(losses) == set(PARTS)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradient))


def test_losses_are_of_order_one(matched, layers):
    """One for features that are the teacher's mean, however large the teacher's are; the KL
    divergence of uniform attention."""
    outputs = tuple(10.0 * x + 3.0 for x in layers.outputs)
    centre = np.mean(outputs[0] - np.mean(outputs[0], axis=(0, 1)), axis=(0, 1))
    assert np.abs(centre).max() < 1e-5
    means = tuple(np.broadcast_to(x.mean((0, 1)), x.shape) for x in outputs)
    even = tuple(np.full_like(x, 1 / 3) for x in layers.attention)
    _, losses = matched(Layers(means, even), Layers(outputs, layers.attention))
    np.testing.assert_allclose(losses["features"], 1.0, rtol=1e-5)
    divergence = np.mean([np.sum(x * np.log(3 * x), axis=-1).mean() for x in layers.attention])
    np.testing.assert_allclose(losses["attention"], divergence, rtol=1e-4)
    expected = []
    for a, b in zip(means, outputs, strict=True):
        a, b = (x.reshape(4, -1) @ x.reshape(4, -1).T for x in (a, b))
        a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
        expected.append(np.sum((a - b) ** 2) / 4)
    np.testing.assert_allclose(losses["relations"], np.mean(expected), rtol=1e-3)


def test_layers_without_attention_are_skipped(teacher):
    config = teacher[0]

    def of(heads):
        return dataclasses.replace(config, heads=heads, mlp_widths=(8,) * len(heads))

    assert Hidden(of((1, 0, 2)), of((0, 4, 2, 4, 1, 2))).layers == ((0, 1), (1, 3), (2, 5))
    assert Hidden(of((1, 0, 2)), of((0, 4, 2, 4, 1, 2))).attention_layers == ((0, 1), (2, 5))
    assert Hidden(of((1, 0, 2)), of((1, 0, 4, 4, 1, 0)), ("features",)).attention_layers == ()
    with pytest.raises(ValueError, match=r"got heads \(1, 0\) and \(0, 2\), paired"):
        Hidden(of((1, 0)), of((0, 2)))


def test_bad_pairs(teacher):
    config = teacher[0]
    deeper = dataclasses.replace(config, heads=(1,) * 3, mlp_widths=(8,) * 3)
    with pytest.raises(ValueError, match="1 to 2 layers"):
        Hidden(deeper, config)
    other = dataclasses.replace(config, views=("csi", "iq"))
    with pytest.raises(ValueError, match=r"the same tokens, got \(5, 8\)"):
        Hidden(config, other)
    assert Hidden(config, other, ("relations",)).layers == ((0, 0), (1, 1))
    for parts in ((), ("features", "logits")):
        with pytest.raises(ValueError, match="parts must be some of features, relations, att"):
            Hidden(config, config, parts)


def test_what_a_step_needs_is_asked_for(step, trainer, student, lesson):
    with pytest.raises(ValueError, match="needs hidden_weights in the recipe"):
        step(trainer.hidden, student, recipe(), lesson)
    other = dataclasses.replace(trainer.hidden, student=trainer.hidden.teacher)
    with pytest.raises(ValueError, match="hidden is of another student"):
        step(other, student, RECIPES[0], lesson)
    unprepared = new_student(student.params, student.compression, learned=LEARNED)
    with pytest.raises(ValueError, match="started for another training"):
        step(trainer.hidden, unprepared, RECIPES[0], lesson)
    with pytest.raises(ValueError, match="features to match need a key"):
        new_student(student.params, student.compression, hidden=trainer.hidden)
    without = dataclasses.replace(trainer.hidden, parts=("relations", "attention"))
    assert new_student(student.params, student.compression, hidden=without).maps == ()


@pytest.mark.endurance
def test_frames_without_labels_are_matched_too(trainer, teacher, student):
    """They weigh by their number, within distillation."""
    config = trainer.problem.config
    links = (dataclasses.replace(config.link, scenario=AWGN),)
    trainer = trainer._replace(problem=problem(teacher, unlabelled=Unlabelled(links, 6)))
    weights = (1.0, 0.5, 2.0)
    key = jax.random.key(STREAM)
    run = jax.jit(functools.partial(trainer.chunk, n_steps=1))
    recipes = [recipe(weights, alpha=alpha) for alpha in (0.0, 0.5, 1.0)]
    after = run(stack([student] * 3), stack(recipes), teacher[2], key, jnp.int32(0))
    see = seeing(trainer.hidden, trainer.problem.apply, "student")

    @jax.jit
    def parts():
        lessons = trainer._lessons(teacher[2], jax.random.fold_in(key, 0))
        inputs = [lesson.inputs for lesson in lessons]
        found = answers(see, _apply(student.params, student.compression), inputs)
        total = TASKS.total
        yielded = [total(task_losses(config, found[0][0], lessons[0].labels))]
        for (outputs, layers), (_, batch, taught, of_teacher) in zip(found, lessons, strict=True):
            losses = hidden_losses(trainer.hidden, student.maps.layers, layers, of_teacher)
            matched = HiddenWeights(*weights).total(losses)
            t = jnp.float32(2)
            said = distillation_losses(config, outputs, taught, batch, t)
            yielded.append(total(said) + matched)
        return yielded

    task, labelled, rest = map(float, parts())
    share = 6 / (BATCH + 6)
    expected = [
        task,
        (1 - share) * (task + labelled) / 2 + share * rest,
        (1 - share) * labelled + share * rest,
    ]
    np.testing.assert_allclose(after.loss, expected, rtol=1e-4)
