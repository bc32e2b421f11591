"""Points of the model: all there, named as documented, and invisible unless asked for."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.compress import flatten, input_statistics
from wfm_jax.model import (
    PRESETS,
    activation_points,
    attention_points,
    build,
    output_points,
    preset,
    recording,
    sample_batch,
)

KERNELS = {
    "attention/input": ("attention/query", "attention/key", "attention/value"),
    "attention/mixed": ("attention/out",),
    "mlp/input": ("mlp/up",),
    "mlp/hidden": ("mlp/down",),
}


def every_point(config):
    return activation_points(config) + attention_points(config) + output_points(config)


def met_by(config):
    """Shapes of what passes each point, of two frames."""
    met = {}

    def at(point, x):
        assert point not in met
        met[point] = x.shape
        return x

    def run(key):
        apply, params = build(config, key)
        return apply(params, sample_batch(config, key=key, batch_size=2).inputs, at=at)

    jax.eval_shape(run, jax.random.key(0))
    return met


@pytest.mark.parametrize("name", [name for name in PRESETS if name not in ("base", "large")])
def test_every_preset_meets_exactly_its_points(name):
    config = preset(name)
    met = met_by(config)
    assert sorted(met) == sorted(every_point(config))
    rows, d = 2 * config.n_tokens, config.d_model
    for i in range(config.n_layers):
        inner = config.heads[i] * config.head_dim
        maps = (2, config.heads[i], config.n_tokens, config.n_tokens)
        assert met[f"block_{i}/attention/input"] == (rows, d)
        assert met[f"block_{i}/attention/share"] == maps
        assert met[f"block_{i}/attention/mixed"] == (rows, inner)
        assert met[f"block_{i}/mlp/input"] == (rows, d)
        assert met[f"block_{i}/mlp/hidden"] == (rows, config.mlp_widths[i])
        assert met[f"block_{i}/output"] == (rows, d)


def test_a_missing_branch_has_no_points(config):
    config = dataclasses.replace(config, heads=(0, 2), mlp_widths=(8, 0))
    assert sorted(met_by(config)) == sorted(every_point(config))
    assert activation_points(config) == (
        "block_0/mlp/input",
        "block_0/mlp/hidden",
        "block_1/attention/input",
        "block_1/attention/mixed",
    )
    assert attention_points(config) == ("block_1/attention/share",)


@pytest.fixture(scope="module")
def recorded(config, built, params, batch):
    """Outputs of the model and what passed its points."""
    return jax.jit(recording(built[0], every_point(config)))(params, batch.inputs)


def test_recording_changes_nothing(apply, params, batch, recorded):
    chex.assert_trees_all_close(recorded[0], apply(params, batch.inputs), rtol=1e-5, atol=1e-5)


def test_points_are_the_inputs_of_all_kernels_of_the_blocks(config, built, params, batch, recorded):
    """Against what a trace of the program finds to be multiplied by each kernel."""
    seen = functools.partial(input_statistics, built[0], pattern="block_*/kernel")
    stats = jax.jit(seen)(params, batch.inputs)
    kernels = {path for path in flatten(params) if path.startswith("block_") and "kernel" in path}
    found = set()
    for point in activation_points(config):
        block, _, name = point.partition("/")
        for layer in KERNELS[name]:
            leaf = stats[f"{block}/{layer}/kernel"]
            x = recorded[1][point]
            np.testing.assert_allclose(leaf.absolute, jnp.sum(jnp.abs(x), axis=0), rtol=1e-4)
            np.testing.assert_allclose(leaf.count, x.shape[0])
            found.add(f"{block}/{layer}/kernel")
    assert found == kernels


def test_attention_maps_are_shares(config, recorded):
    for point in attention_points(config):
        share = recorded[1][point]
        assert share.dtype == jnp.float32
        assert float(share.min()) >= 0
        np.testing.assert_allclose(jnp.sum(share, axis=-1), 1.0, rtol=1e-5)


def test_what_at_returns_goes_on(built, params, batch):
    """The second block shut off: its residual stream is that of the first."""

    def shut(point, x):
        closed = ("block_1/attention/mixed", "block_1/mlp/hidden")
        return jnp.zeros_like(x) if point in closed else x

    record = jax.jit(
        functools.partial(recording(built[0], ("block_0/output", "block_1/output")), at=shut)
    )
    _, passed = record(params, batch.inputs)
    biases = sum(params["block_1"][branch][last]["bias"] for branch, last in
                 (("attention", "out"), ("mlp", "down")))  # fmt: skip
    np.testing.assert_allclose(
        passed["block_1/output"], passed["block_0/output"] + biases, rtol=1e-4, atol=1e-4
    )


def test_a_rematerialised_model_has_the_same_points(config, built, params, batch):
    """Also where ``at`` holds traced values, and backwards."""
    again, _ = build(config, jax.random.key(0), remat=True)

    def slope(apply, factor):
        def total(params, factor):
            outputs = apply(params, batch.inputs, at=lambda point, x: x * factor)
            return jnp.sum(outputs.snr_db)

        return jax.grad(total)(params, factor)

    kept, made_anew = (jax.jit(functools.partial(slope, f))(0.9) for f in (built[0], again))
    chex.assert_trees_all_close(kept, made_anew, rtol=1e-3, atol=1e-4)


def test_an_unknown_point_is_an_error(built, params, batch):
    with pytest.raises(ValueError, match=r"^the model has no block_7/mlp/input, only block_0/att"):
        jax.eval_shape(recording(built[0], ("block_7/mlp/input",)), params, batch.inputs)
