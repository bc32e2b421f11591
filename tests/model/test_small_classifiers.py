"""Small classifiers: their sizes, their formulas in NumPy, and what they do not read."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import small
from wfm_jax import compress
from wfm_jax.model.small_classifiers import (
    FLOOR,
    ConvConfig,
    MLPConfig,
    build,
    histograms,
    n_params,
    param_shapes,
    receive,
)
from wfm_jax.signal import link, mixed_qam
from wfm_jax.signal.tapped_delay_line import AWGN

LINK = dataclasses.replace(small.LINK, snr_db_range=(0.0, 20.0))
CONFIGS = {"mlp": MLPConfig(LINK, bins=12, width=16), "conv": ConvConfig(LINK, 6, 8)}


sample = jax.jit(link.sample_frames, static_argnums=0, static_argnames="batch_size")
read = jax.jit(receive, static_argnums=0)
count_parts = jax.jit(histograms, static_argnums=0)


@pytest.fixture(scope="module")
def frame():
    return sample(LINK, key=jax.random.key(3), batch_size=32)


@pytest.fixture(scope="module")
def received(frame):
    return read(LINK, frame)


@pytest.fixture(scope="module", params=CONFIGS)
def network(request):
    """A small network: config, compiled apply, parameters away from their start."""
    config = CONFIGS[request.param]
    apply, params = build(config, jax.random.key(0))
    return config, jax.jit(apply), small.moved(params, 0.1)


def test_sizes_are_those_that_are_stated():
    """Counted by hand: 85 numbers into two layers of 104; four channels, 48, 48, then 64s."""
    assert n_params(MLPConfig()) == 85 * 104 + 104 + 104 * 104 + 104 + 104 * 4 + 4 == 20_284
    conv = 4 * 48 + 48, 48 * 48 + 48, 3 * 48 * 64 + 64, 3 * 64 * 64 + 64, 64 * 64 + 64, 64 * 4 + 4
    assert n_params(ConvConfig()) == sum(conv) == 28_644
    for config in (MLPConfig(), ConvConfig()):
        assert f"{n_params(config):,} parameters" in " ".join((type(config).__doc__ or "").split())


def test_parameters_have_names_and_flat_kernels(network):
    config, _, params = network
    chex.assert_trees_all_equal_shapes_and_dtypes(param_shapes(config), params)
    leaves = compress.flatten(params)
    assert n_params(config) == sum(leaf.size for leaf in leaves.values())
    kernels = {path: leaf for path, leaf in leaves.items() if path.endswith("kernel")}
    assert {leaf.ndim for leaf in kernels.values()} == {2}
    assert set(leaves) == set(kernels) | {path.replace("kernel", "bias") for path in kernels}
    assert leaves["head/kernel"].shape[1] == len(LINK.bits_per_symbol)


def test_build_is_decided_by_its_key(network):
    config = network[0]
    first, again, other = (build(config, jax.random.key(seed))[1] for seed in (0, 0, 1))
    chex.assert_trees_all_equal(first, again)
    assert np.abs(first["head"]["kernel"] - other["head"]["kernel"]).max() > 0.01


def test_jit_changes_nothing(network, received):
    config, apply, params = network
    eager = build(config, jax.random.key(0))[0](params, received)
    chex.assert_trees_all_close(apply(params, received), eager, rtol=1e-4, atol=1e-4)


def test_no_label_is_read(network, frame, received):
    """Every field but two is reversed over the batch; the logits are the same, bit for bit."""
    _, apply, params = network
    scrambled = {
        name: jax.tree.map(lambda x: x[::-1], value)
        for name, value in frame._asdict().items()
        if name not in ("grid", "csi")
    }
    assert np.any(scrambled["modulation"] != frame.modulation)
    again = read(LINK, frame._replace(**scrambled))
    logits = apply(params, received)
    np.testing.assert_array_equal(apply(params, again), logits)
    assert np.std(logits, axis=0).min() > 0.01


def test_frames_of_a_batch_do_not_see_each_other(network, received):
    _, apply, params = network
    order = np.random.default_rng(0).permutation(32)
    shuffled = jax.tree.map(lambda x: x[order], received)
    shuffled = shuffled._replace(symbols=shuffled.symbols.at[0].set(5.0))
    got, expected = apply(params, shuffled), apply(params, received)[order]
    np.testing.assert_allclose(got[1:], expected[1:], rtol=1e-4, atol=1e-5)


def test_the_order_of_symbols_and_a_quarter_turn_are_not_seen(received):
    """Of OFDM symbols without pilots; the constellations are the same after a quarter turn."""
    assert not LINK.pilot_mask[[1, 3]].any()
    moved = received._replace(symbols=1j * received.symbols[:, np.array([0, 3, 2, 1])])
    got, expected = (count_parts(CONFIGS["mlp"], x) for x in (moved, received))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_a_clear_channel_gives_the_symbols_that_were_sent():
    config = dataclasses.replace(LINK, scenario=AWGN, snr_db_range=(80.0, 80.0))
    frame = sample(config, key=jax.random.key(1), batch_size=8)
    got = read(config, frame)
    sent = mixed_qam.modulate(frame.bits, frame.modulation, config.bits_per_symbol)
    expected = sent / (1.0 + FLOOR / np.asarray(got.strength).mean(axis=1, keepdims=True))
    np.testing.assert_allclose(link.data_elements(config, got.symbols), expected, atol=5e-3)
    power = np.mean(np.abs(frame.grid) ** 2, axis=(1, 2))
    np.testing.assert_allclose(
        got.strength.mean(axis=1) * power, np.mean(np.abs(frame.channel) ** 2, axis=(1, 2)), 1e-3
    )


def test_absolute_power_is_not_seen(frame, received):
    louder = frame._replace(grid=7.0 * frame.grid, csi=7.0 * frame.csi)
    chex.assert_trees_all_close(read(LINK, louder), received, rtol=1e-3, atol=1e-3)


def test_the_pilots_noise_is_unbiased():
    """z-score over frames of its mean in the frame's own units, over n0: pilots have unit power,
    and at walking speed the channel stands still between them."""
    ratios = []
    for seed in range(40):
        frame = sample(LINK, key=jax.random.key(100 + seed), batch_size=32)
        power = np.mean(np.abs(frame.grid) ** 2, axis=(1, 2))
        ratios += [read(LINK, frame).noise * power / np.asarray(frame.n0)]
    ratio = np.concatenate(ratios)
    assert abs(ratio.mean() - 1.0) / (ratio.std() / ratio.size**0.5) < 5.0
    # The mean of 8 exponential variables: half of two pilots' squared difference each.
    np.testing.assert_allclose(ratio.std(), 8.0**-0.5, rtol=0.15)


def test_a_single_pilot_symbol_tells_no_noise(frame):
    config = dataclasses.replace(LINK, pilot_symbols=(0,))
    got = read(config, frame._replace(csi=frame.csi[:, :1]))
    np.testing.assert_array_equal(got.noise, np.zeros(32))


def test_histograms_are_counts(received):
    config = CONFIGS["mlp"]
    symbols, strength, noise = (np.asarray(x, np.complex128) for x in received)
    strength, step = strength.real, config.SPAN / (config.bins - 1)
    got = np.asarray(count_parts(config, received))
    assert got.shape == (32, 4 * 13 + 1)
    for frame in range(32):
        expected = [0.5 * np.log(noise[frame].real + 1e-4) + 1.0]
        rising = np.argsort(strength[frame], kind="stable").reshape(4, 4)
        for members in rising:
            count, total = np.zeros(config.bins + 1), 0
            for k in members:
                of = symbols[frame, ~LINK.pilot_mask[:, k], k]
                for value in np.abs([*of.real, *of.imag]) / step:
                    low, total = int(value), total + 1
                    if low < config.bins:
                        count[low] += 1.0 - (value - low)
                        count[low + 1] += value - low
            expected += [*(config.bins * count[: config.bins] / total - 1.0)]
            expected += [0.5 * np.log(strength[frame, members].mean() + 1e-4) + 1.0]
        np.testing.assert_allclose(got[frame], expected, atol=2e-3)


def test_a_link_whose_subcarriers_do_not_divide_into_classes(received):
    """Every data symbol is counted once: histograms times their sizes sum up to all parts."""
    config = MLPConfig(LINK, classes=3, bins=5)
    within = received._replace(symbols=0.3 * received.symbols / jnp.abs(received.symbols))
    got = np.asarray(count_parts(config, within))[:, 1:].reshape(32, 3, 6)[..., :5]
    np.testing.assert_allclose(np.sum((got + 1.0) / 5, axis=-1), 1.0, rtol=1e-4)


def relu(x):
    return np.maximum(x, 0.0)


def test_the_convolutions_are_those_of_the_formulas(received):
    config = CONFIGS["conv"]
    apply, params = build(config, jax.random.key(0))
    params = small.moved(params, 0.1)
    logits = jax.jit(apply)(params, received)
    flat = {path: np.asarray(w, np.float64) for path, w in compress.flatten(params).items()}

    def dense(name, x):
        return x @ flat[f"{name}/kernel"] + flat[f"{name}/bias"]

    symbols, strength = np.asarray(received.symbols), np.asarray(received.strength)
    noise = 0.5 * np.log(np.asarray(received.noise) + 1e-4) + 1.0
    columns = np.zeros((32, 18, config.element_width))  # zeros beyond both edges
    for frame, k in np.ndindex(32, 16):
        shown = []
        for s in symbols[frame, ~LINK.pilot_mask[:, k], k]:
            parts = [2.0 * min(abs(x), 2.0) - 1.0 for x in (s.real, s.imag)]
            shown.append([*parts, 0.5 * np.log(strength[frame, k] + 1e-4) + 1.0, noise[frame]])
        columns[frame, 1 + k] = relu(dense("element_1", relu(dense("element_0", shown)))).mean(0)
    for name in ("subcarrier_0", "subcarrier_1"):
        beside = np.concatenate([columns[:, i : i + 16] for i in range(3)], axis=-1)
        columns = np.pad(relu(dense(name, beside)), ((0, 0), (1, 1), (0, 0)))
    expected = dense("head", relu(dense("hidden", columns[:, 1:-1].mean(axis=1))))
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", [MLPConfig, ConvConfig])
def test_networks_build_for_other_links(kind):
    """A grid of another size, one pilot symbol, two constellations."""
    config = kind(
        dataclasses.replace(LINK, n_subcarriers=24, pilot_symbols=(1,), bits_per_symbol=(2, 4))
    )

    def run(key):
        frame = link.sample_frames(config.link, key=key, batch_size=3)
        apply, params = build(config, key)
        return apply(params, receive(config.link, frame))

    assert jax.eval_shape(run, jax.random.key(0)).shape == (3, 2)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (MLPConfig, "classes", 0),
        (MLPConfig, "classes", 17),
        (MLPConfig, "bins", 0),
        (MLPConfig, "bins", 1),
        (MLPConfig, "width", -1),
        (ConvConfig, "element_width", 0),
        (ConvConfig, "width", 0),
    ],
)
def test_bad_sizes_are_named(kind, field, value):
    with pytest.raises(ValueError, match=f"{field} must be at"):
        kind(LINK, **{field: value})


def test_a_frame_of_nothing_gives_finite_logits(network, frame):
    """Zeros in both views, as where nothing is sent and the receiver hears no noise."""
    _, apply, params = network
    silence = frame._replace(grid=jnp.zeros_like(frame.grid), csi=jnp.zeros_like(frame.csi))
    chex.assert_tree_all_finite(apply(params, read(LINK, silence)))
