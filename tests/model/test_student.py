"""The smaller student starts as a part of its teacher."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.model import build, param_shapes, smaller, start_smaller


@pytest.fixture(scope="module")
def student(config):
    return smaller(config)


@pytest.fixture(scope="module")
def started(config, student, params):
    return start_smaller(config, student, params)


def kept_neurons(params):
    """The half of largest norm in product, by a full sort in float64."""
    mlp = jax.tree.map(lambda w: np.asarray(w, np.float64), params["block_0"]["mlp"])
    up, down = mlp["up"]["kernel"], mlp["down"]["kernel"]
    importance = np.sqrt((up**2).sum(0)) * np.sqrt((down**2).sum(1))
    return np.sort(np.argsort(importance)[32:])


def test_shapes_are_the_smaller_models(student, started):
    chex.assert_trees_all_equal_structs(started, param_shapes(student))
    chex.assert_trees_all_equal_shapes_and_dtypes(started, param_shapes(student))


def test_neurons_of_largest_norm_are_copied_in_their_order(params, started):
    keep = kept_neurons(params)
    mine, teachers = started["block_0"]["mlp"], params["block_0"]["mlp"]
    np.testing.assert_array_equal(mine["up"]["kernel"], teachers["up"]["kernel"][:, keep])
    np.testing.assert_array_equal(mine["up"]["bias"], teachers["up"]["bias"][keep])
    np.testing.assert_array_equal(mine["down"]["kernel"], teachers["down"]["kernel"][keep])
    np.testing.assert_array_equal(mine["down"]["bias"], teachers["down"]["bias"])


def test_everything_else_is_copied(params, started):
    assert set(started) == set(params) - {"block_1"}
    for name in set(started) - {"block_0"}:
        chex.assert_trees_all_equal(started[name], params[name])
    chex.assert_trees_all_equal(started["block_0"]["attention"], params["block_0"]["attention"])


def test_it_computes_what_the_teacher_does_without_the_rest(
    config, student, params, started, apply, batch
):
    """A block whose outputs are zero is none at all, and so is such a neuron."""
    cut = {**params, "block_1": jax.tree.map(lambda w: w, params["block_1"])}
    for branch, layer in (("attention", "out"), ("mlp", "down")):
        zeros = jax.tree.map(jnp.zeros_like, cut["block_1"][branch][layer])
        cut["block_1"][branch] = {**cut["block_1"][branch], layer: zeros}
    mlp = params["block_0"]["mlp"]
    keep = jnp.zeros((64, 1)).at[kept_neurons(params)].set(1.0)
    down = {**mlp["down"], "kernel": mlp["down"]["kernel"] * keep}
    cut["block_0"] = {**params["block_0"], "mlp": {**mlp, "down": down}}
    small = jax.jit(build(student, jax.random.key(0))[0])(started, batch.inputs)
    chex.assert_trees_all_close(small, apply(cut, batch.inputs), rtol=1e-4, atol=1e-4)
