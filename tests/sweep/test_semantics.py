"""What order means: snapping, masks, the commuting and the degenerate case, recovery of states."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.finished import run
from wfm_jax import compress
from wfm_jax.sweep import compression
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.group import Group
from wfm_jax.train.wireless import PRUNABLE

POINT = {"sparsity": 0.75, "weight_bits": 4, "steps": 5}


PLAIN = [
    Configuration(p, **POINT)
    for p in ("none", "P", "Q", "P-Q", "Q-P", "P-Q-KD", "Q-P-KD", "P-KD-Q", "Q-P-FT", "KD")
]
COMMUTING = [
    Configuration(p, **POINT, score_on="latent", scale="absmax") for p in ("P-Q", "Q-P")
] + [
    Configuration(p, **POINT, score_on="latent", scale="absmax", train_from="latent")
    for p in ("P-Q-KD", "Q-P-KD")
]
OTHERS = [
    Configuration("Q-P", **(POINT | {"weight_bits": 2})),
    Configuration("Q", **(POINT | {"weight_bits": 16})),
    Configuration("P", **POINT, distribution="uniform"),
]
WAYS = [
    Configuration("P", **POINT, score="wanda"),
    Configuration("P", **POINT, score="taylor", distribution="erk"),
    Configuration("P-Q", **POINT, structure="2:4"),
    Configuration("P", **(POINT | {"sparsity": 0.5}), structure="heads+neurons"),
    Configuration("P", **POINT, structure="4x4"),
    Configuration("P-FT-P-FT-P", **POINT, schedule="cubic"),
    Configuration("Q", **POINT, rounding="gptq"),
    Configuration("P-Q-FT", **POINT, rounding="gptq"),
]


@pytest.fixture(scope="module")
def group(problem, settings):
    """One group, and so one training program, for every cohort of this module."""
    asked = [*PLAIN, *COMMUTING, *OTHERS, *WAYS]
    return Group("same", problem, asked, settings)


def kernels(flat):
    return {k: v for k, v in flat.items() if compress.matches(k, PRUNABLE)}


@pytest.fixture(scope="module")
def finished(teacher, settings, group):
    """One cohort with every case that this module looks at."""
    return run([*PLAIN, *COMMUTING, *OTHERS, *WAYS], teacher, settings, group)


def weights_of(finished, *args, **kwargs):
    return finished[Configuration(*args, **kwargs).config_id][0]


def test_none_leaves_every_weight_as_it_was(finished, teacher):
    for path, leaf in weights_of(finished, "none", **POINT).items():
        np.testing.assert_array_equal(leaf, compress.flatten(teacher.params)[path])


def test_pruning_keeps_the_exact_count_of_largest_weights(finished, teacher):
    pruned, dense = (
        kernels(weights_of(finished, "P", **POINT)),
        kernels(compress.flatten(teacher.params)),
    )
    flat = np.concatenate([np.abs(w).ravel() for w in dense.values()])
    kept = np.concatenate([(w != 0).ravel() for w in pruned.values()])
    assert kept.sum() == flat.size - round(0.75 * flat.size)
    assert flat[kept].min() > flat[~kept].max()


def test_uniform_distribution_prunes_every_layer_alike(finished):
    for w in kernels(weights_of(finished, "P", **POINT, distribution="uniform")).values():
        assert np.count_nonzero(w) == w.size - round(0.75 * w.size)


def test_scores_that_look_at_data_keep_as_many_others(finished):
    plain, wanda, taylor = (
        kernels(weights_of(finished, "P", **POINT, **how))
        for how in ({}, {"score": "wanda"}, {"score": "taylor", "distribution": "erk"})
    )
    counts = [sum(np.count_nonzero(w) for w in of.values()) for of in (plain, wanda, taylor)]
    assert counts[0] == counts[1] == counts[2]
    assert any(np.any((plain[path] != 0) != (wanda[path] != 0)) for path in plain)
    # ERK: the same number in every kernel of one shape, whatever it is worth, but for rounding.
    for shape in {w.shape for w in taylor.values()}:
        alike = [np.count_nonzero(w) for w in taylor.values() if w.shape == shape]
        assert max(alike) - min(alike) <= 1


def test_two_of_four_inputs_stay(finished):
    for w in kernels(weights_of(finished, "P-Q", **POINT, structure="2:4")).values():
        assert np.all(np.count_nonzero(w.reshape(-1, 4, w.shape[1]), axis=1) <= 2)
        assert np.count_nonzero(w) > 0.4 * w.size


def test_whole_blocks_go(finished):
    for w in kernels(weights_of(finished, "P", **POINT, structure="4x4")).values():
        blocks = w.reshape(w.shape[0] // 4, 4, w.shape[1] // 4, 4) != 0
        np.testing.assert_array_equal(blocks.any(axis=(1, 3)), blocks.all(axis=(1, 3)))


def test_gradual_pruning_arrives_at_the_last_p(finished):
    gradual = Configuration("P-FT-P-FT-P", **POINT, schedule="cubic")
    found = [gradual.sparsity_at(i) for i, s in enumerate(gradual.stages) if s == "P"]
    np.testing.assert_allclose(found, [0.75 * (1 - (1 - i / 3) ** 3) for i in (1, 2, 3)], rtol=1e-6)
    flat = kernels(finished[gradual.config_id][0])
    size = sum(w.size for w in flat.values())
    assert sum(np.count_nonzero(w) for w in flat.values()) == size - round(0.75 * size)
    assert Configuration("P-FT", schedule="cubic").config_id == Configuration("P-FT").config_id


def test_whole_heads_and_neurons_go(finished, group):
    how = POINT | {"sparsity": 0.5, "structure": "heads+neurons"}
    flat = weights_of(finished, "P", **how)
    for i, (n_heads, width) in enumerate(
        zip(group.config.heads, group.config.mlp_widths, strict=True)
    ):
        out = np.any(flat[f"block_{i}/attention/out/kernel"] != 0, axis=1)
        heads = out.reshape(n_heads, -1)
        assert np.all(heads.all(axis=1) == heads.any(axis=1))
        up = np.any(flat[f"block_{i}/mlp/up/kernel"] != 0, axis=0)
        np.testing.assert_array_equal(up, np.any(flat[f"block_{i}/mlp/down/kernel"] != 0, axis=1))
        assert 0 < up.sum() < width
    total = sum(group.config.heads)
    kept = sum(
        np.any(flat[f"block_{i}/attention/out/kernel"] != 0, axis=1).sum()
        for i in range(group.config.n_layers)
    )
    assert kept == (total - round(0.5 * total)) * group.config.head_dim


def test_gptq_errs_less_where_inputs_are_and_keeps_masks(finished, teacher, group):
    dense = compress.flatten(teacher.params)
    nearest, gptq = (
        weights_of(finished, "Q", **POINT, **how) for how in ({}, {"rounding": "gptq"})
    )
    for path in kernels(dense):
        moment = np.asarray(group.stats[path].second_moment)
        errors = [np.asarray(w[path] - dense[path]) for w in (nearest, gptq)]
        mine = [np.trace(e.T @ moment @ e) for e in errors]
        assert mine[1] < mine[0], path
    flat, student, _ = finished[Configuration("P-Q-FT", **POINT, rounding="gptq").config_id]
    for path, keep in student.compression.prune.keep.items():
        assert not np.any(flat[path][~np.asarray(keep)])


@pytest.mark.parametrize("pipeline", ["Q", "P-Q", "Q-P", "P-Q-KD", "Q-P-KD", "P-KD-Q", "Q-P-FT"])
def test_what_is_handed_over_lies_on_its_grid(finished, pipeline):
    """At most 15 levels in a channel of a kernel, 255 in one of a table, float16 elsewhere."""
    for path, w in weights_of(finished, pipeline, **POINT).items():
        if w.ndim < 2:
            np.testing.assert_array_equal(w, w.astype(np.float16).astype(np.float32))
            continue
        bits = 4 if compress.matches(path, PRUNABLE) else 8
        for channel in w.T:
            assert np.unique(np.abs(channel)).size <= 2 ** (bits - 1)


def test_sixteen_bits_are_float16(finished, teacher):
    for path, w in weights_of(finished, "Q", **(POINT | {"weight_bits": 16})).items():
        dense = np.asarray(compress.flatten(teacher.params)[path])
        np.testing.assert_array_equal(w, dense.astype(np.float16).astype(np.float32))


def test_orders_differ_under_the_default_semantics(finished):
    """P after Q scores snapped values: at 4 bits / 75 % other weights stay."""
    one, other = (weights_of(finished, p, **POINT) for p in ("P-Q-KD", "Q-P-KD"))
    kept = [np.concatenate([(w != 0).ravel() for w in kernels(x).values()]) for x in (one, other)]
    assert np.mean(kept[0] != kept[1]) > 0.005
    assert any(not np.array_equal(one[path], other[path]) for path in one)


@pytest.mark.parametrize("stage", ["", "-KD"])
def test_orders_coincide_in_the_commuting_case(finished, stage):
    """Masks scored on latent weights and absmax scales: M * Q(W) == Q(M * W), bit for bit.

    With training behind it, both go through the same steps: equal to float tolerance.
    """
    factors = {"score_on": "latent", "scale": "absmax"}
    if stage:
        factors["train_from"] = "latent"
    one, other = (weights_of(finished, p + stage, **POINT, **factors) for p in ("P-Q", "Q-P"))
    for path in one:
        if stage:
            np.testing.assert_allclose(one[path], other[path], atol=1e-6)
        else:
            np.testing.assert_array_equal(one[path], other[path])


def test_ties_among_snapped_weights_are_broken_at_random_by_seed(teacher, settings, group):
    """At 2 bits most magnitudes are equal: another seed keeps another set, of the same size."""
    seeds = [Configuration("Q-P", **(POINT | {"weight_bits": 2}), seed=s) for s in (0, 1)]
    done = run(seeds, teacher, settings, group)
    kept = [
        np.concatenate(
            [np.asarray(m).ravel() for m in done[c.config_id][1].compression.prune.keep.values()]
        )
        for c in seeds
    ]
    assert kept[0].sum() == kept[1].sum()
    assert np.any(kept[0] != kept[1])


def test_masks_stay_in_force_through_training(finished):
    for pipeline in ("P-Q-KD", "Q-P-KD", "P-KD-Q"):
        flat, student, _ = finished[Configuration(pipeline, **POINT).config_id]
        for path, keep in student.compression.prune.keep.items():
            assert not np.any(flat[path][~np.asarray(keep)])


def test_training_moves_the_surviving_weights(finished):
    untrained, trained = (weights_of(finished, p, **POINT) for p in ("P-Q", "P-Q-KD"))
    assert any(not np.array_equal(untrained[path], trained[path]) for path in untrained)


def test_snapped_weights_requantized_with_their_stored_scale_are_unchanged(finished, group):
    for pipeline in ("Q", "P-Q", "P-Q-KD"):
        flat, student, _ = finished[Configuration(pipeline, **POINT).config_id]
        again = compression.in_force(group.choices).apply(
            compress.unflatten(student.params, flat), student.compression
        )
        for path, leaf in compress.flatten(again).items():
            np.testing.assert_array_equal(leaf, flat[path])


def test_padding_and_finished_configurations_do_not_train(finished):
    student = finished[Configuration("none", **POINT).config_id][1]
    assert int(student.step) == 0
    assert int(finished[Configuration("KD", **POINT).config_id][1].step) == 5


def test_steps_are_split_and_the_optimizer_starts_afresh(teacher, settings, group):
    both = Configuration("KD-P-FT", **(POINT | {"steps": 10}))
    done = run([both], teacher, settings, group)[both.config_id][1]
    assert both.stage_steps() == (5, 0, 5)
    assert int(done.step) == 5
    # Adam counts the steps of the last stage only.
    counts = [
        int(leaf)
        for leaf in jax.tree.leaves(done.optimizer)
        if leaf.ndim == 0 and jnp.issubdtype(leaf.dtype, jnp.integer)
    ]
    assert counts == [5]


def test_a_second_stage_sees_the_model_as_the_first_left_it(finished, teacher, group):
    """Q after P calibrates on the survivors: its scale is their absmax, not the dense one."""
    _, student, _ = finished[Configuration("P-Q", **POINT).config_id]
    own = student.compression.grids[group.choices.grids.index(compression.Grid())]
    for path, scale in own.scale.items():
        dense = np.asarray(compress.flatten(teacher.params)[path])
        kept = np.where(np.asarray(student.compression.prune.keep[path]), dense, 0.0)
        absmax = compress.absmax_scale(kept, 4)
        np.testing.assert_array_equal(scale, compress.round_up_scale(absmax))


def test_all_cohorts_of_a_group_share_one_compiled_training_program(finished, group):
    assert finished
    assert group.n_compiles == 1


@pytest.mark.slow
def test_a_smaller_student_is_its_own_group_with_the_fixed_start(teacher, problem, settings):
    asked = [dataclasses.replace(Configuration("KD-P-Q", **POINT), student="smaller", alpha=1.0)]
    group = Group("smaller", problem, asked, settings)
    assert group.config.n_layers == 1
    done = run(asked, teacher, settings, group)
    trained = done[asked[0].config_id][1]
    # KD first has a gradient here: the student is not its teacher.
    assert float(trained.loss) > 0.0
    start = compress.flatten(group.initial(asked[0]))
    moved = compress.flatten(trained.params)
    assert any(not np.array_equal(start[path], moved[path]) for path in start)
