"""Adaptation: what each method moves and counts, what it learns, and what is left of the base."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import small
from wfm_jax import compress
from wfm_jax.results.checkpoint import CheckpointError
from wfm_jax.signal.factory import FactoryHall
from wfm_jax.train import adapt as adapting
from wfm_jax.train.adapt import (
    Adapted,
    AdaptSettings,
    Leaves,
    LowRank,
    draw_labelled,
    look_steps,
    make_adapt,
    split,
)
from wfm_jax.train.adapt_files import load_adapters, save_adapted
from wfm_jax.train.losses import TaskWeights, task_losses
from wfm_jax.train.model_files import load_teacher

# Longer delays than the tiny link's, of more equal power.
HALL = FactoryHall(
    n_rays=5, ray_spacing_s=100e-9, decay_median_s=400e-9, decay_range_s=(300e-9, 500e-9)
)
SETTINGS = AdaptSettings(steps=60, looks=6, batch_size=16)
N_LABELLED = 120
RATE = 1e-2
METHODS = {
    "probe": Leaves("head_*"),
    "lora": LowRank((("head_*/kernel", 3), ("*_0/*/kernel", 1), ("*/kernel", 2)), scale=2.0),
    "full": Leaves("*"),
}


@pytest.fixture(scope="module")
def target(config):
    """The model on the link to adapt to."""
    return dataclasses.replace(config, link=dataclasses.replace(config.link, scenario=HALL))


@pytest.fixture(scope="module")
def labelled(target):
    return draw_labelled(target.link, N_LABELLED, seed=0)


@pytest.fixture(scope="module")
def program(target):
    """By method, its compiled program."""
    return functools.cache(lambda name: make_adapt(target, METHODS[name], SETTINGS))


@pytest.fixture(scope="module")
def adapted(program, teacher_params, labelled):
    """By method, the model adapted by it, all from the same base and labelled frames."""

    def adapt(name):
        return program(name)(teacher_params, labelled, seed=0, learning_rate=RATE)

    return functools.cache(adapt)


@pytest.fixture(scope="module")
def fresh(target):
    """Frames of the target that no adaptation has seen."""
    frames = draw_labelled(target.link, N_LABELLED, seed=99)
    return adapting.to_batch(target, frames, jnp.arange(N_LABELLED) % 2 == 0)


@pytest.fixture(scope="module")
def fresh_loss(target, built, fresh):
    """Task loss on them, of parameters."""

    @jax.jit
    def loss(params):
        return TaskWeights().total(task_losses(target, built[0](params, fresh.inputs), fresh))

    return loss


def moved(before, after):
    """Paths of the leaves that changed."""
    before, after = compress.flatten(before), compress.flatten(after)
    assert before.keys() == after.keys()
    return {path for path in before if not np.array_equal(before[path], after[path])}


def test_a_probe_moves_the_heads_and_nothing_else(teacher_params, labelled, short):
    result = short[0](teacher_params, labelled, seed=0, learning_rate=1e-3)
    assert int(result.look) == 1
    heads = {path for path in compress.flatten(teacher_params) if path.startswith("head_")}
    assert moved(teacher_params, result.params) == set(result.trained) == heads


@pytest.mark.slow
def test_full_fine_tuning_moves_everything_but_the_tokens_of_absent_views(teacher_params, adapted):
    everything = set(compress.flatten(teacher_params))
    idle = {path for path in everything if path.endswith("/absent")}
    assert moved(teacher_params, adapted("full").params) == everything - idle


def rank_of(path):
    """Of METHODS["lora"], the first pattern that matches."""
    return 3 if path.startswith("head_") else 1 if path.startswith("block_0/") else 2


@pytest.mark.slow
def test_low_rank_updates_move_their_kernels_by_matrices_of_their_rank(teacher_params, adapted):
    before, after = map(compress.flatten, (teacher_params, adapted("lora").params))
    paths = {path for path in before if path.endswith("/kernel")}
    assert moved(teacher_params, adapted("lora").params) == paths
    for path in paths:
        values = np.linalg.svd(np.asarray(after[path] - before[path], np.float64))[1]
        assert values[0] > 1e-3
        # Nothing beyond the rank, but for float32.
        assert np.all(values[rank_of(path) :] < 1e-5 * values[0] + 1e-6), path


@pytest.mark.slow
def test_low_rank_updates_train_as_many_parameters_as_counted(teacher_params, adapted):
    flat = compress.flatten(teacher_params)
    trained = adapted("lora").trained
    counted = sum(rank_of(path) * sum(flat[path].shape) for path in trained)
    assert sum(leaf.size for leaf in jax.tree.leaves(trained)) == counted
    adapters = METHODS["lora"].adapters(trained)
    assert compress.lora_size(teacher_params, adapters).parameters == counted
    assert float(adapters.scale) == 2.0


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_every_method_lowers_the_loss_on_fresh_frames(teacher_params, adapted, fresh_loss, name):
    assert float(fresh_loss(adapted(name).params)) < 0.9 * float(fresh_loss(teacher_params))


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_the_best_look_is_the_answer(adapted, name):
    result = adapted(name)
    assert result.validation.shape == (1 + SETTINGS.looks,)
    assert int(result.look) == int(np.argmin(result.validation)) > 0


@pytest.mark.slow
def test_what_is_answered_has_the_loss_that_was_seen(target, apply, adapted, labelled):
    held_back = jax.tree.map(lambda x: x[-split(SETTINGS, N_LABELLED)[0] :], labelled)
    losses = [
        task_losses(target, apply(adapted("lora").params, batch.inputs), batch)
        for batch in (adapting.to_batch(target, held_back, jnp.full((24,), b)) for b in (0, 1))
    ]
    # Modulation counts where it is masked, the others with and without it.
    weights = TaskWeights()
    seen = weights.modulation * losses[1]["modulation"] + 0.5 * sum(
        getattr(weights, task) * (losses[0][task] + losses[1][task])
        for task in ("bits", "channel", "link")
    )
    assert float(seen) == pytest.approx(float(adapted("lora").validation.min()), rel=1e-3)


@pytest.mark.slow
def test_a_rate_that_ruins_the_model_leaves_it_as_it_came(program, teacher_params, labelled):
    result = program("full")(teacher_params, labelled, seed=0, learning_rate=1e4)
    assert int(result.look) == 0
    chex.assert_trees_all_equal(result.params, teacher_params)


@pytest.fixture(scope="module")
def short(target):
    """A probe of two steps and one look, and the list of its traces."""
    traced = []

    def counted(*args):
        traced.append(1)
        return task_losses(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapting, "task_losses", counted)
        settings = dataclasses.replace(SETTINGS, steps=2, looks=1)
        yield make_adapt(target, METHODS["probe"], settings), traced


def test_one_program_serves_all_seeds_and_rates(teacher_params, labelled, short):
    adapt, traced = short
    first = adapt(teacher_params, labelled, seed=0, learning_rate=RATE)
    n_traced = len(traced)
    second = adapt(teacher_params, labelled, seed=1, learning_rate=RATE)
    third = adapt(teacher_params, labelled, seed=0, learning_rate=2 * RATE)
    assert len(traced) == n_traced > 0
    assert first.validation[0] == third.validation[0]
    for other in (second, third):
        assert first.validation[1] != other.validation[1]


def test_labelled_frames_are_as_many_as_asked_and_drawn_once(target):
    frames = draw_labelled(target.link, 130, seed=0)
    assert all(leaf.shape[0] == 130 for leaf in jax.tree.leaves(frames))
    assert len({bits.tobytes() for bits in np.asarray(frames.bits)}) == 130
    fewer, other = (draw_labelled(target.link, 7, seed=seed) for seed in (0, 1))
    chex.assert_trees_all_equal(fewer, jax.tree.map(lambda x: x[:7], frames))
    assert not np.array_equal(fewer.bits, other.bits)


def test_an_epoch_reads_every_frame_once_in_its_own_order():
    settings = AdaptSettings(steps=9, looks=3, batch_size=10)
    order = np.asarray(adapting._order(settings, 30, jax.random.key(0))).reshape(3, 30)
    np.testing.assert_array_equal(np.sort(order, axis=1), np.tile(np.arange(30), (3, 1)))
    assert not np.array_equal(order[0], order[1])
    straddling = np.asarray(adapting._order(settings, 8, jax.random.key(0)))
    assert straddling.shape == (9, 10)
    assert np.ptp(np.bincount(straddling.reshape(-1))) <= 1


def test_looks_are_evenly_spread_from_the_start_to_the_end():
    np.testing.assert_array_equal(look_steps(AdaptSettings(steps=10, looks=4)), [0, 2, 5, 8, 10])


def test_held_back_frames_are_none_of_those_trained_on(target, teacher_params, labelled, short):
    """Where all of the held-back frames are others, the same is trained."""
    n_train = split(SETTINGS, N_LABELLED)[1]
    others = draw_labelled(target.link, N_LABELLED, seed=5)
    mixed = jax.tree.map(lambda a, b: jnp.concatenate([a[:n_train], b[n_train:]]), labelled, others)
    first, second = (
        short[0](teacher_params, frames, seed=0, learning_rate=1e-3) for frames in (labelled, mixed)
    )
    assert int(first.look) == int(second.look) == 1
    assert float(first.validation[0]) != float(second.validation[0])
    chex.assert_trees_all_equal(first.params, second.params)


@pytest.mark.parametrize(("n", "held"), [(2, 1), (3, 1), (100, 20), (1000, 200)])
def test_held_back_frames_count_among_the_labelled(n, held):
    assert split(AdaptSettings(), n) == (held, n - held)


@pytest.mark.slow
def test_a_merged_model_is_an_ordinary_one_and_its_updates_can_be_taken_out(
    target, teacher_params, adapted, fresh, apply, tmp_path
):
    method, result = METHODS["lora"], adapted("lora")
    save_adapted(tmp_path / "lora", target, method, result, {"learning_rate": RATE})
    again = load_teacher(tmp_path / "lora")
    assert again.config == target
    adapters = load_adapters(tmp_path / "lora_adapters", teacher_params, method)
    merged = compress.lora_merge(teacher_params, adapters)
    wanted = apply(result.params, fresh.inputs)
    for params in (again.params, merged.params):
        chex.assert_trees_all_close(apply(params, fresh.inputs), wanted, rtol=1e-4, atol=1e-4)
    chex.assert_trees_all_equal(compress.lora_unmerge(merged), teacher_params)
    assert moved(teacher_params, again.params)


@pytest.mark.slow
def test_updates_of_another_rank_are_refused(target, teacher_params, adapted, tmp_path):
    save_adapted(tmp_path / "lora", target, METHODS["lora"], adapted("lora"), {})
    other = LowRank((("head_*/kernel", 2), ("*/kernel", 1)))
    with pytest.raises(CheckpointError, match="reshaped"):
        load_adapters(tmp_path / "lora_adapters", teacher_params, other)


def test_only_low_rank_updates_lie_beside_the_model(target, teacher_params, tmp_path):
    method = METHODS["probe"]
    trained = method.start(teacher_params, key=jax.random.key(0))
    result = Adapted(trained, teacher_params, jnp.int32(0), jnp.zeros(1))
    save_adapted(tmp_path / "probe", target, method, result, {})
    assert [path.name for path in tmp_path.iterdir()] == ["probe"]


@pytest.mark.parametrize(
    "method",
    [Leaves("tail_*"), LowRank((("tail_*", 1),)), LowRank((("*/kernel", 1), ("*/bias", 1)))],
)
def test_a_pattern_without_a_match_is_named(method, teacher_params):
    with pytest.raises(ValueError, match=r"tail_|bias"):
        method.start(teacher_params, key=jax.random.key(0))


def test_a_rank_beyond_a_kernels_size_is_named(teacher_params):
    with pytest.raises(ValueError, match="head_element/kernel"):
        LowRank((("head_*/kernel", 9),)).start(teacher_params, key=jax.random.key(0))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: LowRank((("*", 0),)), "rank"),
        (lambda: LowRank((("*", 1),), scale=0.0), "scale"),
        (lambda: LowRank((("*", 1),), scale=float("nan")), "scale"),
        (lambda: AdaptSettings(steps=0), "steps"),
        (lambda: AdaptSettings(steps=2, looks=3), "looks"),
        (lambda: AdaptSettings(looks=0), "looks"),
        (lambda: AdaptSettings(batch_size=0), "batch_size"),
        (lambda: AdaptSettings(held_back=0.0), "held_back"),
        (lambda: AdaptSettings(held_back=1.0), "held_back"),
        (lambda: AdaptSettings(blind_fraction=-0.1), "blind_fraction"),
        (lambda: draw_labelled(small.LINK, 1, seed=0), "labelled"),
    ],
)
def test_bad_values_are_named(make, said):
    with pytest.raises(ValueError, match=said):
        make()
