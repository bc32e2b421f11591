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

from tests import small
from tests.model.formulas import Formulas
from wfm_jax import compress
from wfm_jax.model import Outputs, bit_llrs, build, param_shapes, prepare
from wfm_jax.model.config import VIEWS
from wfm_jax.model.model import interpolate
from wfm_jax.signal import link, mixed_qam, receivers

SUBSETS = [views for n in range(1, 5) for views in itertools.combinations(VIEWS, n)]


def by_path(params):
    return {path: np.asarray(leaf) for path, leaf in compress.flatten(params).items()}


def shapes_of(config):
    return {path: leaf.shape for path, leaf in compress.flatten(param_shapes(config)).items()}


def test_parameters_have_stable_names_and_flat_kernels(built):
    """Features of a time and the 10 waves of its code; width and the 24 waves of a frequency or the
    16 of a segment: names and shapes that stored models rely on."""
    layers = {
        "embed_grid/times": (16 + 10, 16),
        "embed_grid/token": (16 + 24, 16),
        "embed_csi/times": (10 + 10, 16),
        "embed_csi/token": (16 + 24, 16),
        "embed_spectrogram/times": (2 + 10, 16),
        "embed_spectrogram/token": (16 + 24, 16),
        "embed_iq/times": (32 + 10, 16),
        "embed_iq/token": (16 + 16, 16),
        "head_element": (16, 2 * 4),
        "head_query": (16 + 24, 2 * 2 * 16),
        "head_key": (16 + 24, 2 * 16),
        "head_frame": (32, 4 + 7),
    }
    norms = ["final_norm"]
    for i in range(2):
        layers |= {
            f"block_{i}/attention/query": (16, 16),
            f"block_{i}/attention/key": (16, 16),
            f"block_{i}/attention/value": (16, 16),
            f"block_{i}/attention/out": (16, 16),
            f"block_{i}/mlp/up": (16, 64),
            f"block_{i}/mlp/down": (64, 16),
        }
        norms += [f"block_{i}/attention_norm", f"block_{i}/mlp_norm"]
    expected = {f"embed_{view}/absent": (16,) for view in VIEWS} | {"embed_modulation": (5, 16)}
    for layer, shape in layers.items():
        expected |= {f"{layer}/kernel": shape, f"{layer}/bias": shape[1:]}
    for norm in norms:
        expected |= {f"{norm}/scale": (16,), f"{norm}/bias": (16,)}
    assert {path: leaf.shape for path, leaf in by_path(built[1]).items()} == expected
    assert all(re.fullmatch(r"[a-z_\d]+(/[a-z_]+)*", path) for path in expected)
    assert {leaf.dtype for leaf in by_path(built[1]).values()} == {np.dtype("float32")}
    chex.assert_tree_all_finite(built[1])


def test_kernels_may_differ_between_layers(config):
    shapes = shapes_of(dataclasses.replace(config, heads=(1, 3), head_dim=5, mlp_widths=(7, 2)))
    assert shapes["block_0/attention/query/kernel"] == (16, 5)
    assert shapes["block_1/attention/out/kernel"] == (15, 16)
    assert shapes["block_0/mlp/up/kernel"] == (16, 7)
    assert shapes["block_1/mlp/down/kernel"] == (2, 16)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_symbols": 14, "pilot_symbols": (2, 7, 11)},
        {"n_subcarriers": 48, "fft_size": 64, "cp_samples": 40},
        {"pilot_symbols": (3,), "pilot_spacing": 4},
        {"cp_samples": 13, "sample_rate_hz": 20e6},
        dataclasses.asdict(small.NR_LIKE) | {"scenario": small.NR_LIKE.scenario},
    ],
    ids=["longer", "wider", "fewer pilots", "faster", "all"],
)
def test_parameters_do_not_depend_on_the_size_of_the_frames(config, changes):
    other = dataclasses.replace(config, link=dataclasses.replace(config.link, **changes))
    assert shapes_of(other) == shapes_of(config)


def test_declared_shapes_are_the_built_ones(config, built):
    declared = param_shapes(config)
    chex.assert_trees_all_equal_structs(declared, built[1])
    chex.assert_trees_all_equal_shapes_and_dtypes(declared, built[1])


def test_build_is_decided_by_its_key(config, built):
    chex.assert_trees_all_equal(build(config, jax.random.key(0))[1], built[1])
    other = by_path(build(config, jax.random.key(1))[1])
    kernel = "block_0/attention/query/kernel"
    assert np.abs(other[kernel] - by_path(built[1])[kernel]).max() > 0.01


def test_the_channel_starts_at_ls(config, built, apply, batch):
    """The filter over the pilots starts at zero; a correction per element and sigmoid(-2) of the
    change between the pilot symbols are all that is added."""
    params = dict(built[1])
    assert not np.any(params["head_query"]["kernel"])
    assert not np.any(params["head_query"]["bias"])
    ls = np.asarray(batch.inputs.channel_ls)
    started = np.asarray(apply(params, batch.inputs).channel) - ls[:, :1]
    assert 0.0 < np.abs(started).max() < 1.5
    for head in ("head_element", "head_frame"):
        params[head] = jax.tree.map(jnp.zeros_like, params[head])
    half_frames = (np.arange(4) - 1.0) / 2.0  # from between symbols 0 and 2
    expected = ls[:, :1] + half_frames[:, None] * ls[:, 1:] / (1 + np.exp(2))
    np.testing.assert_allclose(apply(params, batch.inputs).channel, expected, rtol=1e-5, atol=1e-5)


def test_interpolate_is_a_bilinear_filter():
    """Of every second token's key over the number of pilots, alike for all lines."""
    rng = np.random.default_rng(0)
    query, key = rng.normal(size=(2, 8, 2, 3)), rng.normal(size=(2, 8, 3))
    pilots = rng.normal(size=(2, 3, 4)) + 1j * rng.normal(size=(2, 3, 4))
    expected = np.zeros((2, 3, 8), complex)
    for b, f, p in np.ndindex(2, 8, 4):
        real, imag = (query[b, f, part] @ key[b, 2 * p] / 4 for part in (0, 1))
        expected[b, :, f] += (real + 1j * imag) * pilots[b, :, p]
    query, key = (jnp.asarray(x, jnp.float32) for x in (query, key))
    got = interpolate(query, key, jnp.asarray(pilots, jnp.complex64))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def assert_formulas(config, params, inputs, got):
    expected = Formulas(config, params).answer(inputs)
    assert set(expected) == set(got._fields)
    for name, value in expected.items():
        scale = 1e-9 if name == "delay_spread_s" else 1.0
        np.testing.assert_allclose(
            getattr(got, name), value, rtol=2e-3, atol=2e-3 * scale, err_msg=name
        )


@pytest.fixture(scope="module")
def partial(batch, read, subsets):
    """Inputs of frames with every set of views; every fifth one's modulation is unknown."""
    token = np.where(np.arange(32) % 5 == 0, 4, batch.frame.modulation)
    return read(batch.frame, token, subsets)[0]


def test_forward_pass_is_that_of_the_formulas(config, params, apply, partial):
    """Tokenizers, encoder, every head; known and unknown modulations, every set of views."""
    assert_formulas(config, params, partial, apply(params, partial))


def test_frames_of_another_size_are_read_with_the_same_parameters(config, params, subsets):
    """14 x 48 within 64, half a segment left over, by the parameters of 4 x 16."""
    config = dataclasses.replace(config, link=small.NR_LIKE)
    assert config.link.n_samples % config.iq_segment
    frame, token = small.received(config.link, 15, seed=6), np.arange(15) % 5

    @jax.jit
    def run(params, frame, present):
        inputs, _ = prepare(config, frame, jnp.asarray(token), present)
        apply, _ = build(config, jax.random.key(0))
        return inputs, apply(params, inputs)

    inputs, got = run(params, frame, subsets[:15])
    assert got.channel.shape == (15, 14, 48)
    assert_formulas(config, params, inputs, got)


def test_models_of_odd_sizes_are_those_of_the_formulas(config):
    """Unequal layers, heads that do not fill the width, two views and two constellations."""
    nr = dataclasses.replace(small.NR_LIKE, n_symbols=5, pilot_symbols=(4, 1, 2))
    nr = dataclasses.replace(nr, bits_per_symbol=(2, 6))
    uneven = {"heads": (1, 3), "head_dim": 5, "mlp_widths": (7, 2), "views": ("iq", "csi")}
    config = dataclasses.replace(config, link=nr, iq_segment=25, patch_subcarriers=3, **uneven)
    token = jnp.asarray([0, 1, 2])
    rng = np.random.default_rng(4)
    params = jax.tree.map(
        lambda w: rng.normal(size=w.shape).astype(w.dtype) / w.shape[0] ** 0.5, param_shapes(config)
    )

    @jax.jit
    def run(params, frame):
        inputs, _ = prepare(config, frame, token)
        apply, _ = build(config, jax.random.key(0))
        return inputs, apply(params, inputs)

    assert_formulas(config, params, *run(params, small.received(nr, 3, seed=7)))


@pytest.fixture(scope="module")
def lean(config, params):
    """A model of one layer and two views, with its part of the parameters."""
    config = dataclasses.replace(config, heads=(2,), mlp_widths=(64,), views=("csi", "iq"))
    shapes = param_shapes(config)
    return config, {name: params[name] for name in shapes}


def lean_inputs(inputs):
    views, visible = ({name: of[name] for name in ("csi", "iq")} for of in inputs[:2])
    return inputs._replace(views=views, visible=visible)


@pytest.mark.slow
def test_the_formulas_hold_without_a_compiler(lean, partial):
    config, params = lean
    apply, _ = build(config, jax.random.key(0))
    inputs = lean_inputs(partial)
    assert_formulas(config, params, inputs, apply(params, inputs))


def test_frames_of_a_batch_do_not_see_each_other(params, apply, partial):
    order = np.random.default_rng(0).permutation(32)
    shuffled = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[order]), partial)
    shuffled = shuffled._replace(
        views={name: view.at[0].set(5.0) for name, view in shuffled.views.items()},
        grid=shuffled.grid.at[0].set(1j),
    )
    got, expected = apply(params, shuffled), apply(params, partial)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a[1:], np.asarray(b)[order][1:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("views", SUBSETS, ids="+".join)
def test_a_model_may_read_any_set_of_views(config, batch, views):
    config = dataclasses.replace(config, views=views)

    def run(key):
        inputs, _ = prepare(config, batch.frame, batch.frame.modulation)
        apply, params = build(config, key)
        return params, apply(params, inputs)

    params, outputs = jax.eval_shape(run, jax.random.key(0))
    embedded = {name for name in params if name.startswith("embed_")}
    assert embedded == {"embed_modulation", *(f"embed_{view}" for view in views)}
    assert outputs.channel.shape == outputs.log_noise.shape == (32, 4, 16)
    assert outputs.modulation.shape == (32, 4)
    for name in ("k_db", "snr_db", "los", "delay_spread_s", "doppler_hz"):
        assert getattr(outputs, name).shape == (32,)


def test_any_set_of_views_is_answered(config, params, apply, partial, subsets):
    """Finite all over; bits and their evidence only where elements are known; a channel that stands
    at the correction of its elements where no pilot is."""
    outputs = apply(params, partial)
    chex.assert_tree_all_finite(outputs)
    grid, csi, _, iq = subsets.T
    llr = jax.jit(functools.partial(bit_llrs, config.link))(
        partial, outputs, jnp.full(32, 3, jnp.int32)
    )
    strength = np.abs(llr).max(axis=(1, 2))
    np.testing.assert_array_equal(strength > 0, grid | iq)
    blank = ~(grid | iq | csi)
    channel = np.asarray(outputs.channel)[blank]
    np.testing.assert_array_equal(channel, np.broadcast_to(channel[:, :1], channel.shape))
    assert 0.0 < np.abs(channel).max() < 1.0


def test_what_an_absent_view_holds_does_not_matter(params, apply, batch, read, subsets, partial):
    """Bit for bit in every answer, whatever stands in its place."""
    noise = small.received(small.LINK, 32, seed=5)
    frame = batch.frame
    for column, view in zip(subsets.T, VIEWS, strict=True):
        there = column.reshape(-1, *[1] * (getattr(frame, view).ndim - 1))
        mixed = np.where(there, getattr(frame, view), 30.0 * np.asarray(getattr(noise, view)))
        frame = frame._replace(**{view: mixed})
    inputs, _ = read(frame, np.asarray(partial.modulation), subsets)
    assert np.abs(inputs.views["iq"] - partial.views["iq"])[~subsets[:, 3]].max() > 10.0
    chex.assert_trees_all_equal(apply(params, inputs), apply(params, partial))


def test_the_modulation_token_is_read(params, apply, batch):
    blind, known = (
        apply(params, batch.inputs._replace(modulation=np.full(32, token, np.int32)))
        for token in (4, 1)
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
    zeros = dict.fromkeys(Outputs._fields, jnp.zeros(32))
    outputs = Outputs(**zeros | {"channel": batch.channel, "log_noise": log_noise})
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


def test_heads_stay_in_their_range(apply, params, batch):
    """Noise within its bounds; of the constellations' evidence the best one's is zero, so that the
    network's own opinion is what is left where all of them explain the frame alike."""
    loud = jax.tree.map(lambda w: 30.0 * w, params)
    log_noise = np.asarray(apply(loud, batch.inputs).log_noise)
    assert np.all((log_noise >= -9.0) & (log_noise <= 2.0))
    assert np.ptp(log_noise) > 5.0
    silent = {**params, "head_frame": jax.tree.map(jnp.zeros_like, params["head_frame"])}
    evidence = np.asarray(apply(silent, batch.inputs).modulation)
    np.testing.assert_allclose(evidence.max(axis=1), 0.0, atol=1e-5)
    assert evidence.min() < -1.0
    unknown = batch.inputs._replace(has_grid=jnp.zeros(32, bool))
    assert not np.any(apply(silent, unknown).modulation)


@pytest.mark.slow
def test_rematerialisation_changes_no_number(lean, partial):
    """A block is run again in the backward pass; the value and the gradient are the same."""
    config, params = lean
    inputs = lean_inputs(partial)

    def k_db(remat):
        apply, initial = build(config, jax.random.key(0), remat=remat)
        total = jax.jit(jax.value_and_grad(lambda params: jnp.sum(apply(params, inputs).k_db)))
        traced = total.trace(params)
        return initial, traced.lower().compile()(params), str(traced.jaxpr)

    initial, (value, slope), plain = k_db(remat=False)
    same, (value_again, slope_again), again = k_db(remat=True)
    chex.assert_trees_all_equal(same, initial)
    assert not re.search(r"checkpoint|remat", plain)
    assert len(re.findall(r"= (?:checkpoint|remat\d?)\[", again)) == config.n_layers
    np.testing.assert_allclose(value_again, value, rtol=1e-5)
    largest = max(np.abs(leaf).max() for leaf in by_path(slope).values())
    for path, leaf in by_path(slope).items():
        close = {"rtol": 1e-3, "atol": 1e-5 * largest}
        np.testing.assert_allclose(by_path(slope_again)[path], leaf, **close, err_msg=path)
        if re.match(r"embed|block_0/mlp|final_norm", path):
            assert np.any(leaf), path


def test_the_classifier_does_not_bend_the_channel_to_its_liking(lean, partial):
    """Evidence is taken as given: no gradient of the logits reaches channel and noise."""
    config, params = lean
    inputs = lean_inputs(partial)
    apply, _ = build(config, jax.random.key(0))

    def logits(heads):
        return jnp.sum(jnp.sin(apply({**params, **heads}, inputs).modulation))

    heads = {name: params[name] for name in ("head_element", "head_query", "head_key")}
    assert not any(np.any(leaf) for leaf in by_path(jax.jit(jax.grad(logits))(heads)).values())
    moved = jax.tree.map(lambda w: 2.0 * w, heads)
    value = jax.jit(logits)
    assert abs(value(moved) - value(heads)) > 1e-3


def test_bfloat16_is_what_matrices_are_multiplied_in(config, built, params, apply, batch):
    """Parameters and answers stay float32; the answers are off by the order of bfloat16's 2^-9."""
    half, same = build(config, jax.random.key(0), dtype="bfloat16")
    chex.assert_trees_all_equal(same, built[1])
    traced = jax.jit(half).trace(params, batch.inputs)
    products = re.findall(r"(\w+)\[[\d,]*\] = dot_general", str(traced.jaxpr))
    # A block: four projections, two layers, and softmax(q k) v; q k is summed in float32.
    assert products.count("bf16") == 7 * config.n_layers
    got, expected = traced.lower().compile()(params, batch.inputs), apply(params, batch.inputs)
    chex.assert_trees_all_equal_shapes_and_dtypes(got, expected)
    for name in ("log_noise", "modulation", "k_db", "snr_db", "los"):
        a, b = (np.asarray(getattr(outputs, name)) for outputs in (got, expected))
        relative = np.sqrt(np.mean((a - b) ** 2)) / np.std(b)
        assert 1e-5 < relative < 0.05, name
