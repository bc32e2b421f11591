"""Inputs of the model: unit rms, aligned, nothing of the labels, and whatever any set of views
still shows."""

import dataclasses
import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import small
from wfm_jax.model import ModelConfig, prepare
from wfm_jax.model.config import VIEWS
from wfm_jax.model.views import Inputs, Received, n_features
from wfm_jax.signal import link, mixed_qam, ofdm, receivers

SUBSETS = [views for n in range(1, 5) for views in itertools.combinations(VIEWS, n)]
LABELS = set(link.Frame._fields) - set(VIEWS)
ALL = np.ones((32, 4), bool)
HANN_DB = 10 * np.log10(3 / 8)  # mean square of sin^2


def close(got, expected, tolerance=1e-4):
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance), got, expected
    )


def scaled(frame, gain):
    return frame._replace(
        iq=gain * frame.iq,
        grid=gain * frame.grid,
        csi=gain * frame.csi,
        spectrogram=frame.spectrogram + 20 * np.float32(np.log10(gain)),
    )


@pytest.mark.parametrize("gain", [0.1, 10.0])
def test_received_power_changes_no_input(batch, read, subsets, gain):
    """Whichever views there are."""
    token = batch.frame.modulation
    expected, received = read(batch.frame, token, subsets)
    got, received_louder = read(scaled(batch.frame, gain), token, subsets)
    close(got, expected)
    np.testing.assert_allclose(received_louder.gain * gain, received.gain, rtol=1e-4)


def test_inputs_are_of_unit_rms(batch):
    """Exactly so in the resource elements; of the other views within what a frame of 96 samples
    or windows of it differs by."""
    power = np.mean(np.abs(batch.inputs.grid) ** 2, axis=(1, 2))
    np.testing.assert_allclose(power, 1.0, rtol=1e-5)
    views = {name: np.asarray(view) for name, view in batch.inputs.views.items()}
    assert 0.8 < 2 * np.mean(views["iq"] ** 2) < 1.25
    assert 0.8 < np.mean(10 ** (views["spectrogram"] - HANN_DB / 10)) < 1.25
    assert max(np.abs(view).max() for view in views.values()) < 30.0


def test_no_label_is_read(batch, read):
    rng = np.random.default_rng(0)
    frame = batch.frame
    other = {
        name: jnp.asarray(
            rng.permutation(np.asarray(getattr(frame, name)).ravel()).reshape(
                getattr(frame, name).shape
            )
        )
        for name in LABELS
    }
    token = jnp.zeros(32, jnp.int32)
    expected = read(frame, token, ALL)
    got = read(frame._replace(**other), token, ALL)
    jax.tree.map(np.testing.assert_array_equal, got, expected)


@pytest.mark.parametrize("views", SUBSETS, ids="+".join)
@pytest.mark.parametrize("patch_subcarriers, iq_segment", [(1, 20), (4, 16)])
def test_declared_widths_are_the_actual_ones(config, batch, views, patch_subcarriers, iq_segment):
    config = dataclasses.replace(
        config, views=views, patch_subcarriers=patch_subcarriers, iq_segment=iq_segment
    )
    inputs, _ = jax.eval_shape(
        functools.partial(prepare, config), batch.frame, batch.frame.modulation
    )
    # 4 symbols of 16 + 8 samples; windows of 16 samples 12 apart; two pilot symbols.
    tokens = dict.fromkeys(VIEWS, 16 // patch_subcarriers) | {"iq": -(-96 // iq_segment)}
    times = {"grid": 4, "csi": 2, "spectrogram": 7, "iq": 1}
    assert set(inputs.views) == set(inputs.visible) == set(views)
    for view in views:
        shape = (32, tokens[view], times[view], n_features(config, view))
        assert inputs.views[view].shape == shape
        assert inputs.visible[view].shape == shape[:2]
    assert config.n_patches == tokens["grid"]
    assert config.n_segments == (tokens["iq"] if "iq" in views else 0)
    assert config.n_tokens == 1 + config.n_patches + config.n_segments


class Odd(NamedTuple):
    config: ModelConfig
    frame: link.Frame
    aligned: receivers.Aligned
    inputs: Inputs
    units: Received


@pytest.fixture(scope="module")
def odd():
    """A model whose patches, segments and pilot symbols are of odd numbers, frames for it, the same
    scaled and aligned, and what the model reads of them."""
    nr = dataclasses.replace(small.NR_LIKE, pilot_symbols=(11, 2, 5))
    config = ModelConfig(link=nr, patch_subcarriers=3, iq_segment=25)
    frame = small.received(nr, 2, seed=4)
    inputs, units = jax.jit(functools.partial(prepare, config))(frame, jnp.zeros(2, jnp.int32))
    align = jax.jit(functools.partial(receivers.align_timing, nr))
    aligned = align(*(x * units.gain[:, None, None] for x in (frame.grid, frame.csi)))
    return Odd(config, *jax.tree.map(np.asarray, (frame, aligned, inputs, units)))


def patch(x, i):
    """[batch, times, n_subcarriers, features] of patch i as the model gets them."""
    x = x[:, :, 3 * i : 3 * i + 3]
    return x.reshape(*x.shape[:2], -1)


def test_the_frame_is_scaled_and_aligned_as_one(odd):
    rms = np.sqrt(np.mean(np.abs(odd.frame.grid) ** 2, axis=(1, 2)))
    np.testing.assert_allclose(odd.units.gain, 1 / rms, rtol=1e-5)
    close(odd.units.ramp, odd.aligned.ramp)
    close(odd.inputs.grid, odd.frame.grid * odd.aligned.ramp[:, None] / rms[:, None, None])


def test_pilots_are_a_straight_line_through_the_pilot_symbols(odd):
    """Its value at their mean time, and its change over half a frame of 14 symbols."""
    csi = odd.aligned.csi.astype(np.complex128)
    for b, p in np.ndindex(2, 12):
        slope, value = np.polyfit(np.array([2, 5, 11]) - 6.0, csi[b, :, p], 1)
        close(odd.inputs.pilots[b, :, p], np.array([value, 7 * slope]))
    at = np.arange(48) / 4
    for b, line in np.ndindex(2, 2):
        pilots, between = odd.inputs.pilots[b, line], odd.inputs.channel_ls[b, line]
        close(between[:45], np.interp(at[:45], np.arange(12), pilots))
        close(between[45:], pilots[-1] + (at[45:] - 11) * (pilots[-1] - pilots[-2]))


def test_a_single_pilot_symbol_shows_no_change():
    nr = dataclasses.replace(small.NR_LIKE, pilot_symbols=(3,))
    config = ModelConfig(link=nr, views=("csi",))
    csi = small.received(nr, 2, seed=4).csi
    frame = link.Frame(**dict.fromkeys(link.Frame._fields) | {"csi": csi})
    inputs, units = jax.jit(functools.partial(prepare, config))(frame, jnp.zeros(2, jnp.int32))
    assert not np.any(inputs.pilots[:, 1])
    close(np.abs(inputs.pilots[:, 0]), np.abs(csi[:, 0]) * units.gain[:, None])
    assert not np.any(np.asarray(inputs.views["csi"]).reshape(2, 24, 2, 5)[..., 2:4])


def test_grid_tokens_hold_received_and_equalised_elements(odd):
    """Of 3 subcarriers at each of 14 symbols: element, element over LS channel (a floor of 0.05 on
    its power), that channel, the noise level that csi shows, and whether it is a pilot."""
    grid, h = odd.inputs.grid, np.broadcast_to(odd.inputs.channel_ls[:, :1], (2, 14, 48))
    level = np.broadcast_to(odd.inputs.views["csi"][:, :1, 0, 4, None], grid.shape)
    pilot = np.broadcast_to(odd.config.link.pilot_mask, grid.shape)
    shown = [part for x in (grid, grid / (h + 0.05 / h.conj()), h) for part in (x.real, x.imag)]
    parts = np.stack([*shown, level, pilot], axis=-1)
    assert odd.inputs.views["grid"].shape == (2, 16, 14, 24)
    for i in range(16):
        close(odd.inputs.views["grid"][:, i], patch(parts, i))


def test_csi_tokens_hold_the_channel_and_its_deviation(odd):
    csi, weights = odd.aligned.csi, receivers.interpolation_matrix(odd.config.link)
    h, deviation = (x @ weights.T for x in (csi, csi - csi.mean(axis=1, keepdims=True)))
    assert odd.inputs.views["csi"].shape == (2, 16, 3, 15)
    parts = np.stack([h.real, h.imag, deviation.real, deviation.imag], axis=-1)
    for i in range(16):
        shown = odd.inputs.views["csi"][:, i].reshape(2, 3, 3, 5)
        close(shown[..., :4], parts[:, :, 3 * i : 3 * i + 3])


def test_spectrogram_tokens_hold_decibels_over_ten(odd):
    power = 10 ** (odd.frame.spectrogram.astype(np.float64) / 10)
    expected = np.log10(power * odd.units.gain[:, None, None] ** 2)[..., None]
    assert odd.inputs.views["spectrogram"].shape == (2, 16, expected.shape[1], 3)
    for i in range(16):
        shown = odd.inputs.views["spectrogram"][:, i]
        close(shown, np.maximum(patch(expected, i), -4.0))


def test_quiet_bins_are_cut_off(batch, read):
    quiet = batch.frame._replace(spectrogram=batch.frame.spectrogram.at[:, 0].add(-200.0))
    shown = read(quiet, batch.frame.modulation, ALL)[0].views["spectrogram"]
    assert np.all(np.asarray(shown)[:, :, 0] == -4.0)
    close(shown[:, :, 1:], batch.inputs.views["spectrogram"][:, :, 1:])


def test_segments_are_the_samples_over_the_rms(odd):
    """48 of 25 samples, real parts before imaginary ones; the last one has one sample alone."""
    samples = np.zeros((2, 48 * 25), np.complex64)
    samples[:, :1176] = odd.frame.iq * odd.units.gain[:, None]
    samples = samples.reshape(2, 48, 1, 25)
    assert odd.inputs.views["iq"].shape == (2, 48, 1, 50)
    close(odd.inputs.views["iq"], np.concatenate([samples.real, samples.imag], axis=-1))
    assert not np.any(odd.inputs.views["iq"][:, -1, :, [*range(1, 25), *range(26, 50)]])


def noise_shown(frame, read):
    inputs, units = read(frame, frame.modulation, ALL)
    level = np.asarray(inputs.views["csi"])[..., 4::5]
    np.testing.assert_array_equal(level, np.broadcast_to(level[:, :1, :1, :1], level.shape))
    return (np.exp(level[:, 0, 0, 0] / 0.3) - 1e-5) / np.asarray(frame.n0 * units.gain**2)


@pytest.mark.parametrize("turn_rad", [0.0, 0.6])
def test_noise_is_seen_through_a_turning_oscillator(batch, read, turn_rad):
    """Half of n0 is left of two pilot symbols less their mean, 7/8 of that of 8 pilots less what
    turns them as a whole; the mean of symbols turned apart is smaller, its noise counts for more.
    Within 5 standard errors over 32 frames."""
    turn = np.exp(1j * turn_rad * np.array([1, -1])).astype(np.complex64)[None, :, None]
    relative = noise_shown(batch.frame._replace(csi=batch.frame.csi * turn), read)
    expected = 0.5 * 7 / 8 / np.cos(turn_rad) ** 2
    assert abs(relative.mean() - expected) < 5 * relative.std() / np.sqrt(32)


def test_labels_come_in_the_inputs_units(config, batch):
    """The aligned, unit-rms grid is the batch's channel times the sent symbols, plus noise of the
    batch's n0: within 5 standard errors over frames."""

    @jax.jit
    def sent(bits, modulation):
        symbols = mixed_qam.modulate(bits, modulation, config.link.bits_per_symbol)
        return ofdm.place(symbols, config.link.pilots, config.link.pilot_mask)

    noise = batch.inputs.grid - batch.channel * sent(batch.frame.bits, batch.frame.modulation)
    noise = np.asarray(noise)
    relative = np.mean(np.abs(noise) ** 2, axis=(1, 2)) / np.asarray(batch.n0)
    assert abs(relative.mean() - 1) < 5 * relative.std() / np.sqrt(32)
    snr_db = 10 * np.log10(np.mean(np.abs(batch.channel) ** 2, axis=(1, 2)) / batch.n0)
    np.testing.assert_allclose(snr_db, batch.frame.snr_db, atol=1e-3)
    at_pilots = np.asarray(batch.channel)[:, (0, 2), ::2].mean(axis=1)
    error = np.mean(np.abs(np.asarray(batch.inputs.pilots)[:, 0] - at_pilots) ** 2, axis=1)
    relative = error / np.asarray(batch.n0 / 2)
    assert abs(relative.mean() - 1) < 5 * relative.std() / np.sqrt(32)


@pytest.fixture(scope="module")
def partial(batch, read, subsets):
    """Inputs and units of frames each of which has another set of views."""
    return jax.tree.map(np.asarray, read(batch.frame, batch.frame.modulation, subsets))


def test_what_is_known_follows_from_the_views_that_are_there(batch, partial, subsets):
    """Elements from grid or iq, pilots from csi too; their values are those of the whole frame,
    and nothing where nothing is known."""
    inputs, whole = partial[0], jax.tree.map(np.asarray, batch.inputs)
    grid, csi, spectrogram, iq = subsets.T
    np.testing.assert_array_equal(inputs.has_grid, grid | iq)
    np.testing.assert_array_equal(inputs.has_pilots, grid | iq | csi)
    for column, view in zip(subsets.T, VIEWS, strict=True):
        shape = whole.visible[view].shape
        np.testing.assert_array_equal(inputs.visible[view], np.broadcast_to(column[:, None], shape))
        assert np.all(whole.visible[view])
    known = grid | iq
    close(inputs.grid[known], whole.grid[known])
    close(inputs.pilots[known], whole.pilots[known])
    assert not np.any(inputs.grid[~known])
    alone = spectrogram & ~(known | csi)
    assert alone.sum() == 2
    assert not np.any(inputs.pilots[alone])
    assert not np.any(inputs.channel_ls[alone])
    for view in VIEWS:
        shown = inputs.visible[view] & known[:, None]
        close(inputs.views[view][shown], whole.views[view][shown])


def test_gain_control_takes_what_is_there(batch, partial, subsets):
    """Elements, pilots in their place, or the spectrogram's power over its window's: within what
    16 pilots or 7 windows of a frame differ by."""
    gain = partial[1].gain
    grid, csi, _, iq = subsets.T
    frame = jax.tree.map(np.asarray, batch.frame)
    whole, of_pilots = (
        np.mean(np.abs(x) ** 2, axis=(1, 2)) ** -0.5 for x in (frame.grid, frame.csi)
    )
    np.testing.assert_allclose(gain[grid | iq], whole[grid | iq], rtol=1e-4)
    pilots_alone = csi & ~(grid | iq)
    np.testing.assert_allclose(gain[pilots_alone], of_pilots[pilots_alone], rtol=1e-4)
    neither = ~(grid | iq | csi)
    power = 10 ** ((frame.spectrogram - HANN_DB) / 10)
    of_windows = np.mean(power, axis=(1, 2)) ** -0.5
    np.testing.assert_allclose(gain[neither], of_windows[neither], rtol=1e-4)
    assert np.all(np.abs(np.log2(gain / whole)) < 1.0)


@pytest.mark.parametrize("scale", [0.0, 30.0])
def test_the_content_of_an_absent_view_is_not_read(batch, read, partial, subsets, scale):
    """Bit for bit: zeros or noise in its place change nothing but the tokens that are not there."""
    noise, frame = jax.tree.map(np.asarray, (small.received(small.LINK, 32, seed=5), batch.frame))
    for column, view in zip(subsets.T, VIEWS, strict=True):
        there = column.reshape(-1, *[1] * (getattr(frame, view).ndim - 1))
        mixed = np.where(there, getattr(frame, view), scale * getattr(noise, view))
        frame = frame._replace(**{view: mixed})
    got, units = jax.tree.map(np.asarray, read(frame, frame.modulation, subsets))

    def visible(inputs):
        views = {
            view: np.where(inputs.visible[view][..., None, None], shown, 0.0)
            for view, shown in inputs.views.items()
        }
        return inputs._replace(views=views)

    expected, expected_units = partial
    jax.tree.map(np.testing.assert_array_equal, visible(got), visible(expected))
    jax.tree.map(np.testing.assert_array_equal, units, expected_units)


def test_a_view_of_none_is_an_absent_one(config, batch, read):
    """For each set of views, of the tokens that are there and of all that is known."""
    frame = jax.tree.map(lambda x: x[:3], batch.frame)
    token = jnp.asarray([0, 4, 2])
    everything = read(frame, token, np.ones((3, 4), bool))
    close(prepare(config, frame, token), everything)
    for views in SUBSETS:
        present = np.tile([view in views for view in VIEWS], (3, 1))
        expected, expected_units = read(frame, token, present)
        given = frame._replace(**{view: None for view in VIEWS if view not in views})
        for got, units in (prepare(config, given, token), prepare(config, given, token, present)):
            close(units, expected_units)
            close(got._replace(views=None), expected._replace(views=None))
            for view in views:
                close(got.views[view], expected.views[view])


def test_a_frame_without_any_view_is_refused(config, batch):
    frame, token = jax.tree.map(lambda x: x[:2], (batch.frame, batch.frame.modulation))
    none = frame._replace(iq=None, grid=None, csi=None, spectrogram=None)
    with pytest.raises(ValueError, match="grid, csi, spectrogram, iq"):
        prepare(config, none, token)
    one = jnp.asarray([[True] * 4, [False] * 4])
    with pytest.raises(ValueError, match="at least one"):
        prepare(config, frame, token, one)
    # A view that is there is of no use to a model that does not read it.
    reads = dataclasses.replace(config, views=("csi", "iq"))
    with pytest.raises(ValueError, match="csi, iq"):
        prepare(reads, frame._replace(iq=None, csi=None), token)
    not_read = jnp.asarray([[True] * 4, [True, False, True, False]])
    with pytest.raises(ValueError, match="csi, iq"):
        prepare(reads, frame, token, not_read)
    without_samples = jnp.asarray([[False, True, False, True], [False, False, False, True]])
    with pytest.raises(ValueError, match="csi, iq"):
        prepare(reads, frame._replace(iq=None), token, without_samples)
