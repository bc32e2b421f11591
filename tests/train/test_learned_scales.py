"""Scales that are trained: relative steps, zeros that stay, students that rest or diverge."""

import dataclasses
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax import compress
from wfm_jax.model import build, sample_batch
from wfm_jax.train.distill import Lesson, Recipe, new_student, start_stage, student_step
from wfm_jax.train.learned_scales import log_scales
from wfm_jax.train.losses import TaskWeights
from wfm_jax.train.model_files import Teacher
from wfm_jax.train.wireless import wireless

BITS, STEPS, RATE = 2, 60, 1e-2
KERNELS = "block_*/kernel"
KERNEL = "block_0/mlp/up/kernel"


class State(NamedTuple):
    """Scales, whether they are trained, and whether the weights are."""

    scales: dict[str, Any]
    learns: Any
    moves: Any


def _apply(params, state):
    def gated(on, tree):
        return jax.tree.map(lambda x: jnp.where(on, x, jax.lax.stop_gradient(x)), tree)

    scales = gated(state.learns, state.scales)
    return compress.lsq_apply(gated(state.moves, params), scales, BITS)


def _nothing(*_, **__):
    raise NotImplementedError


TRANSFORM = compress.Transform(_nothing, _nothing, _apply)
LEARNED = log_scales(lambda state: state.scales, lambda state, new: state._replace(scales=new))


def _start(params, seed, *, learns=True, moves=True):
    """A student whose latent weights are its teacher's, on grids a quarter as wide as LSQ's; and
    these weights."""
    rng = np.random.default_rng(seed)
    params = jax.tree.map(lambda w: np.float32(w + 0.05 * rng.normal(size=w.shape)), params)
    kernels = compress.select(params, KERNELS)
    scales = {path: 0.25 * compress.lsq_scale(w, BITS) for path, w in kernels.items()}
    state = State(scales, jnp.asarray(learns), jnp.asarray(moves))
    return new_student(params, state, learned=LEARNED), params


def _with_a_zero_channel(student):
    up = student.params["block_0"]["mlp"]["up"]["kernel"].copy()
    up[:, 3] = 0.0
    params = compress.unflatten(student.params, {KERNEL: jnp.asarray(up)})
    scales = student.compression.scales
    scales = scales | {KERNEL: scales[KERNEL].at[0, 3].set(0.0)}
    return student._replace(params=params, compression=student.compression._replace(scales=scales))


def _broken(student):
    down = student.params["block_0"]["mlp"]["down"]["kernel"].copy()
    down[0, 0] = np.nan
    changed = {"block_0/mlp/down/kernel": jnp.asarray(down)}
    return student._replace(params=compress.unflatten(student.params, changed))


def _norm(tree):
    return np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(tree)))


SEEDS = (0, 1, 2)
CASES = {
    **{f"fixed_{seed}": (seed, False, False) for seed in SEEDS},
    **{f"learned_{seed}": (seed, True, False) for seed in SEEDS},
    "both": (0, True, True),
    "zero": (0, True, True),
    "rests": (0, True, True),
    "diverges": (0, True, True),
}


class Trained(NamedTuple):
    """By case: at the start, after one step, at the end; and losses, float32[steps]."""

    start: dict[str, Any]
    one_step: dict[str, Any]
    end: dict[str, Any]
    losses: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def built(lean):
    config = dataclasses.replace(lean, views=("csi",))
    return config, *build(config, jax.random.key(0))


@pytest.fixture(scope="module")
def trained(built):
    """All cases in one program, on one batch over and over."""
    config, apply, params = built
    weights = TaskWeights(channel=0.0)  # whose error over the noise has heavy tails
    problem = wireless(Teacher(config, params, ""), weights=weights)
    batch = jax.jit(lambda key: sample_batch(config, key=key, batch_size=16))(jax.random.key(3))

    def recipe(steps):
        return Recipe(*(np.float32(x) for x in (2.0, 1.0, RATE, steps)))

    starts, teachers, recipes = {}, {}, {}
    for name, (seed, learns, moves) in CASES.items():
        starts[name], teachers[name] = _start(params, seed, learns=learns, moves=moves)
        recipes[name] = recipe(0 if name == "rests" else STEPS)
    starts["zero"] = _with_a_zero_channel(starts["zero"])
    starts["diverges"] = _broken(starts["diverges"])

    @jax.jit
    @chex.assert_max_traces(n=1)
    def run(students, recipes, teachers):
        def one(entry):
            student, recipe, teacher = entry
            lesson = Lesson(batch.inputs, batch, apply(teacher, batch.inputs))

            def step(student, _):
                after = student_step(problem, TRANSFORM, student, recipe, lesson, learned=LEARNED)
                return after, after

            end, path = jax.lax.scan(step, student, length=STEPS)
            return jax.tree.map(lambda x: x[0], path), end, path.loss

        return jax.lax.map(one, (students, recipes, teachers))

    def stack(trees):
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees.values())

    stacked = run(stack(starts), stack(recipes), stack(teachers))

    def by_case(tree):
        return {name: jax.tree.map(lambda x, i=i: x[i], tree) for i, name in enumerate(CASES)}

    return Trained(starts, *map(by_case, stacked))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_scales_alone_halve_the_loss(trained, seed):
    """At 2 bits, latent weights standing still: less than half of what fixed scales leave (at
    most a quarter in each of six seeds)."""
    fixed, learned = f"fixed_{seed}", f"learned_{seed}"
    assert trained.losses[learned][0] == trained.losses[fixed][0]
    assert np.mean(trained.losses[learned][-10:]) < 0.5 * np.mean(trained.losses[fixed][-10:])
    moved = jax.tree.map(
        lambda new, old: np.abs(np.log(new / old)).max(),
        trained.end[learned].compression.scales,
        trained.start[learned].compression.scales,
    )
    assert min(moved.values()) > 0.02
    chex.assert_trees_all_equal(trained.end[learned].params, trained.start[learned].params)


@pytest.mark.slow
def test_scales_without_a_gradient_stay_bit_for_bit(trained):
    for name in ("fixed_0", "rests", "diverges"):
        chex.assert_trees_all_equal(trained.end[name].compression, trained.start[name].compression)
    assert int(trained.end["fixed_0"].step) == STEPS
    assert int(trained.end["diverges"].diverged_at) == 0
    chex.assert_trees_all_equal(trained.end["rests"], trained.start["rests"])


@pytest.mark.slow
def test_channels_of_zeros_stay_zero(trained):
    end, start = trained.end["zero"], trained.start["zero"]
    assert int(end.diverged_at) == -1
    chex.assert_tree_all_finite(end)
    scale = np.asarray(end.compression.scales[KERNEL][0])
    assert scale[3] == 0.0
    assert np.all(np.delete(scale, 3) > 0)
    assert np.any(scale != start.compression.scales[KERNEL][0])
    weights = compress.flatten(end.params)[KERNEL]
    assert not np.any(compress.fake_quant(weights, BITS, scale=scale)[:, 3])


@pytest.mark.slow
def test_one_norm_clips_weights_and_scales(trained):
    """Adam's first moment after a step is a tenth of the clipped gradient, here of norm one."""
    student = trained.one_step["both"]
    moment = student.optimizer[1].mu
    parts = [_norm(part) for part in (moment.params, moment.values)]
    assert min(parts) > 1e-4
    np.testing.assert_allclose(np.hypot(*parts), 0.1, rtol=1e-5)


@pytest.mark.slow
def test_a_step_of_a_scale_is_relative(trained):
    """Adam's first step is the learning rate, whatever the scale: 1e-4 or 1."""
    before, after = trained.start["both"], trained.one_step["both"]
    rate = RATE / STEPS / 0.05
    for path, scale in after.compression.scales.items():
        steps = np.abs(np.log(scale / before.compression.scales[path]))
        assert np.median(steps) == pytest.approx(rate, rel=1e-2)
        assert steps.max() < 1.01 * rate


@pytest.mark.slow
def test_a_stage_starts_its_optimizer_on_both(trained):
    started = start_stage(trained.end["both"], learned=LEARNED)
    chex.assert_trees_all_equal(started.optimizer, trained.start["both"].optimizer)
    chex.assert_trees_all_equal(started.compression, trained.end["both"].compression)
    assert int(started.step) == 0


def test_log_scales_give_back_what_they_read():
    scales = {"a": jnp.array([1e-4, 0.0, 3.0, 1e-30]), "b": jnp.ones((2, 2))}
    state = State(scales, jnp.asarray(True), jnp.asarray(True))
    put = jax.jit(LEARNED.put)
    chex.assert_trees_all_equal(put(state, LEARNED.get(state)), state)
    assert LEARNED.put(state, LEARNED.get(state)).learns is state.learns


def test_gradients_of_logarithms():
    """s dL/ds, and zero for a scale of zero, even where its loss has no finite slope."""
    scales = jnp.array([0.5, 2.0, 0.0])
    state = State({"a": scales}, jnp.asarray(True), jnp.asarray(True))

    def loss(values, slope):
        return jnp.sum(slope * LEARNED.put(state, values).scales["a"])

    gradient = jax.jit(jax.grad(loss))(LEARNED.get(state), jnp.array([3.0, -1.0, jnp.inf]))
    np.testing.assert_allclose(gradient["a"], [1.5, -2.0, 0.0])


def test_a_student_must_be_started_for_its_scales(built):
    config, _, params = built
    student, _ = _start(params, 0)
    student = new_student(student.params, student.compression)
    recipe = Recipe(*(np.float32(x) for x in (2.0, 1.0, RATE, STEPS)))
    lesson = Lesson(*[None] * 4)
    problem = wireless(Teacher(config, params, ""))
    with pytest.raises(ValueError, match="started for another training"):
        student_step(problem, TRANSFORM, student, recipe, lesson, learned=LEARNED)
