"""What is cut out computes what was masked."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from flax.core import FrozenDict

from tests.compress.nets import ALL, HEADS, MIX, MLP, NEURONS, forward, params
from wfm_jax.compress import (
    Coupling,
    Part,
    fake_quant,
    flatten,
    kept_units,
    prune_units,
    quantize,
    shrink,
    shrink_scales,
)

KEY = jax.random.key(9)
X = jnp.asarray(np.random.default_rng(9).normal(size=(7, 6)), jnp.float32)
BOTH = (HEADS, NEURONS)


@functools.partial(jax.jit, static_argnums=1)
def masks(sparsity, couplings):
    method = prune_units(sparsity, couplings)
    state = method.update(params(), method.init(params(), key=KEY))[1]
    return state.units, method.apply(params(), state)


@pytest.mark.parametrize("sparsity", [0.0, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("couplings", [(HEADS,), (NEURONS,), BOTH, (MIX, MLP), ALL])
def test_shrunk_equals_masked(sparsity, couplings):
    units, masked = masks(sparsity, couplings)
    wanted = forward(masked, X)
    for given in (params(), masked):
        small = shrink(given, units, couplings)
        # Answers are differences of large numbers: the largest says how much rounding there is.
        rounding = 1e-6 * float(np.abs(wanted).max())
        np.testing.assert_allclose(forward(small, X), wanted, rtol=1e-5, atol=rounding)
    weights = sum(w.size for w in jax.tree.leaves(small))
    nonzero = sum(int((w != 0).sum()) for w in jax.tree.leaves(masked))
    assert weights == nonzero


def test_sizes_are_those_of_the_kept_units():
    units, _ = masks(0.5, BOTH)
    shapes = jax.tree.map(jnp.shape, shrink(params(), units, BOTH))
    assert shapes == {
        "mix": {"kernel": (6, 6), "bias": (6,)},
        "out": {"kernel": (6, 6), "bias": (6,)},
        "up": {"kernel": (6, 5), "bias": (5,)},
        "down": {"kernel": (5, 6), "bias": (6,)},
        "head": {"kernel": (6, 2), "bias": (2,)},
    }
    small, kept = shrink(params(), units, BOTH), kept_units(units)
    assert {name: len(index) for name, index in kept.items()} == {"heads": 2, "neurons": 5}
    np.testing.assert_array_equal(
        small["down"]["kernel"], params()["down"]["kernel"][kept["neurons"]]
    )


def test_what_is_not_cut_is_the_same_object_and_what_is_gone_is_not_there():
    given = params()
    units = {"mix": np.array([False]), "mlp": np.array([True])}
    small = shrink(given, units, (MIX, MLP))
    assert set(small) == {"up", "down", "head"}
    assert all(small[name][leaf] is given[name][leaf] for name in small for leaf in small[name])
    assert set(given) == {"mix", "out", "up", "down", "head"}


def test_an_array_shrinks_on_both_axes():
    w = jnp.arange(24.0).reshape(4, 6)
    rows = Coupling("rows", 4, (Part("w", 0, 1),))
    columns = Coupling("columns", 3, (Part("w", 1, 2),))
    units = {"rows": np.array([1, 0, 1, 0], bool), "columns": np.array([0, 1, 1], bool)}
    small = shrink({"w": w}, units, (rows, columns))
    np.testing.assert_array_equal(small["w"], w[::2, 2:])


def test_other_containers_stay_what_they_are():
    units, _ = masks(0.5, BOTH)
    frozen = shrink(FrozenDict(params()), units, BOTH)
    assert isinstance(frozen, FrozenDict)
    chex.assert_trees_all_equal(frozen.unfreeze(), shrink(params(), units, BOTH))

    state = nnx.state(nnx.Linear(6, 4, rngs=nnx.Rngs(0)), nnx.Param)
    outputs = Coupling("outputs", 2, (Part("kernel", 1, 2), Part("bias", 0, 2)), least=0)
    small = shrink(state, {"outputs": np.array([True, False])}, [outputs])
    assert isinstance(small, nnx.State)
    assert {path: w.shape for path, w in flatten(small).items()} == {"bias": (2,), "kernel": (6, 2)}
    assert not flatten(shrink(state, {"outputs": np.zeros(2, bool)}, [outputs]))


@pytest.mark.parametrize("group_size", [None, 3, 6])
def test_snapped_weights_stay_snapped_with_the_shrunk_scales(group_size):
    given = params()
    method = quantize(4, scale="absmax", group_size=group_size)
    given = {name: {"kernel": given[name]["kernel"]} for name in ("mix", "out")}
    state = method.update(given, method.init(given, key=KEY))[1]
    snapped = method.apply(given, state)
    heads = HEADS._replace(parts=(HEADS.parts[0], HEADS.parts[2]))
    units = {"heads": np.array([False, False, True, True])}
    small = shrink(snapped, units, [heads])
    scales = shrink_scales(state.scale, units, [heads])
    for path, w in flatten(small).items():
        assert scales[path].shape[1] == w.shape[1]
        np.testing.assert_array_equal(fake_quant(w, 4, scale=scales[path]), w)


def test_a_group_that_shares_a_scale_is_not_cut():
    units = {"heads": np.array([False, True, True, True])}
    scales = {"out/kernel": jnp.ones((2, 6))}
    with pytest.raises(ValueError, match="out/kernel: a group of 6"):
        shrink_scales(scales, units, [HEADS])
    gone = shrink_scales(scales | {"up/kernel": 1}, {"mix": np.array([False])}, [MIX])
    assert gone == {"up/kernel": 1}


@pytest.mark.parametrize(
    "units, message",
    [
        ({"heads": np.ones(4, bool)}, "masks and couplings differ in neurons"),
        ({"heads": np.ones(4, bool), "neurons": np.ones(9, bool)}, r"'neurons' must be bool\[10\]"),
        ({"heads": np.ones(4), "neurons": np.ones(10, bool)}, r"bool\[4\], got float64\[4\]"),
        ({"heads": np.zeros(4, bool), "neurons": np.ones(10, bool)}, "'heads' at least 1 must"),
    ],
)
def test_bad_masks_are_named(units, message):
    with pytest.raises(ValueError, match=message):
        shrink(params(), units, BOTH)


def test_couplings_of_other_parameters_are_refused():
    units, _ = masks(0.5, BOTH)
    with pytest.raises(ValueError, match="'heads' needs 4 x 3 entries"):
        shrink(shrink(params(), units, BOTH), units, BOTH)
