"""The contract of every transform, on every kind of parameters, under every transformation."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from flax.core import FrozenDict

from wfm_jax.compress import (
    NM,
    Blocks,
    Coupling,
    LeafStats,
    Outputs,
    Part,
    Transform,
    awq_quantize,
    chain,
    erk,
    flatten,
    gptq_quantize,
    identity,
    low_rank,
    magnitude_prune,
    matching,
    nf4,
    per_layer,
    per_output,
    prune,
    prune_units,
    quantize,
    quantize_affine,
    random_score,
    store_half,
    taylor,
    wanda,
)

KEY = jax.random.key(21)
W = jnp.asarray(np.random.default_rng(21).normal(size=(32, 12)), jnp.float32)
SETTINGS = jnp.array([0.0, 0.5, 1.0])


def bits(x):
    return jnp.array([2, 4, 32])[(2 * x).astype(jnp.int32)]


def fed(transform):
    """The transform, given statistics of every leaf."""

    def stats_of(w):
        power = 1 + jnp.arange(w.shape[0]) % 3.0
        gradient = jnp.arange(1.0, w.size + 1).reshape(w.shape)
        return LeafStats(jnp.float32(5), jnp.diag(power) + 0.5, jnp.sqrt(power), gradient)

    def update(params, state, stats=None):
        assert stats is None
        return transform.update(params, state, {p: stats_of(w) for p, w in flatten(params).items()})

    return Transform(transform.init, update, transform.apply)


def on_outputs(make):
    """The transform, given couplings of every kernel's outputs with the bias beside it."""

    def of(params):
        flat = flatten(params)
        pairs = [(p, p.replace("kernel", "bias")) for p in flat if p.endswith("kernel")]
        parts = [tuple(Part(p, flat[p].ndim - 1, 3) for p in pair if p in flat) for pair in pairs]
        return make([Coupling(each[0].path, 4, each) for each in parts])

    return Transform(
        lambda params, *, key: of(params).init(params, key=key),
        lambda params, state, stats=None: of(params).update(params, state, stats),
        lambda params, state: of(params).apply(params, state),
    )


def by_path(make):
    """The transform, given the names of all kernels."""
    return Transform(
        lambda params, *, key: make(params).init(params, key=key),
        lambda params, state, stats=None: make(params).update(params, state, stats),
        lambda params, state: make(params).apply(params, state),
    )


TRANSFORMS = {
    "identity": lambda x: identity(),
    "magnitude_prune": lambda x: magnitude_prune(0.9 * x, distribution="uniform"),
    "prune_blocks": lambda x: matching(
        "*kernel", prune(0.9 * x, score=random_score, distribution=erk, structure=Blocks(4, 3))
    ),
    "prune_2_of_4": lambda x: fed(
        matching("*kernel", prune(None, score=wanda, structure=NM(2, 4)))
    ),
    "prune_per_output": lambda x: fed(
        matching("*kernel", prune(0.9 * x, score=taylor, distribution=per_output))
    ),
    "prune_outputs": lambda x: matching(
        "*kernel", prune(None, distribution=per_layer({"*": 0.9 * x}), structure=Outputs())
    ),
    "quantize_by_path": lambda x: matching(
        "*kernel", by_path(lambda names: quantize(dict.fromkeys(names, bits(x))))
    ),
    "gptq_by_path": lambda x: fed(
        matching("*kernel", by_path(lambda names: gptq_quantize(dict.fromkeys(names, bits(x)))))
    ),
    "quantize": lambda x: quantize(bits(x), bound="half_step", group_size=4, min_bits=3),
    "quantize_affine": lambda x: quantize_affine(bits(x), group_size=4, min_bits=3),
    "nf4": lambda x: nf4(x > 0.2, block_size=16, double_quant=True),
    "gptq": lambda x: fed(gptq_quantize(bits(x), group_size=4, min_bits=3, scale="absmax")),
    "awq": lambda x: fed(awq_quantize(bits(x), bound="half_step", group_size=4)),
    "prune_gptq": lambda x: fed(
        chain(magnitude_prune(0.9 * x), gptq_quantize(bits(x), scale="absmax"))
    ),
    "store_half": lambda x: store_half(),
    "prune_units": lambda x: on_outputs(lambda couplings: prune_units(0.9 * x, couplings)),
    "low_rank": lambda x: low_rank(1 - 0.9 * x),
    "chain": lambda x: chain(
        magnitude_prune(0.9 * x), quantize(bits(x), scale="absmax"), store_half()
    ),
    "matching": lambda x: chain(
        matching("*kernel", magnitude_prune(0.9 * x)), matching("*bias", store_half())
    ),
}


class LinenModel(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.LayerNorm()(nn.Dense(12)(x))


def linen_params():
    return FrozenDict(LinenModel().init(KEY, jnp.ones((1, 32))))


def nnx_params():
    rngs = nnx.Rngs(0)
    return nnx.state(
        nnx.Sequential(nnx.Linear(32, 12, rngs=rngs), nnx.LayerNorm(12, rngs=rngs)), nnx.Param
    )


def dict_params():
    return {
        "block_0": {
            "dense": {"kernel": W, "bias": jnp.zeros(12) + 0.3},
            "norm": {"scale": jnp.ones(12), "bias": jnp.zeros(12)},
        },
        "head": {"kernel": W.astype(jnp.bfloat16)},
    }


PARAMS = {"linen": linen_params, "nnx": nnx_params, "dict": dict_params}

every_transform = pytest.mark.parametrize("make", TRANSFORMS.values(), ids=TRANSFORMS)
OF_ENTRIES = {name: make for name, make in TRANSFORMS.items() if name != "low_rank"}
every_transform_of_entries = pytest.mark.parametrize("make", OF_ENTRIES.values(), ids=OF_ENTRIES)
every_params = pytest.mark.parametrize("params", [f() for f in PARAMS.values()], ids=PARAMS)
every_params_but_two_slow = pytest.mark.parametrize(
    "params",
    [
        pytest.param(f(), id=name, marks=[] if name == "dict" else pytest.mark.slow)
        for name, f in PARAMS.items()
    ],
)


def compress(make, params, setting):
    transform = make(setting)
    new, state = transform.update(params, transform.init(params, key=KEY))
    return new, state, transform.apply(new, state)


def raw(tree):
    """The tree with random keys as plain integers, so that it can be compared."""
    return jax.tree.map(
        lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x,
        tree,
    )


@every_transform
@every_params
def test_contract(make, params):
    transform = make(jnp.float32(0.5))
    before = transform.init(params, key=KEY)
    chex.assert_trees_all_equal(transform.apply(params, before), params)

    new, state, seen = compress(make, params, jnp.float32(0.5))
    for tree in (new, seen):
        assert jax.tree.structure(tree) == jax.tree.structure(params)
        chex.assert_trees_all_equal_shapes_and_dtypes(tree, params)
    assert jax.tree.structure(before) == jax.tree.structure(state)
    chex.assert_trees_all_equal_shapes_and_dtypes(raw(before), raw(state))
    again = transform.apply(seen, state)
    if make is TRANSFORMS["low_rank"]:  # a projection, in floating point
        for x, y in zip(*map(jax.tree.leaves, (again, seen)), strict=True):
            rounding = float(jnp.finfo(y.dtype).eps) * float(jnp.max(jnp.abs(y)))
            np.testing.assert_allclose(x, y, rtol=0, atol=32 * rounding)  # the longest sum
    else:
        chex.assert_trees_all_equal(again, seen)


@every_transform
@every_params_but_two_slow
def test_jit_and_vmap_over_settings_equal_the_loop(make, params):
    many = jax.jit(jax.vmap(lambda p, x: compress(make, p, x)[1:], (None, 0)))(params, SETTINGS)
    for i, setting in enumerate(SETTINGS):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], many)
        chex.assert_trees_all_close(
            raw(one), raw(compress(make, params, setting)[1:]), rtol=1e-5, atol=1e-6
        )


@every_transform_of_entries
@every_params_but_two_slow
def test_gradient_is_one_where_weights_stay_and_zero_where_not(make, params):
    transform = make(jnp.float32(0.5))
    new, state = transform.update(params, transform.init(params, key=KEY))

    def total(p):
        return sum(
            jnp.sum(leaf.astype(jnp.float32)) for leaf in jax.tree.leaves(transform.apply(p, state))
        )

    grads = jax.tree.leaves(jax.grad(total)(new))
    assert all(bool(((g == 0) | (g == 1)).all()) for g in grads)
    kept = sum(int(g.astype(jnp.int32).sum()) for g in grads)
    assert (kept < sum(g.size for g in grads)) == bool(
        any(leaf.dtype == bool and not leaf.all() for leaf in jax.tree.leaves(state))
    )


def test_states_stack_under_lax_map():
    params, make = dict_params(), TRANSFORMS["chain"]
    states = jax.jit(jax.vmap(lambda x: compress(make, params, x)[1]))(SETTINGS)
    apply = make(jnp.float32(0)).apply
    mapped = jax.lax.map(lambda s: apply(params, s), states)
    chex.assert_trees_all_equal(mapped, jax.vmap(apply, (None, 0))(params, states))
