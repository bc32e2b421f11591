"""The smaller student, and the one that reads fewer views, start as parts of their teacher."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.model import (
    build,
    param_shapes,
    prepare,
    reading,
    smaller,
    start_reading,
    start_smaller,
)


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


@pytest.mark.parametrize("views", [("grid",), ("csi", "grid"), ("grid", "csi", "iq")])
def test_a_model_of_fewer_views_has_its_own_shapes_and_the_teachers_numbers(config, params, views):
    student = reading(config, views)
    started = start_reading(student, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(started, param_shapes(student))
    left_out = {name.removeprefix("embed_") for name in set(params) - set(started)}
    assert left_out == {"grid", "csi", "spectrogram", "iq"} - set(views)
    chex.assert_trees_all_equal(started, {name: params[name] for name in started})


def test_what_it_does_not_read_does_not_matter(config, params, batch):
    """Inputs made for its teacher, and inputs made of its own views alone, are the same to it."""
    student = reading(config, ("grid", "csi"))
    apply, started = jax.jit(build(student, jax.random.key(0))[0]), start_reading(student, params)
    own, _ = jax.jit(prepare, static_argnums=0)(student, batch.frame, batch.inputs.modulation)
    assert set(own.views) < set(batch.inputs.views)
    chex.assert_trees_all_close(
        apply(started, own), apply(started, batch.inputs), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("views", [("csi", "iq"), (), ("grid", "radar")])
def test_views_that_no_student_can_read_alone(config, views):
    with pytest.raises(ValueError, match="views must be grid, and others of grid, csi"):
        reading(config, views)
