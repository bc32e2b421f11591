import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.compress import (
    absmax_scale,
    fake_quant,
    mse_scale,
    percentile_scale,
    quantize,
    store_half,
)
from wfm_jax.compress.half import round_to_half

KEY = jax.random.key(1)
RNG = np.random.default_rng(1)
PARAMS = {
    "kernel": jnp.asarray(RNG.normal(size=(32, 12)), jnp.float32),
    "bias": jnp.arange(12.0) / 3,
    "heads": jnp.asarray(RNG.normal(size=(32, 2, 12)), jnp.float32),
}


def stage(transform, params=PARAMS):
    return transform.update(params, transform.init(params, key=KEY))


def test_update_calibrates_and_apply_snaps():
    transform = quantize(4)
    params, state = stage(transform)
    assert params is PARAMS
    assert set(state.scale) == set(state.bits) == {"kernel", "heads"}
    np.testing.assert_array_equal(state.scale["kernel"], absmax_scale(PARAMS["kernel"], 4))
    assert state.bits["kernel"].dtype == jnp.float32
    snapped = transform.apply(params, state)
    chex.assert_trees_all_equal(snapped["kernel"], fake_quant(PARAMS["kernel"], 4))
    chex.assert_trees_all_equal(snapped["heads"], fake_quant(PARAMS["heads"], 4))
    assert snapped["bias"] is PARAMS["bias"]


def test_init_has_the_structure_of_update_and_changes_nothing():
    transform = quantize(3, group_size=2)
    before = transform.init(PARAMS, key=KEY)
    _, after = stage(transform)
    chex.assert_trees_all_equal_shapes_and_dtypes(before, after)
    chex.assert_trees_all_equal(transform.apply(PARAMS, before), PARAMS)


@pytest.mark.parametrize("bound", ["restricted", "half_step"])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_snapped_weights_stay_and_the_grid_does_not_follow_the_weights(bits, bound):
    transform = quantize(bits, bound=bound)
    _, state = stage(transform)
    snapped = transform.apply(PARAMS, state)
    chex.assert_trees_all_equal(transform.apply(snapped, state), snapped)
    larger = transform.apply({**PARAMS, "kernel": 10 * PARAMS["kernel"]}, state)
    highest = jnp.abs(state.scale["kernel"]).max() * 2 ** (bits - 1)
    assert float(jnp.abs(larger["kernel"]).max()) <= float(highest)


@pytest.mark.parametrize(
    "scale, rule",
    [
        ("absmax", absmax_scale),
        ("mse", mse_scale),
        ("percentile", percentile_scale),
        (percentile_scale, percentile_scale),
        ("auto", mse_scale),
    ],
)
def test_scale_rules(scale, rule):
    _, state = stage(quantize(3, scale=scale))
    np.testing.assert_array_equal(state.scale["kernel"], rule(PARAMS["kernel"], 3))


@pytest.mark.parametrize("bits, expected", [(4, 8), (8, 8), (32, 32)])
def test_min_bits_is_a_floor(bits, expected):
    _, state = stage(quantize(bits, min_bits=8))
    assert float(state.bits["kernel"]) == expected


def test_traced_bits_equal_static_bits_in_one_program():
    def run(params, bits):
        transform = quantize(bits, min_bits=3)
        params, state = stage(transform, params)
        return transform.apply(params, state)

    bits = jnp.array([2, 3, 4, 8, 16, 32])
    many = jax.jit(jax.vmap(run, (None, 0)))(PARAMS, bits)
    for i, b in enumerate(bits):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], many)
        chex.assert_trees_all_close(one, run(PARAMS, int(b)), rtol=1e-6)


def test_update_vmaps_over_params_states_and_bits():
    params = jax.tree.map(lambda w: jnp.stack([w, 2 * w]), PARAMS)
    states = jax.vmap(lambda p: quantize(8).init(p, key=KEY))(params)
    _, new = jax.vmap(lambda p, s, b: quantize(b).update(p, s))(params, states, jnp.array([4, 8]))
    np.testing.assert_array_equal(new.bits["kernel"], [4, 8])
    np.testing.assert_array_equal(new.scale["kernel"][0], absmax_scale(PARAMS["kernel"], 4))


def test_rejects_bad_arguments():
    with pytest.raises(ValueError, match="bits must be 2 to 8"):
        quantize(12)
    with pytest.raises(ValueError, match="min_bits must be 2 to 8"):
        quantize(8, min_bits=1)
    with pytest.raises(ValueError, match=r"scale must be 'auto', 'absmax'.*'max'"):
        quantize(8, scale="max")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="bound must be"):
        quantize(8, bound="none")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="group_size=5 does not divide"):
        quantize(8, group_size=5).init(PARAMS, key=KEY)


def test_names_the_leaf_that_holds_nan():
    broken = {**PARAMS, "kernel": PARAMS["kernel"].at[0, 0].set(jnp.nan)}
    with pytest.raises(ValueError, match=r"params\['kernel'\] holds NaN"):
        stage(quantize(4), broken)


def test_store_half_rounds_to_float16_once_updated():
    transform = store_half()
    off = transform.init(PARAMS, key=KEY)
    chex.assert_trees_all_equal(transform.apply(PARAMS, off), PARAMS)
    _, on = transform.update(PARAMS, off)
    chex.assert_trees_all_equal_shapes_and_dtypes(on, off)
    stored = transform.apply(PARAMS, on)
    expected = jax.tree.map(lambda w: w.astype(jnp.float16).astype(jnp.float32), PARAMS)
    chex.assert_trees_all_equal(stored, expected)
    assert float(jnp.abs(stored["bias"] - PARAMS["bias"]).max()) > 0
    grads = jax.grad(lambda p: sum(jnp.sum(w) for w in transform.apply(p, on).values()))(PARAMS)
    chex.assert_trees_all_equal(grads, jax.tree.map(jnp.ones_like, PARAMS))


@pytest.mark.parametrize("run", [lambda f: f, jax.jit])
def test_rounding_to_half_is_that_of_float16_down_to_its_smallest(run):
    """Every float16, what lies between two, and what lies beyond."""
    with np.errstate(invalid="ignore"):
        every = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
    rng = np.random.default_rng(0)
    between = rng.normal(size=10_000) * 10.0 ** rng.uniform(-9, 5, 10_000)
    w = np.concatenate([every[np.isfinite(every)], between, [1e6, -1e6]]).astype(np.float32)
    expected = np.clip(w, -65504, 65504).astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(run(round_to_half)(w), expected)


def test_store_half_saturates_and_skips_integers():
    params = {"scale": jnp.array([1e6, -1e6]), "step": jnp.array(70000)}
    transform = store_half()
    _, on = stage(transform, params)
    stored = transform.apply(params, on)
    assert stored["scale"].tolist() == [65504, -65504]
    assert stored["step"] is params["step"]
