"""Stages S and L: what was cut out or factored is an ordinary, smaller model."""

import dataclasses

import chex
import jax
import numpy as np
import pytest

from wfm_jax import compress
from wfm_jax.model import build, sample_batch
from wfm_jax.results.progress import Silent
from wfm_jax.sweep import cohort as cohorts
from wfm_jax.sweep import engine, pipeline, space
from wfm_jax.sweep.architecture import rebuilt_groups, shrink_deployed, units_left
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.group import Group
from wfm_jax.sweep.handover import everybody, one_of

HOW = {"sparsity": 0.5, "structure": "heads+neurons", "distribution": "uniform", "steps": 5}
ALL = [
    Configuration(p, **HOW)
    for p in ("P", "P-S", "P-Q", "P-Q-S", "P-S-Q", "P-S-KD", "P-S-FT", "L", "L-Q", "P-S-L")
]


@pytest.fixture(scope="module")
def deployed(problem, settings):
    """What is handed over by pipelines that do not train, by pipeline."""
    whole = [c for c in ALL if not c.rebuilding]
    first = [c for c in ALL if c.rebuilding and not set(c.stages) & {"KD", "FT"}]
    found = {}
    for group in (
        Group("same", problem, whole, settings),
        *rebuilt_groups("same", problem, first, settings),
    ):
        members = list(group.members)
        cohort = cohorts.gather(members, group.width, group.initial, group.choices)
        done = cohorts.prepare_round(cohort).students
        stacked = jax.device_get(everybody(done, choices=group.choices))
        for i, c in enumerate(members):
            own = one_of(stacked, i, c, group.choices)
            config = group.config
            if c.shrinks_last:
                config, own = shrink_deployed(config, own)
            found[c.pipeline] = (config, own)
    return found


def answers(config, params):
    batch = sample_batch(config, key=jax.random.key(3), batch_size=8)
    return jax.jit(build(config, jax.random.key(0))[0])(params, batch.inputs)


@pytest.mark.slow
def test_half_of_the_units_is_half_of_the_architecture(deployed, config):
    small = deployed["P-S"][0]
    assert small.heads == tuple(n // 2 for n in config.heads)
    assert small.mlp_widths == tuple(n // 2 for n in config.mlp_widths)
    assert deployed["P-Q-S"][0] == deployed["P-S-Q"][0] == small


@pytest.mark.slow
@pytest.mark.parametrize(("masked", "shrunk"), [("P", "P-S"), ("P-Q", "P-Q-S")])
def test_the_smaller_model_computes_what_the_masked_one_does(deployed, masked, shrunk):
    chex.assert_trees_all_close(
        answers(*_model(deployed[shrunk])), answers(*_model(deployed[masked])), rtol=1e-4, atol=1e-5
    )


def _model(entry):
    config, own = entry
    return config, own.params


@pytest.mark.slow
def test_snapped_weights_stay_on_their_grid(deployed):
    _, own = deployed["P-Q-S"]
    flat = compress.flatten(own.params)
    for path, grid in own.grids.items():
        scale = grid.scale
        steps = flat[path] / np.where(scale == 0, 1, scale)
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)


@pytest.mark.slow
def test_units_are_gone_where_nothing_is_kept(deployed, config):
    left = units_left(config, deployed["P"][1].keep)
    assert {name: int(mask.sum()) for name, mask in left.items()} == {
        f"block_{i}/{kind}": n // 2
        for i in range(config.n_layers)
        for kind, n in (("heads", config.heads[i]), ("neurons", config.mlp_widths[i]))
    }


@pytest.mark.slow
def test_low_rank_stores_the_share_and_computes_what_truncated_kernels_do(
    deployed, config, teacher
):
    low, own = deployed["L"]
    assert low.ranks
    flat, dense = compress.flatten(own.params), compress.flatten(teacher.params)
    truncated = {}
    for layer, rank in low.ranks:
        a, b = (flat[f"{layer}/{name}/kernel"] for name in ("reduce", "expand"))
        w = np.asarray(dense[f"{layer}/kernel"])
        assert a.shape[1] == rank
        assert a.size + b.size <= 0.5 * w.size
        left, singular, right = np.linalg.svd(w.astype(np.float64), full_matrices=False)
        truncated[f"{layer}/kernel"] = (left[:, :rank] * singular[:rank]) @ right[:rank]
    plain = compress.unflatten(
        teacher.params, {p: np.asarray(w, np.float32) for p, w in truncated.items()}
    )
    chex.assert_trees_all_close(
        answers(low, own.params), answers(config, plain), rtol=1e-3, atol=1e-4
    )


@pytest.mark.slow
def test_what_follows_low_rank_acts_on_the_factors(deployed):
    _, own = deployed["L-Q"]
    assert {path for path in own.grids if "/reduce/" in path or "/expand/" in path}
    for path, w in compress.flatten(own.params).items():
        if path.endswith("reduce/kernel"):
            assert max(np.unique(np.abs(column)).size for column in w.T) <= 128
    both = deployed["P-S-L"][0]
    assert both.heads == deployed["P-S"][0].heads
    assert both.ranks


@pytest.mark.parametrize("text", ["P-L", "KD-L", "Q-L-KD", "L-L", "P-S-KD-L", "L-P-S-KD"])
def test_an_l_that_is_not_at_the_start_is_refused(text):
    with pytest.raises(ValueError, match=r"[LS] in pipeline"):
        pipeline.parse(text)


@pytest.mark.parametrize("text", ["S", "S-P", "Q-P-S-KD", "KD-S", "P-S-S-KD", "P-KD-S-Q"])
def test_an_s_without_a_p_or_in_the_middle_is_refused(text):
    with pytest.raises(ValueError, match="S in pipeline"):
        pipeline.parse(text)


@pytest.mark.parametrize("structure", ["unstructured", "2:4"])
def test_only_whole_units_can_be_cut_out(structure):
    with pytest.raises(ValueError, match="structure must be heads, neurons"):
        Configuration("P-S", **(HOW | {"structure": structure}))


@pytest.mark.parametrize("structure", ["2:4", "4x4"])
def test_factors_have_no_fours_to_prune(structure):
    with pytest.raises(ValueError, match=f"structure must not be {structure} behind L"):
        Configuration("L-P", structure=structure)


def test_axes_are_combined_before_they_are_checked():
    found = space.configurations(space.grid(pipeline=["P-S"], structure=["heads"]))
    assert [c.structure for c in found] == ["heads"]


@pytest.mark.slow
def test_training_after_s_is_a_program_of_its_own(problem, settings, tmp_path):
    """And its students are distilled from the whole teacher: no leading KD is left out."""
    asked = [dataclasses.replace(c, alpha=1.0) for c in ALL if c.pipeline in ("P-S-KD", "P-S-FT")]
    trained = {}

    class Recorder:
        pace_s = 0.0

        def references(self, known):
            return []

        def examine(self, problem, configuration, deployed, wall_s):
            trained[configuration.pipeline] = problem.config, deployed.params
            return {"config_id": configuration.config_id, "kind": "configuration", "status": "ok"}

    compiles = engine.run_sweep(asked, problem, settings, Recorder(), tmp_path, progress=Silent())
    assert list(compiles.values()) == [1]
    one, other = (compress.flatten(trained[p][1]) for p in ("P-S-KD", "P-S-FT"))
    assert any(not np.array_equal(one[path], other[path]) for path in one)
