"""Stage S: what was pruned in whole heads and neurons is an ordinary, smaller model."""

import dataclasses

import chex
import jax
import numpy as np
import pytest

from wfm_jax import compress
from wfm_jax.model import build, sample_batch
from wfm_jax.results.progress import Silent
from wfm_jax.sweep import cohort as cohorts
from wfm_jax.sweep import engine, pipeline, stages
from wfm_jax.sweep.configuration import Configuration, product
from wfm_jax.sweep.group import Group
from wfm_jax.sweep.shrunk import shrink_deployed, shrunk_groups, units_left

HOW = {"sparsity": 0.5, "structure": "heads+neurons", "distribution": "uniform", "steps": 5}
ALL = [Configuration(p, **HOW) for p in ("P", "P-S", "P-Q", "P-Q-S", "P-S-Q", "P-S-KD", "P-S-FT")]


@pytest.fixture(scope="module")
def deployed(teacher, settings):
    """What is handed over by pipelines that do not train, by pipeline."""
    whole = [c for c in ALL if not c.shrinks_first]
    first = [c for c in ALL if c.shrinks_first and not set(c.stages) & {"KD", "FT"}]
    found = {}
    for group in (
        Group("same", teacher, whole, settings),
        *shrunk_groups("same", teacher, first, settings),
    ):
        members = list(group.members)
        cohort = cohorts.gather(members, group.width, group.initial, group.choices)
        finished = stages.deployed(cohorts.prepare_round(cohort).students)
        for i, c in enumerate(members):
            own = jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i]), finished)
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
    for path, scale in own.scale.items():
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


@pytest.mark.parametrize("text", ["S", "S-P", "Q-P-S-KD", "KD-S", "P-S-S-KD", "P-KD-S-Q"])
def test_an_s_without_a_p_or_in_the_middle_is_refused(text):
    with pytest.raises(ValueError, match="S in pipeline"):
        pipeline.parse(text)


@pytest.mark.parametrize("structure", ["unstructured", "2:4"])
def test_only_whole_units_can_be_cut_out(structure):
    with pytest.raises(ValueError, match="structure must be heads, neurons"):
        Configuration("P-S", **(HOW | {"structure": structure}))


def test_axes_are_combined_before_they_are_checked():
    found = product([(8, 0.5)], pipeline=["P-S"], structure=["heads"])
    assert [c.structure for c in found] == ["heads"]


@pytest.mark.slow
def test_training_after_s_is_a_program_of_its_own(teacher, settings, tmp_path):
    """And its students are distilled from the whole teacher: no leading KD is left out."""
    asked = [dataclasses.replace(c, alpha=1.0) for c in ALL if c.pipeline in ("P-S-KD", "P-S-FT")]
    trained = {}

    class Recorder:
        def references(self, known):
            return []

        def examine(self, config, apply, configuration, deployed, wall_s):
            trained[configuration.pipeline] = config, deployed.params
            return {"config_id": configuration.config_id, "kind": "configuration", "status": "ok"}

    compiles = engine.run_sweep(asked, teacher, settings, Recorder(), tmp_path, progress=Silent())
    assert list(compiles.values()) == [1]
    one, other = (compress.flatten(trained[p][1]) for p in ("P-S-KD", "P-S-FT"))
    assert any(not np.array_equal(one[path], other[path]) for path in one)
