"""Frames are found where they begin, whatever lies before them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import small
from wfm_jax.signal import link, offsets
from wfm_jax.signal.frame_sync import find_frames, window_samples
from wfm_jax.signal.tapped_delay_line import AWGN

LINK = dataclasses.replace(
    link.LinkConfig(), scenario=AWGN, max_timing_offset=0, snr_db_range=(20.0, 20.0)
)
find = jax.jit(find_frames, static_argnums=0, static_argnames="early")


@pytest.fixture(scope="module")
def frames():
    draw = jax.jit(link.sample_frames, static_argnames=("config", "batch_size"))
    return np.asarray(draw(LINK, key=jax.random.key(0), batch_size=65).iq)


def test_a_frame_is_found_anywhere(frames):
    """Windows at every offset of a stream of frames: the start is that of the next frame, and what
    is cut out is the frame."""
    stream, n = frames.reshape(-1), LINK.n_samples
    shifts = np.arange(64) * 6 % n
    begins = np.arange(63) * n + shifts[:63]
    windows = stream[begins[:, None] + np.arange(window_samples(LINK))]
    found = find(LINK, jnp.asarray(windows[: len(begins)]), early=0)
    error = (np.asarray(found.start) + begins + n // 2) % n - n // 2
    assert np.mean(error == 0) > 0.9
    assert np.max(np.abs(error)) <= 2
    right = np.flatnonzero(error == 0)
    which = (np.asarray(found.start) + begins)[right] // n
    turned = np.sum(np.asarray(found.iq)[right] * np.conj(frames[which]), axis=1)
    energy = np.sum(np.square(np.abs(frames[which])), axis=1)
    assert np.min(np.abs(turned) / energy) > 0.99


def test_the_oscillator_is_taken_out(frames):
    stream = frames[:40].reshape(20, -1)
    offset_hz = np.linspace(-0.3, 0.3, 20) * LINK.sample_rate_hz / LINK.n_fft
    turn = offsets.oscillator(jnp.asarray(offset_hz, jnp.float32), stream.shape[1], LINK.sample_s)
    found = find(LINK, stream * turn, early=0)
    spacing_hz = LINK.sample_rate_hz / LINK.n_fft
    np.testing.assert_allclose(found.carrier_offset_hz, offset_hz, atol=0.02 * spacing_hz)
    assert np.min(found.prefix_coherence) > 0.9
    assert np.min(found.pilot_coherence) > 0.9


def test_noise_is_no_frame():
    noise = small.received(dataclasses.replace(LINK, n_symbols=16), 60, seed=0).iq
    found = find(LINK, noise)
    assert np.max(found.prefix_coherence) < 0.5
    assert np.median(found.pilot_coherence) < 0.6


def test_frames_begin_early_by_what_is_asked(frames):
    stream = frames[:40].reshape(20, -1)
    rolled = np.roll(stream, 10, axis=1)
    at = [np.asarray(find(LINK, rolled, early=early).start) for early in (0, 3)]
    np.testing.assert_array_equal(at[0] - at[1], 3)


def test_a_link_with_a_single_pilot_symbol_is_refused():
    single = dataclasses.replace(LINK, pilot_symbols=(1,))
    with pytest.raises(ValueError, match="two pilot symbols"):
        find_frames(single, jnp.zeros((1, window_samples(single)), jnp.complex64))
    with pytest.raises(ValueError, match="windows"):
        find_frames(LINK, jnp.zeros((1, 100), jnp.complex64))
