"""Frames that the teacher alone labels: other links, no true label read, no part in task losses."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import small
from wfm_jax import compress
from wfm_jax.model import build
from wfm_jax.signal.tapped_delay_line import AWGN
from wfm_jax.train.distill import Lesson, Recipe, Trainer, answers, new_student, student_step
from wfm_jax.train.hidden import HiddenWeights
from wfm_jax.train.losses import TaskWeights, distillation_losses, task_losses
from wfm_jax.train.model_files import Teacher
from wfm_jax.train.unlabelled import Unlabelled, labelled_by, sample_unlabelled
from wfm_jax.train.wireless import wireless

N_FRAMES, STREAM = 6, 5
IDENTITY = compress.identity()


@pytest.fixture(scope="module")
def leanest(lean):
    return dataclasses.replace(lean, views=("grid",))


@pytest.fixture(scope="module")
def links(leanest):
    """Without fading, and where the training distribution has no SNR."""
    link = leanest.link
    return (
        dataclasses.replace(link, scenario=AWGN, snr_db_range=(20.0, 20.0)),
        dataclasses.replace(link, snr_db_range=(-20.0, -10.0)),
    )


@pytest.fixture(scope="module")
def started(leanest):
    apply, params = build(leanest, jax.random.key(0))
    return apply, small.moved(params, 0.05)


@pytest.fixture(scope="module")
def lesson(leanest, links, started):
    """Frames with their true labels, and the teacher's answers."""
    apply, params = started

    @jax.jit
    def draw(key):
        batch = sample_unlabelled(leanest, links, key=key, batch_size=N_FRAMES + 1)
        return batch, apply(params, batch.inputs)

    return draw(jax.random.key(3))


def recipe(alpha, act_bits=None):
    return Recipe(jnp.float32(2), jnp.float32(alpha), jnp.float32(1e-3), jnp.int32(9), act_bits)


def test_each_link_has_its_share(lesson):
    batch, _ = lesson
    assert batch.n0.shape == (N_FRAMES + 1,)
    np.testing.assert_allclose(batch.frame.snr_db[:4], 20.0, atol=1e-3)
    power = jnp.mean(jnp.square(jnp.abs(batch.frame.channel)), axis=(1, 2))
    np.testing.assert_allclose(power[:4], 1.0, rtol=1e-4)
    nominal_db = -10 * np.log10(batch.frame.n0[4:])
    assert np.all((nominal_db >= -20) & (nominal_db <= -10))
    assert np.unique(batch.frame.n0[4:]).size == 3


def test_labels_are_the_teachers(leanest, lesson):
    batch, teacher = lesson
    labelled = jax.jit(labelled_by, static_argnums=0)(leanest, batch, teacher)
    known = np.asarray(batch.inputs.modulation) < leanest.n_modulations
    decided = np.argmax(teacher.modulation, axis=-1)
    np.testing.assert_array_equal(
        labelled.frame.modulation, np.where(known, batch.frame.modulation, decided)
    )
    np.testing.assert_array_equal(labelled.blind, ~known)
    np.testing.assert_array_equal(labelled.channel, teacher.channel)
    np.testing.assert_array_equal(labelled.frame.has_k, np.asarray(teacher.los) > 0)
    chex.assert_trees_all_equal(labelled.inputs, batch.inputs)
    chex.assert_trees_all_equal_shapes_and_dtypes(labelled, batch)


def test_no_true_label_is_read(leanest, started, lesson):
    """The loss of frames whose labels are all wrong or missing is that of the frames."""
    apply, params = started
    batch, teacher = lesson
    nothing = {
        name: jnp.full_like(getattr(batch.frame, name), fill)
        for name, fill in {
            "modulation": 0, "bits": 1, "channel": jnp.nan, "k_db": jnp.nan, "snr_db": jnp.nan,
            "delay_spread_s": jnp.nan, "los": False, "n0": jnp.nan, "doppler_hz": jnp.nan,
        }.items()
    }  # fmt: skip
    blank = batch._replace(
        frame=batch.frame._replace(**nothing),
        channel=jnp.full_like(batch.channel, jnp.nan),
        n0=jnp.full_like(batch.n0, jnp.nan),
        blind=jnp.zeros_like(batch.blind),
    )

    @jax.jit
    def losses(batch):
        outputs = apply(jax.tree.map(lambda w: 1.1 * w, params), batch.inputs)
        labelled = labelled_by(leanest, batch, teacher)
        return distillation_losses(leanest, outputs, teacher, labelled, jnp.float32(2))

    found = losses(batch)
    assert all(bool(loss > 0) for loss in found.values())
    chex.assert_trees_all_equal(losses(blank), found)


def test_bad_links(leanest, links):
    key = jax.random.key(0)
    with pytest.raises(ValueError, match=r"^links must be 1 to 1, one frame each, got 2$"):
        sample_unlabelled(leanest, links, key=key, batch_size=1)
    other = dataclasses.replace(leanest.link, cp_samples=5)
    with pytest.raises(ValueError, match=r"^links need the model's cp_samples 4, got 5$"):
        sample_unlabelled(leanest, (other,), key=key, batch_size=1)


@pytest.fixture(scope="module")
def problem(leanest, started, links):
    more = Unlabelled(links, N_FRAMES)
    return wireless(Teacher(leanest, started[1], ""), batch_size=10, unlabelled=more)


@pytest.fixture(scope="module")
def trainer(problem):
    return Trainer(problem, IDENTITY, problem.apply, quantize_activations=True)


@pytest.fixture(scope="module")
def losses(trainer, started):
    """Of the student at its start, nothing quantized: of the labelled frames by task and by
    distillation, of the others by distillation."""
    config, (apply, teacher_params) = trainer.problem.config, started
    student, key = small.moved(teacher_params, 0.02), jax.random.key(STREAM)

    @jax.jit
    def run():
        lesson, rest = trainer._lessons(teacher_params, jax.random.fold_in(key, 0))
        (inputs, batch, teacher, _), (more, other, of_other, _) = lesson, rest
        outputs, of_rest = answers(apply, student, [inputs, more])
        t = jnp.float32(2)
        parts = (
            task_losses(config, outputs, batch),
            distillation_losses(config, outputs, teacher, batch, t),
            distillation_losses(config, of_rest, of_other, other, t),
        )
        return [TaskWeights().total(part) for part in parts]

    return run()


@pytest.mark.endurance
@pytest.mark.parametrize("strategy", ["map", pytest.param("vmap", marks=pytest.mark.slow)])
def test_trains_students_with_quantized_activations_on_frames_without_labels(
    trainer, started, losses, strategy
):
    """Frames weigh by their number, and only where there is distillation; bits of activations are
    data of the same program, and 32 of them are no quantization."""
    recipes = [recipe(alpha, jnp.int32(32)) for alpha in (0.0, 0.5, 1.0)]
    recipes += [recipe(0.5, jnp.int32(bits)) for bits in (8, 3)]
    student = new_student(small.moved(started[1], 0.02), ())
    students = jax.tree.map(lambda x: jnp.stack([x] * 5), student)
    run = jax.jit(functools.partial(trainer._replace(strategy=strategy).chunk, n_steps=1))
    recipes = jax.tree.map(lambda *leaves: jnp.stack(leaves), *recipes)
    after = run(students, recipes, started[1], jax.random.key(STREAM), jnp.int32(0))
    np.testing.assert_array_equal(after.step, 1)
    np.testing.assert_array_equal(after.diverged_at, -1)
    task, distilled, of_rest = losses
    share = N_FRAMES / (10 + N_FRAMES)
    assert float(of_rest) > 0.01
    expected = [
        task,
        (1 - share) * (task + distilled) / 2 + share * of_rest,
        (1 - share) * distilled + share * of_rest,
    ]
    np.testing.assert_allclose(after.loss[:3], expected, rtol=1e-4)
    off = np.abs(after.loss[3:] - after.loss[1])
    assert off[1] > 4 * off[0] > 0
    kernels = np.asarray(after.params["block_0"]["mlp"]["up"]["kernel"]).reshape(5, -1)
    assert np.unique(kernels, axis=0).shape[0] == 5


def test_bits_of_activations_must_be_given(problem, started, lesson):
    _, params = started
    batch, teacher = lesson
    with pytest.raises(ValueError, match="quantize_activations needs act_bits in the recipe"):
        student_step(
            problem, IDENTITY, new_student(params, ()), recipe(0.5),
            Lesson(batch.inputs, batch, teacher), quantize_activations=True,
        )  # fmt: skip


def test_what_a_trainer_does_not_read_changes_no_program(problem, started, lesson):
    _, params = started

    def program(recipe):
        def step(student, recipe, batch, teacher):
            lesson = Lesson(batch.inputs, batch, teacher)
            return student_step(problem, IDENTITY, student, recipe, lesson).params

        student = new_student(params, ())
        jaxpr = jax.make_jaxpr(step)(student, recipe, *lesson)
        return [equation.primitive.name for equation in jaxpr.eqns]

    asking = recipe(0.5, jnp.int32(4))._replace(hidden_weights=HiddenWeights(1.0, 1.0, 1.0))
    assert program(recipe(0.5)) == program(asking)
