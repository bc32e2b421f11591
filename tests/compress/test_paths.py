import chex
import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from flax import nnx
from flax.core import FrozenDict

from wfm_jax.compress import flatten, matches, unflatten


def nested():
    return {"block": {"dense": {"kernel": jnp.ones((3, 4)), "bias": jnp.zeros(4)}}, "step": 1}


def test_flatten_names_leaves_of_a_nested_dict():
    assert list(flatten(nested())) == ["block/dense/bias", "block/dense/kernel", "step"]


def test_flatten_gives_linen_and_nnx_plain_names():
    linen = nn.Dense(4).init(jax.random.key(0), jnp.ones((1, 3)))
    assert list(flatten(FrozenDict(linen))) == ["params/bias", "params/kernel"]
    state = nnx.state(nnx.Sequential(nnx.Linear(3, 4, rngs=nnx.Rngs(0))), nnx.Param)
    assert list(flatten(state)) == ["layers/0/bias", "layers/0/kernel"]


def test_flatten_of_a_flat_dict_is_that_dict():
    flat = flatten(nested())
    assert flatten(flat) == flat


def test_unflatten_replaces_what_is_named_and_keeps_the_rest():
    params = nested()
    new = unflatten(params, {"block/dense/bias": jnp.ones(4)})
    chex.assert_trees_all_equal(new["block"]["dense"]["bias"], jnp.ones(4))
    assert new["block"]["dense"]["kernel"] is params["block"]["dense"]["kernel"]
    assert new["step"] is params["step"]


def test_unflatten_inverts_flatten_on_an_nnx_state():
    state = nnx.state(nnx.Linear(3, 4, rngs=nnx.Rngs(0)), nnx.Param)
    new = unflatten(state, flatten(state))
    assert jax.tree.structure(new) == jax.tree.structure(state)
    assert all(a is b for a, b in zip(jax.tree.leaves(new), jax.tree.leaves(state), strict=True))


def test_unflatten_rejects_an_unknown_path():
    with pytest.raises(ValueError, match="no such paths in the tree: block/dense/kern"):
        unflatten(nested(), {"block/dense/kern": 0})


def test_flatten_rejects_ambiguous_names():
    with pytest.raises(ValueError, match="two leaves named 'a/b'"):
        flatten({"a/b": 1, "a": {"b": 2}})


@pytest.mark.parametrize(
    "pattern, expected",
    [
        ("*", True),
        ("*/kernel", True),
        ("block_*/kernel", True),
        ("kernel", False),
        ("*/Kernel", False),
        (("*/bias", "*/kernel"), True),
        ((), False),
        (lambda path, leaf: leaf.ndim == 2, True),
        (lambda path, leaf: "query" not in path, False),
    ],
)
def test_matches(pattern, expected):
    assert matches("block_0/query/kernel", pattern, jnp.ones((2, 2))) is expected
