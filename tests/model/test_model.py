"""The model against its formulas in NumPy, and the properties that compression relies on."""

import dataclasses
import functools
import itertools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax import compress
from wfm_jax.model import Outputs, bit_llrs, build, param_shapes, prepare
from wfm_jax.model.config import VIEWS
from wfm_jax.model.model import interpolate
from wfm_jax.signal import link, mixed_qam, receivers

SUBSETS = [views for n in range(1, 5) for views in itertools.combinations(VIEWS, n)]


def by_path(params):
    return {path: np.asarray(leaf) for path, leaf in compress.flatten(params).items()}


def test_parameters_have_stable_names_and_flat_kernels(built):
    shapes = {path: leaf.shape for path, leaf in by_path(built[1]).items()}
    for i in range(2):
        for layer, shape in {
            "attention/query": (16, 16),
            "attention/key": (16, 16),
            "attention/value": (16, 16),
            "attention/out": (16, 16),
            "mlp/up": (16, 64),
            "mlp/down": (64, 16),
        }.items():
            assert shapes[f"block_{i}/{layer}/kernel"] == shape
            assert shapes[f"block_{i}/{layer}/bias"] == shape[1:]
    kernels = [shape for path, shape in shapes.items() if path.endswith("kernel")]
    assert {len(shape) for shape in kernels} == {2}
    assert all(re.fullmatch(r"[a-z_\d]+(/[a-z_]+)*", path) for path in shapes)
    chex.assert_tree_all_finite(built[1])


def test_kernels_may_differ_between_layers(config):
    uneven = dataclasses.replace(config, heads=(1, 3), head_dim=5, mlp_widths=(7, 2))
    shapes = {path: leaf.shape for path, leaf in compress.flatten(param_shapes(uneven)).items()}
    assert shapes["block_0/attention/query/kernel"] == (16, 5)
    assert shapes["block_1/attention/out/kernel"] == (15, 16)
    assert shapes["block_0/mlp/up/kernel"] == (16, 7)
    assert shapes["block_1/mlp/down/kernel"] == (2, 16)


def test_declared_shapes_are_the_built_ones(config, built):
    declared = param_shapes(config)
    chex.assert_trees_all_equal_structs(declared, built[1])
    chex.assert_trees_all_equal_shapes_and_dtypes(declared, built[1])


def test_build_is_decided_by_its_key(config, built):
    chex.assert_trees_all_equal(build(config, jax.random.key(0))[1], built[1])
    other = by_path(build(config, jax.random.key(1))[1])
    kernel = "block_0/attention/query/kernel"
    assert np.abs(other[kernel] - by_path(built[1])[kernel]).max() > 0.01


def test_the_channel_starts_at_ls(built, apply, batch):
    """The filter over the pilots starts at zero; a correction per element is all that is added."""
    params = dict(built[1])
    assert not np.any(params["head_query"]["kernel"])
    assert not np.any(params["head_query"]["bias"])
    started = apply(params, batch.inputs).channel - batch.inputs.channel_ls
    assert 0.0 < np.abs(started).max() < 1.0
    params["head_element"] = jax.tree.map(jnp.zeros_like, params["head_element"])
    np.testing.assert_array_equal(apply(params, batch.inputs).channel, batch.inputs.channel_ls)


def test_interpolate_is_a_bilinear_filter():
    rng = np.random.default_rng(0)
    query, key = rng.normal(size=(2, 8, 2, 3)), rng.normal(size=(2, 8, 3))
    pilots = rng.normal(size=(2, 4)) + 1j * rng.normal(size=(2, 4))
    expected = np.zeros((2, 8), complex)
    for b, f, p in np.ndindex(2, 8, 4):
        real, imag = (query[b, f, part] @ key[b, 2 * p] / 3 for part in (0, 1))
        expected[b, f] += (real + 1j * imag) * pilots[b, p]
    got = interpolate(*(jnp.asarray(x, jnp.float32) for x in (query, key)), jnp.asarray(pilots))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def reference(config, params, inputs):
    """The forward pass in float64, written from the formulas of a pre-norm transformer."""
    params = {path: leaf.astype(np.float64) for path, leaf in by_path(params).items()}

    def dense(name, x):
        return x @ params[f"{name}/kernel"] + params[f"{name}/bias"]

    def norm(name, x):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
        return x * params[f"{name}/scale"] + params[f"{name}/bias"]

    def gelu(x):
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    tokens = np.concatenate(
        [
            params["embed_modulation"][np.asarray(inputs.modulation)][:, None],
            dense("embed_patch", np.asarray(inputs.patches, np.float64)),
            dense("embed_segment", np.asarray(inputs.segments, np.float64)),
        ],
        axis=1,
    )
    x = tokens + params["embed_position"]
    for i in range(config.n_layers):
        y = norm(f"block_{i}/attention_norm", x)
        mixed = []
        for h in range(config.heads[i]):
            q, k, v = (
                dense(f"block_{i}/attention/{part}", y)[..., 8 * h : 8 * h + 8]
                for part in ("query", "key", "value")
            )
            scores = np.exp(q @ np.swapaxes(k, 1, 2) / np.sqrt(8))
            mixed.append(scores / scores.sum(-1, keepdims=True) @ v)
        x = x + dense(f"block_{i}/attention/out", np.concatenate(mixed, axis=-1))
        hidden = gelu(dense(f"block_{i}/mlp/up", norm(f"block_{i}/mlp_norm", x)))
        x = x + dense(f"block_{i}/mlp/down", hidden)
    x = norm("final_norm", x)
    patches = x[:, 1 : 1 + config.n_patches]
    frame = dense("head_frame", np.concatenate([x[:, 0], patches.mean(1)], axis=-1))
    rows = dense("head_element", patches).reshape(-1, config.n_patches, 3, 4, 2)
    element = np.moveaxis(rows, (2, 3), (0, 2)).reshape(3, -1, 4, 16)
    return frame, element


def test_forward_pass_is_that_of_the_formulas(config, params, apply, batch):
    frame, (_, _, noise) = reference(config, params, batch.inputs)
    got = apply(params, batch.inputs)
    np.testing.assert_allclose(got.modulation, frame[:, :4], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(got.k_db, 7 + 8 * frame[:, 4], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(got.snr_db, 15 + 10 * frame[:, 5], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(got.los, frame[:, 6], rtol=1e-3, atol=1e-4)
    log_noise = -9 + 11 / (1 + np.exp(-0.5 * noise))
    np.testing.assert_allclose(got.log_noise, log_noise, rtol=1e-3, atol=1e-3)


def test_elements_correct_the_channel_where_they_stand(config, built, apply, batch):
    params = dict(built[1])  # the filter over the pilots is still zero
    _, (real, imag, _) = reference(config, params, batch.inputs)
    correction = np.asarray(apply(params, batch.inputs).channel - batch.inputs.channel_ls)
    np.testing.assert_allclose(correction, 0.1 * (real + 1j * imag), atol=1e-4)


def test_jit_changes_nothing(params, built, apply, batch):
    chex.assert_trees_all_close(
        apply(params, batch.inputs), built[0](params, batch.inputs), rtol=1e-4, atol=1e-4
    )


def test_frames_of_a_batch_do_not_see_each_other(params, apply, batch):
    order = np.random.default_rng(0).permutation(32)
    shuffled = jax.tree.map(lambda x: x[order], batch.inputs)
    shuffled = shuffled._replace(patches=shuffled.patches.at[0].set(5.0))
    got, expected = apply(params, shuffled), apply(params, batch.inputs)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a[1:], b[order][1:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("views", SUBSETS, ids="+".join)
def test_every_subset_of_views_builds_and_runs(config, batch, views):
    config = dataclasses.replace(config, views=views)

    def run(key):
        inputs, _ = prepare(config, batch.frame, batch.frame.modulation)
        apply, params = build(config, key)
        return params, apply(params, inputs)

    params, outputs = jax.eval_shape(run, jax.random.key(0))
    assert ("embed_segment" in params) == ("iq" in views)
    assert ("embed_patch" in params) == (views != ("iq",))
    assert outputs.channel.shape == outputs.log_noise.shape == (32, 4, 16)
    assert outputs.modulation.shape == (32, 4)
    assert outputs.k_db.shape == outputs.snr_db.shape == outputs.los.shape == (32,)


def test_a_model_of_time_samples_alone_answers_from_them(config, batch):
    config = dataclasses.replace(config, views=("iq",))

    @jax.jit
    def run(key):
        inputs, _ = prepare(config, batch.frame, batch.frame.modulation)
        apply, params = build(config, key)
        return apply(params, inputs)

    outputs = run(jax.random.key(0))
    chex.assert_tree_all_finite(outputs)
    assert np.std(outputs.k_db) > 0.0
    assert np.std(outputs.log_noise, axis=2).min() > 0.0


def test_the_modulation_token_is_read(params, apply, batch):
    blind, known = (
        apply(params, batch.inputs._replace(modulation=jnp.full(32, token))) for token in (4, 1)
    )
    assert np.abs(blind.log_noise - known.log_noise).max() > 1e-3
    assert np.abs(blind.modulation - known.modulation).max() > 1e-3


def test_bits_follow_from_the_channel_as_behind_the_genie(config, batch):
    frame = batch.frame
    aligned = jax.jit(functools.partial(receivers.align_timing, config.link))(frame.grid, frame.csi)
    genie = receivers.estimate_genie(frame, aligned.ramp)
    expected = jax.jit(functools.partial(receivers.demap, config.link))(
        aligned.grid, genie, frame.n0, frame.modulation
    ).llr
    log_noise = jnp.broadcast_to(jnp.log(batch.n0)[:, None, None], (32, 4, 16))
    zeros = jnp.zeros((32, 4)), *(jnp.zeros(32),) * 3
    outputs = Outputs(batch.channel, log_noise, *zeros)
    got = jax.jit(functools.partial(bit_llrs, config.link))(batch.inputs, outputs, frame.modulation)
    # The model's demapper has a floor of 1e-4 under |h|^2, felt by faded elements alone.
    strong = np.asarray(link.data_elements(config.link, jnp.abs(batch.channel))) > 0.3
    np.testing.assert_allclose(got[strong], expected[strong], rtol=1e-2, atol=0.05)
    used = np.asarray(mixed_qam.bit_mask(frame.modulation, config.link.bits_per_symbol))
    assert not np.any(np.moveaxis(got, 1, 2)[~used])
    assert np.all(np.isfinite(got))


def test_without_prunable_weights_answers_are_finite(params, apply, batch):
    flat = compress.flatten(params)
    zeros = {
        path: jnp.zeros_like(leaf)
        for path, leaf in flat.items()
        if compress.matches(path, "block_*/kernel")
    }
    assert len(zeros) == 12
    null = apply(compress.unflatten(params, zeros), batch.inputs)
    chex.assert_tree_all_finite(null)
    # Biases alone add the same to every token; what differs between frames is what was read.
    assert np.std(null.k_db) > 0.0


def test_heads_stay_in_their_range(config, apply, params, batch):
    loud = jax.tree.map(lambda w: 30.0 * w, params)
    log_noise = np.asarray(apply(loud, batch.inputs).log_noise)
    assert np.all((log_noise >= -9.0) & (log_noise <= 2.0))
    assert np.ptp(log_noise) > 5.0
