"""Position codes: physical places, the same for frames of every size, each place its own."""

import dataclasses

import numpy as np
import pytest

from tests import small
from wfm_jax.model import ModelConfig, positions, preset
from wfm_jax.signal.link import LinkConfig, spectrogram


def sines_and_cosines(turns):
    return np.concatenate([np.sin(2 * np.pi * turns), np.cos(2 * np.pi * turns)], axis=1)


def test_frequency_codes_are_what_paths_do_to_a_patchs_middle():
    """exp(-j 2 pi f tau) of delays from 12.5 to 400 ns, evenly spaced in their logarithm."""
    config = preset("nano")  # 32 subcarriers of 625 kHz, patches of 2
    delays_s = 12.5e-9 * 32 ** (np.arange(12) / 11)
    middles_hz = (np.arange(-16, 16, 2) + 0.5) * 625e3
    code = positions.frequency_code(config)
    assert code.dtype == np.float32
    expected = sines_and_cosines(middles_hz[:, None] * delays_s)
    np.testing.assert_allclose(code, expected, atol=1e-5)


def test_the_same_frequency_has_the_same_code_on_every_link():
    """In twice the band, or as two patches of half the width, whose codes surround it."""
    narrow = preset("nano")
    code = positions.frequency_code(narrow)
    double = dataclasses.replace(
        narrow.link, n_subcarriers=64, sample_rate_hz=40e6, cp_samples=32, n_symbols=9
    )
    wide = dataclasses.replace(narrow, link=double)
    np.testing.assert_allclose(positions.frequency_code(wide)[8:24], code, atol=1e-6)
    fine = positions.frequency_code(dataclasses.replace(narrow, patch_subcarriers=1))
    half_step = np.tile(np.pi * 625e3 * positions.DELAYS_S, 2)
    np.testing.assert_allclose(fine[::2] + fine[1::2], 2 * np.cos(half_step) * code, atol=1e-5)


def test_time_codes_are_waves_of_4_to_64_symbols():
    times = np.array([0.0, 0.5, 3.25, 13.5])
    code = positions.time_code(times)
    assert code.shape == (4, positions.TIME_WAVES)
    expected = sines_and_cosines(times[:, None] / np.array([4.0, 8.0, 16.0, 32.0, 64.0]))
    np.testing.assert_allclose(code, expected, atol=1e-6)


@pytest.mark.parametrize(
    "code",
    [
        positions.frequency_code(preset("nano")),
        positions.frequency_code(preset("nano", small.NR_LIKE)),
        positions.time_code(positions.symbol_times(LinkConfig(n_symbols=64))),
        positions.segment_code(preset("nano")),
        positions.segment_code(preset("nano", small.NR_LIKE)),
    ],
    ids=["frequency", "frequency NR", "time", "segment", "segment NR"],
)
def test_no_two_places_share_a_code(code):
    """Farther apart than what float32 mistakes, and than what a tenth of the code's length is."""
    distance = np.linalg.norm(code[:, None] - code[None], axis=-1)
    # A cosine and a sine of each wave: every code is of the same length.
    length = np.sqrt(code.shape[1] / 2)
    np.testing.assert_allclose(np.linalg.norm(code, axis=1), length, rtol=1e-5)
    assert np.min(distance + 9.0 * np.eye(len(code))) > 0.02 * length


def test_segment_codes_tell_the_time_and_the_place_within_the_symbol():
    config = dataclasses.replace(preset("nano"), iq_segment=12)  # 4 segments a symbol of 48
    code = positions.segment_code(config)
    assert code.shape == (32, positions.SEGMENT_WAVES)
    middle = (np.arange(32) * 12 + 6) / 48
    np.testing.assert_array_equal(code[:, : positions.TIME_WAVES], positions.time_code(middle))
    within = code[:, positions.TIME_WAVES :]
    np.testing.assert_allclose(
        within, sines_and_cosines(np.outer(middle % 1.0, [1.0, 2.0, 3.0])), atol=1e-4
    )
    np.testing.assert_allclose(within[4:], within[:-4], atol=1e-4)
    assert positions.segment_code(dataclasses.replace(config, views=("grid",))).shape[0] == 0


@pytest.mark.parametrize("link", [LinkConfig(), small.NR_LIKE, small.LINK])
def test_times_are_the_middles_of_what_they_name(link):
    """A window at the time of its middle: the samples it sees lie evenly around it."""
    np.testing.assert_array_equal(positions.symbol_times(link), np.arange(link.n_symbols) + 0.5)
    rows = np.flatnonzero(link.pilot_mask.any(axis=1))
    np.testing.assert_array_equal(positions.pilot_times(link), rows + 0.5)

    impulses = np.eye(link.n_samples, dtype=np.complex64)  # one frame per sample
    power = 10 ** (np.asarray(spectrogram(impulses, link.n_fft, link.n_subcarriers)) / 10)
    power = power.mean(axis=2).T  # [window, sample]: the window's own square, 0 at its first sample
    seen = power @ np.arange(link.n_samples) / power.sum(axis=1)
    np.testing.assert_allclose(positions.window_times(link) * link.symbol_samples, seen, atol=1e-3)


def test_codes_of_a_model_are_made_for_its_own_tokens():
    config = ModelConfig(link=small.NR_LIKE, patch_subcarriers=3, iq_segment=100)
    assert positions.frequency_code(config).shape == (16, positions.FREQUENCY_WAVES)
    assert positions.segment_code(config).shape == (12, positions.SEGMENT_WAVES)  # 1,176 samples
