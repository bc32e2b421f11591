"""Inputs of the model: unit rms, aligned, and nothing of the labels."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.model import prepare
from wfm_jax.model.batches import to_batch
from wfm_jax.model.config import VIEWS
from wfm_jax.model.views import lattice_lines, n_patch_features
from wfm_jax.signal import link, mixed_qam, ofdm, qam

SUBSETS = [views for n in range(1, 5) for views in itertools.combinations(VIEWS, n)]
LABELS = set(link.Frame._fields) - {"iq", "grid", "csi", "spectrogram"}


@pytest.fixture(scope="module")
def read(config):
    return jax.jit(functools.partial(prepare, config))


@pytest.mark.parametrize("gain", [0.1, 10.0])
def test_received_power_changes_no_input(batch, read, gain):
    frame = batch.frame
    louder = frame._replace(
        iq=gain * frame.iq,
        grid=gain * frame.grid,
        csi=gain * frame.csi,
        spectrogram=frame.spectrogram + 20 * np.float32(np.log10(gain)),
    )
    expected, received = read(frame, frame.modulation)
    got, received_louder = read(louder, frame.modulation)
    for name in expected._fields:
        np.testing.assert_allclose(
            getattr(got, name), getattr(expected, name), rtol=1e-4, atol=1e-4, err_msg=name
        )
    np.testing.assert_allclose(received_louder.gain * gain, received.gain, rtol=1e-5)


def test_inputs_are_of_unit_rms(batch):
    power = np.mean(np.abs(batch.inputs.grid) ** 2, axis=(1, 2))
    np.testing.assert_allclose(power, 1.0, rtol=1e-5)
    segments = np.asarray(batch.inputs.segments)
    assert 0.5 < np.mean(segments**2) * 2 < 2.0
    assert np.abs(batch.inputs.patches).max() < 30.0


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
    expected, _ = read(frame, token)
    got, _ = read(frame._replace(**other), token)
    jax.tree.map(np.testing.assert_array_equal, got, expected)


@pytest.mark.parametrize("views", SUBSETS, ids="+".join)
@pytest.mark.parametrize("patch_subcarriers", [1, 4])
def test_declared_widths_are_the_actual_ones(config, batch, views, patch_subcarriers):
    config = dataclasses.replace(config, views=views, patch_subcarriers=patch_subcarriers)
    inputs, _ = jax.eval_shape(
        functools.partial(prepare, config), batch.frame, batch.frame.modulation
    )
    assert inputs.patches.shape == (32, config.n_patches, n_patch_features(config))
    assert inputs.segments.shape == (32, config.n_tokens - 1 - config.n_patches, 192)


def test_segments_are_the_samples_over_the_rms(batch):
    iq = np.asarray(batch.frame.iq)
    rms = np.sqrt(np.mean(np.abs(np.asarray(batch.frame.grid)) ** 2, axis=(1, 2)))
    samples = (iq / rms[:, None]).reshape(32, 1, 96)
    expected = np.concatenate([samples.real, samples.imag], axis=-1)
    np.testing.assert_allclose(batch.inputs.segments, expected, rtol=1e-4, atol=1e-4)


def test_patches_hold_whole_columns_of_the_grid(config, batch):
    """A token spans the frame in time and ``patch_subcarriers`` columns: row-major [row, column],
    real parts before imaginary ones."""
    config = dataclasses.replace(config, views=("grid",))
    inputs, _ = jax.jit(functools.partial(prepare, config))(batch.frame, batch.frame.modulation)
    grid = np.asarray(inputs.grid)
    for token in (0, 3, 7):
        columns = grid[:, :, 2 * token : 2 * token + 2]
        expected = np.concatenate([columns.real, columns.imag], axis=1).reshape(32, -1)
        np.testing.assert_array_equal(inputs.patches[:, token], expected)


@pytest.mark.parametrize("index, m", [*enumerate((2, 4, 6, 8))])
def test_lattice_lines_are_one_on_the_right_constellation(config, index, m):
    points = np.asarray(qam.constellation(m))
    symbols = np.random.default_rng(m).choice(points, (3, 4, 16))
    lines = np.asarray(lattice_lines(config.link, jnp.asarray(symbols))).mean(axis=-1)
    np.testing.assert_allclose(lines[:, index], 1.0, atol=1e-3)
    assert np.all(np.delete(lines, index, axis=1) < 0.9)


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
    error = np.mean(np.abs(np.asarray(batch.inputs.pilots) - at_pilots) ** 2, axis=1)
    relative = error / np.asarray(batch.n0 / 2)
    assert abs(relative.mean() - 1) < 5 * relative.std() / np.sqrt(32)


def test_the_modulation_token_is_masked_where_blind(config, batch):
    blind = jnp.arange(32) % 3 == 0
    prepared = jax.jit(functools.partial(to_batch, config))(batch.frame, blind)
    token = np.asarray(prepared.inputs.modulation)
    np.testing.assert_array_equal(token, np.where(blind, 4, batch.frame.modulation))
    assert 0 < np.asarray(batch.blind).sum() < 32
