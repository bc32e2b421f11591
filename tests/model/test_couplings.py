"""A shrunk model is an ordinary one that answers what the masked one does, on every head."""

import dataclasses
import functools

import chex
import jax
import numpy as np
import pytest

from tests import small
from wfm_jax.compress import flatten, prune_units
from wfm_jax.compress.couplings import check_couplings
from wfm_jax.model import (
    ModelConfig,
    build,
    couplings,
    param_shapes,
    preset,
    shrink_model,
    shrunk_config,
    smaller,
    start_smaller,
)
from wfm_jax.model.couplings import KINDS
from wfm_jax.train.model_files import load_teacher, save_teacher

KEY = jax.random.key(6)


@pytest.fixture(scope="module")
def uneven(config):
    return dataclasses.replace(config, heads=(2, 3, 4), mlp_widths=(6, 10, 4), head_dim=4)


@pytest.fixture(scope="module")
def network(uneven):
    """``apply``, compiled, and parameters away from their start."""
    apply, params = build(uneven, KEY)
    return jax.jit(apply), small.moved(params, 0.1)


@functools.partial(jax.jit, static_argnums=(0, 2))
def cut(config, params, kinds, sparsity):
    """Units in force and the masked parameters."""
    method = prune_units(sparsity, couplings(config, kinds))
    state = method.update(params, method.init(params, key=KEY))[1]
    return state.units, method.apply(params, state)


def everything_but(config, **gone):
    """Masks of all kinds; of the units named only those given stay."""
    masks = {c.name: np.ones(c.size, bool) for c in couplings(config, KINDS)}
    for name, stays in gone.items():
        masks[name.replace("__", "/")] = np.asarray(stays, bool)
    return masks


def close(a, b):
    """1e-5 of what an output's values are like."""
    for name, x, y in zip(a._fields, a, b, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5 * np.abs(y).max(), err_msg=name)


def answers(config, params, inputs):
    apply = jax.jit(build(config, KEY)[0])
    return apply(params, inputs)


@pytest.mark.parametrize("name", ["pico", "nano"])
def test_couplings_fit_the_model_and_cover_every_kernel_of_its_blocks(name):
    config = preset(name)
    shapes = param_shapes(config)
    leaves = check_couplings(couplings(config), shapes)
    kernels = {p for p in flatten(shapes) if p.startswith("block") and p.endswith("kernel")}
    assert {path for path in leaves if path.endswith("kernel")} == kernels
    assert not any(path.endswith(("out/bias", "down/bias")) for path in leaves)
    whole = check_couplings(couplings(config, KINDS), shapes)
    assert set(whole) == {path for path in flatten(shapes) if path.startswith("block")}


def test_half_of_heads_and_neurons_answers_what_the_masked_model_does(uneven, network, batch):
    apply, params = network
    units, masked = cut(uneven, params, ("heads", "neurons"), 0.5)
    config, shrunk = shrink_model(uneven, params, units)
    assert sum(config.heads) == 9 - 4
    assert sum(config.mlp_widths) == 10
    chex.assert_trees_all_equal_shapes_and_dtypes(shrunk, param_shapes(config))
    close(answers(config, shrunk, batch.inputs), apply(masked, batch.inputs))


def test_layers_and_branches_that_go_leave_no_trace(uneven, network, batch):
    """block_1 is gone and block_2, of which the MLP is left, takes its name."""
    apply, params = network
    units, masked = cut(uneven, params, ("heads", "neurons"), 0.3)
    units |= {"block_1": np.array([False]), "block_2/attention": np.array([False])}
    method = prune_units(0.0, couplings(uneven, ("branches", "layers")))
    state = method.init(params, key=KEY)
    masked = method.apply(masked, state._replace(units=state.units | units))
    config, shrunk = shrink_model(uneven, params, units)
    assert config.n_layers == 2
    assert (config.heads[1], config.mlp_widths[1]) == (0, int(units["block_2/neurons"].sum()))
    chex.assert_trees_all_equal_shapes_and_dtypes(shrunk, param_shapes(config))
    assert set(shrunk["block_1"]) == {"mlp", "mlp_norm"}
    close(answers(config, shrunk, batch.inputs), apply(masked, batch.inputs))


@pytest.mark.parametrize("kind, left", [("branches", 3), ("layers", 1)])
def test_of_branches_and_layers_half_go(uneven, network, kind, left):
    units, _ = cut(uneven, network[1], (kind,), 0.5)
    assert sum(int(mask.sum()) for mask in units.values()) == left
    config = shrunk_config(uneven, units)
    assert sum(h > 0 for h in config.heads) + sum(n > 0 for n in config.mlp_widths) == (
        left if kind == "branches" else 2 * left
    )


def test_a_shrunk_model_shrinks_again_and_its_student_is_smaller(uneven, network):
    units = everything_but(uneven, block_1__mlp=[0], block_2__attention=[0])
    config, params = shrink_model(uneven, network[1], units)
    assert (config.heads, config.mlp_widths) == ((2, 3, 0), (6, 0, 4))
    again, less = shrink_model(config, params, everything_but(config, block_0=[0]))
    assert (again.heads, again.mlp_widths) == ((3, 0), (0, 4))
    chex.assert_trees_all_equal_shapes_and_dtypes(less, param_shapes(again))
    student = smaller(again)
    assert (student.heads, student.mlp_widths) == ((3,), (0,))
    started = start_smaller(again, student, less)
    chex.assert_trees_all_equal_shapes_and_dtypes(started, param_shapes(student))


def test_nothing_masked_changes_nothing(uneven, network):
    for masks in ({}, everything_but(uneven)):
        config, params = shrink_model(uneven, network[1], masks)
        assert config == uneven
        assert all(a is b for a, b in zip(*map(jax.tree.leaves, (params, network[1])), strict=True))


@pytest.mark.parametrize("file", ["model", "model.safetensors"])
def test_a_shrunk_model_is_saved_and_loaded_as_any_other(uneven, network, tmp_path, file):
    units = everything_but(uneven, block_0=[0], block_1__heads=[1, 0, 1])
    config, params = shrink_model(uneven, network[1], units)
    save_teacher(tmp_path / file, config, params, {})
    again = load_teacher(tmp_path / file)
    assert again.config == config
    chex.assert_trees_all_equal(again.params, params)


@pytest.mark.parametrize(
    "masks, message",
    [
        ({"block_3/heads": [1]}, "no such units in the model: block_3/heads"),
        ({"block_0/heads": [0, 0]}, "'block_0/heads' at least 1 must stay"),
        ({"block_0/heads": [1, 1, 0]}, r"'block_0/heads' must be bool\[2\]"),
        ({f"block_{i}": [0] for i in range(3)}, "at least one branch must stay"),
    ],
)
def test_bad_masks_are_named(uneven, network, masks, message):
    with pytest.raises(ValueError, match=message):
        shrink_model(uneven, network[1], {k: np.array(m, bool) for k, m in masks.items()})


def test_other_bad_input_is_named(uneven):
    with pytest.raises(ValueError, match=r"kinds must be of heads.*got experts"):
        couplings(uneven, ("heads", "experts"))
    for heads, widths in (((0, 2), (0, 4)), ((-1, 2), (3, 4)), ((1, 2), (3, -4))):
        with pytest.raises(ValueError, match="heads and mlp_widths must be at least 0"):
            ModelConfig(heads=heads, mlp_widths=widths)
