"""The training step over configurations: neighbours do not touch, and together is alone.

With a strategy of ``map`` equality is bit for bit; ``vmap`` batches the sums, so it is that of
floats. Biases of attention's keys are left out of it: they shift all scores of a query alike, so
their gradient is zero but for rounding, which Adam normalises to steps.
"""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests import small
from wfm_jax import compress
from wfm_jax.model import build, sample_batch
from wfm_jax.train.distill import (
    Lesson,
    Recipe,
    Trainer,
    new_student,
    start_stage,
    student_step,
)
from wfm_jax.train.losses import TaskWeights, distillation_losses
from wfm_jax.train.model_files import Teacher
from wfm_jax.train.wireless import wireless

BATCH = 16
TRANSFORM = compress.matching("block_*/kernel", compress.magnitude_prune(0.5))
STRATEGIES = ("map", pytest.param("vmap", marks=pytest.mark.slow))
STREAM = 5


def recipe(temperature=2.0, alpha=0.5, learning_rate=1e-3, total_steps=100):
    numbers = (temperature, alpha, learning_rate, total_steps)
    return Recipe(*(jnp.float32(x) for x in numbers))


RECIPES = (recipe(1.0, 0.5), recipe(4.0, 1.0, 3e-3), recipe(2.0, 0.0, 1e-3, 40))


def stack(trees):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def pick(tree, i):
    return jax.tree.map(lambda x: x[i], tree)


def away(params, seed, size=0.05):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda w: jnp.asarray(w + size * rng.normal(size=w.shape), w.dtype), params)


def assert_close(got, expected, tolerance):
    got, expected = compress.flatten(got), compress.flatten(expected)
    for path in got:
        if not path.endswith("attention/key/bias"):
            np.testing.assert_allclose(got[path], expected[path], atol=tolerance, err_msg=path)


@pytest.fixture(scope="module")
def leanest(lean):
    return dataclasses.replace(lean, views=("csi",))


@pytest.fixture(scope="module")
def started(leanest):
    """``apply`` of the lean model, and a teacher's parameters."""
    apply, params = build(leanest, jax.random.key(0))
    return apply, small.moved(params, 0.05)


@pytest.fixture(scope="module")
def problem(leanest, started):
    return wireless(Teacher(leanest, started[1], ""), batch_size=BATCH)


@pytest.fixture(scope="module")
def students(started):
    """Three students, the last one with half of its weights masked."""
    found = []
    for seed in (10, 11, 12):
        params = away(started[1], seed)
        found.append(new_student(params, TRANSFORM.init(params, key=jax.random.key(0))))
    _, masks = jax.jit(TRANSFORM.update)(found[2].params, found[2].compression)
    return [*found[:2], found[2]._replace(compression=masks)]


@pytest.fixture(scope="module")
def steps(problem, started):
    """``steps(strategy, students, recipes, n)`` after n steps of one stream; every strategy is
    traced once, whatever it is given."""

    def compiled(strategy):
        trainer = Trainer(problem, TRANSFORM, started[0], strategy=strategy)

        @jax.jit
        def chunk(students, recipes, teacher_params, key, first_step):
            traced.append(strategy)
            assert traced.count(strategy) == 1
            return trainer.chunk(students, recipes, teacher_params, key, first_step, n_steps=1)

        return chunk

    traced = []
    chunk = {strategy: compiled(strategy) for strategy in ("map", "vmap")}

    def run(strategy, students, recipes, n=1):
        students, recipes = stack(students), stack(recipes)
        for t in range(n):
            key = jax.random.key(STREAM)
            students = chunk[strategy](students, recipes, started[1], key, jnp.int32(t))
        return students

    return run


@pytest.fixture(scope="module")
def sample(leanest):
    return jax.jit(functools.partial(sample_batch, leanest, batch_size=BATCH))


@pytest.fixture(scope="module")
def alone(problem, started, sample):
    """One configuration by itself: batches, teacher and steps put together by hand."""
    apply, teacher_params = started

    @jax.jit
    @chex.assert_max_traces(n=1)
    def step(student, recipe, batch):
        lesson = Lesson(batch.inputs, batch, apply(teacher_params, batch.inputs))
        return student_step(problem, TRANSFORM, student, recipe, lesson)

    def run(student, recipe, n=1):
        for t in range(n):
            batch = sample(key=jax.random.fold_in(jax.random.key(STREAM), t))
            student = step(student, recipe, batch)
        return student

    return run


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    "n, tolerance", [(1, 3e-5), pytest.param(20, 3e-4, marks=pytest.mark.slow)]
)
def test_together_is_alone(steps, alone, students, strategy, n, tolerance):
    together = steps(strategy, students, RECIPES, n)
    np.testing.assert_array_equal(together.step, n)
    np.testing.assert_array_equal(together.diverged_at, -1)
    for i, own in enumerate(RECIPES):
        single = alone(students[i], own, n)
        assert_close(pick(together.params, i), single.params, tolerance)
        np.testing.assert_allclose(together.loss[i], single.loss, rtol=1e-3)
        moved = students[i].params["head_frame"]["kernel"] - single.params["head_frame"]["kernel"]
        assert np.abs(moved).max() > 1e-5


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_recipes_are_data(steps, students, strategy):
    """Other temperatures, weights and rates need no other program (the fixture counts), and each
    of them matters."""
    base = recipe()
    other = (recipe(temperature=8.0), recipe(alpha=0.9), recipe(learning_rate=2e-3))
    same = steps(strategy, [students[0]] * 3, [base] * 3)
    changed = steps(strategy, [students[0]] * 3, other)
    for i in range(3):
        difference = same.params["embed_csi"]["token"]["kernel"][i]
        difference = difference - changed.params["embed_csi"]["token"]["kernel"][i]
        assert np.abs(difference).max() > 1e-7
    np.testing.assert_array_equal(same.loss[0], same.loss[2])
    assert same.loss[0] != changed.loss[0]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_student_that_has_done_its_steps_stands_still(steps, students, strategy):
    recipes = [recipe(total_steps=2), recipe(total_steps=0), recipe(total_steps=50)]
    two, four = (steps(strategy, students, recipes, n) for n in (2, 4))
    np.testing.assert_array_equal(two.step, [2, 0, 2])
    np.testing.assert_array_equal(four.step, [2, 0, 4])
    chex.assert_trees_all_equal(pick(four, 0), pick(two, 0))
    chex.assert_trees_all_equal(pick(four, 1), students[1])
    assert four.loss[2] != two.loss[2]


@pytest.fixture(scope="module")
def broken(students):
    """A student with one NaN among its weights."""
    params = jax.tree.map(lambda w: w, students[1].params)
    kernel = params["block_0"]["mlp"]["up"]["kernel"]
    params["block_0"]["mlp"]["up"]["kernel"] = kernel.at[3, 4].set(jnp.nan)
    return students[1]._replace(params=params)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_diverged_student_is_frozen_and_marked(steps, students, broken, strategy):
    after = steps(strategy, [students[0], broken, students[2]], RECIPES, 3)
    np.testing.assert_array_equal(after.diverged_at, [-1, 0, -1])
    np.testing.assert_array_equal(after.step, [3, 0, 3])
    frozen = pick(after, 1)
    chex.assert_trees_all_equal(frozen.params, broken.params)
    chex.assert_trees_all_equal(frozen.optimizer, broken.optimizer)
    chex.assert_tree_all_finite((pick(after.params, 0), pick(after.params, 2)))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_neighbours_do_not_notice_a_diverged_student(steps, students, broken, strategy):
    with_it = steps(strategy, [students[0], broken, students[2]], RECIPES, 3)
    without = steps(strategy, students, RECIPES, 3)
    for i in (0, 2):
        if strategy == "map":
            chex.assert_trees_all_equal(pick(with_it, i), pick(without, i))
        else:
            assert_close(pick(with_it.params, i), pick(without.params, i), 1e-5)


def test_divergence_is_marked_at_its_step(alone, students, broken):
    healthy = alone(students[1], recipe(), 2)
    after = alone(healthy._replace(params=broken.params), recipe())
    assert int(after.diverged_at) == 2
    assert int(after.step) == 2
    assert float(after.loss) == float(healthy.loss)
    # Marked once and for all, even if somebody mends the weights.
    mended = after._replace(params=healthy.params)
    chex.assert_trees_all_equal(alone(mended, recipe()), mended)


def test_a_stage_starts_afresh(alone, students):
    trained = alone(students[0], recipe(), 3)
    started = start_stage(trained)
    chex.assert_trees_all_equal(started.params, trained.params)
    assert int(started.step) == 0
    chex.assert_trees_all_equal(started.optimizer, students[0].optimizer)


def test_masked_weights_stay_as_they_were(alone, students):
    """The loss does not reach them, and the latent values are kept; masks are not trained."""
    before = students[2]
    pruned = TRANSFORM.apply(before.params, before.compression)["block_0"]["mlp"]["up"]["kernel"]
    pruned = np.asarray(pruned) == 0
    assert 0.2 < pruned.mean() < 0.8
    after = alone(before, recipe())
    chex.assert_trees_all_equal(after.compression, before.compression)
    kernels = (student.params["block_0"]["mlp"]["up"]["kernel"] for student in (before, after))
    moved = np.not_equal(*kernels)
    assert not np.any(moved & pruned)
    assert np.mean(moved[~pruned]) > 0.9


def test_distilling_a_model_into_itself_has_no_gradient(leanest, started, sample):
    """What rounding leaves is a thousandth of what a change of the weights by 0.001 causes. (Adam
    would normalise even that, so pipelines that begin like this are recognised, not run.)"""
    apply, teacher_params = started
    batch = sample(key=jax.random.key(2))

    @jax.jit
    def norm(params, teacher_params, batch, temperature):
        teacher = apply(teacher_params, batch.inputs)

        def loss(params):
            outputs = apply(params, batch.inputs)
            losses = distillation_losses(leanest, outputs, teacher, batch, temperature)
            return TaskWeights().total(losses)

        return optax.tree.norm(jax.grad(loss)(params))

    for temperature in (1.0, 4.0):
        noise = norm(teacher_params, teacher_params, batch, temperature)
        signal = norm(away(teacher_params, 0, 1e-3), teacher_params, batch, temperature)
        assert noise < 1e-3 * signal
        assert noise < 1e-3
