"""The factored model: ranks and counts as the share says, kernels the nearest of their rank."""

import dataclasses
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import small
from wfm_jax.compress import flatten
from wfm_jax.model import build, dense_shapes, factorise_model, param_shapes

SHARES = (0.01, 0.3, 0.5, 0.75, 0.99)


@pytest.fixture(scope="module")
def lean(config):
    """One layer whose MLP is wider than the stream, reading one view."""
    return dataclasses.replace(config, heads=(3,), mlp_widths=(40,), head_dim=4, views=("csi",))


@pytest.fixture(scope="module")
def params(lean):
    return small.moved(build(lean, jax.random.key(0))[1], 0.1)


def size(tree):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def largest_rank(n_in, n_out, share):
    """By counting up; None where the layer stays plain."""
    if n_in + n_out >= n_in * n_out:
        return None
    pays = [r for r in range(1, min(n_in, n_out)) if (n_in + n_out) * r <= share * n_in * n_out]
    return max(pays, default=1)


@pytest.mark.parametrize("share", SHARES)
def test_ranks_are_the_largest_of_the_share_and_parameters_are_counted(lean, params, share):
    config, factors = factorise_model(lean, params, share)
    shapes = dense_shapes(lean)
    assert dict(config.ranks) == {layer: largest_rank(*s, share) for layer, s in shapes.items()}
    assert dataclasses.replace(config, ranks=()) == lean
    chex.assert_trees_all_equal_shapes_and_dtypes(factors, param_shapes(config))
    fewer = sum(math.prod(s) - sum(s) * largest_rank(*s, share) for s in shapes.values())
    assert size(factors) == size(params) - fewer


def test_products_are_the_nearest_of_their_rank_and_all_else_the_same_objects(lean, params):
    config, factors = factorise_model(lean, params, 0.5)
    before, after = flatten(params), flatten(factors)
    for layer, rank in config.ranks:
        w = np.asarray(before.pop(f"{layer}/kernel"), np.float64)
        a, b = (np.asarray(after.pop(f"{layer}/{f}/kernel")) for f in ("reduce", "expand"))
        left, singular, right = np.linalg.svd(w, full_matrices=False)
        nearest = (left[:, :rank] * singular[:rank]) @ right[:rank]
        np.testing.assert_allclose(a @ b, nearest, atol=1e-5)
        assert after.pop(f"{layer}/expand/bias") is before.pop(f"{layer}/bias")
    assert before.keys() == after.keys()
    assert all(after[path] is leaf for path, leaf in before.items())


@pytest.mark.slow
def test_it_answers_what_the_model_with_truncated_kernels_does(lean, params, batch):
    config, factors = factorise_model(lean, params, 0.5)
    truncated = jax.tree.map(lambda w: w, params)
    for layer, rank in config.ranks:
        block, branch, name = layer.split("/")
        left, singular, right = np.linalg.svd(params[block][branch][name]["kernel"])
        kernel = (left[:, :rank] * singular[:rank]) @ right[:rank]
        truncated[block][branch][name]["kernel"] = jnp.asarray(kernel)
    answer, plain = (jax.jit(build(c, jax.random.key(0))[0]) for c in (config, lean))
    one, other = answer(factors, batch.inputs), plain(truncated, batch.inputs)
    whole = plain(params, batch.inputs)
    for name, x, y in zip(one._fields, one, other, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5 * np.abs(y).max(), err_msg=name)
    assert float(jnp.abs(one.snr_db - whole.snr_db).max()) > 0.01


def test_all_of_it_gives_back_the_same_objects(lean, params):
    config, same = factorise_model(lean, params, 1.0)
    assert config is lean
    assert same is params


@pytest.mark.slow
def test_twice_is_once_and_less_is_what_less_of_the_whole_is(lean, params):
    half = factorise_model(lean, params, 0.5)
    again = factorise_model(*half, 0.5)
    assert again[0] is half[0]
    assert again[1] is half[1]
    assert factorise_model(*half, 0.9)[1] is half[1]
    config, factors = factorise_model(*half, 0.25)
    at_once, wanted = factorise_model(lean, params, 0.25)
    assert config == at_once
    for layer, _ in config.ranks:
        one, other = (
            np.asarray(flatten(p)[f"{layer}/reduce/kernel"])
            @ np.asarray(flatten(p)[f"{layer}/expand/kernel"])
            for p in (factors, wanted)
        )
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_rank_that_shrinking_left_above_its_layer_stays_until_it_pays_to_lower_it(lean):
    """A single neuron: no rank is worth two factors, whatever the share."""
    config = dataclasses.replace(lean, mlp_widths=(1,), ranks=(("block_0/mlp/up", 3),))
    params = build(config, jax.random.key(0))[1]
    assert factorise_model(config, params, 1.0) == (config, params)
    lowered, _ = factorise_model(config, params, 0.5)
    assert dict(lowered.ranks)["block_0/mlp/up"] == 3
    assert "block_0/mlp/down" not in dict(lowered.ranks)
    assert dict(lowered.ranks)["block_0/attention/query"] == 3


def test_bad_input_is_named(lean, params):
    for share in (0.0, 1.01, float("nan")):
        with pytest.raises(ValueError, match=r"^share must be in \(0, 1\], got"):
            factorise_model(lean, params, share)
    broken = jax.tree.map(lambda w: w, params)
    broken["block_0"]["mlp"]["down"]["kernel"] *= jnp.nan
    with pytest.raises(ValueError, match=r"^block_0/mlp/down: w must be a kernel .* without NaN"):
        factorise_model(lean, broken, 0.5)
