"""A recording is cut where it should be, at any rate; what makes no sense is one line."""

import dataclasses
import pathlib

import numpy as np
import pytest

from tests import small
from wfm_jax.evaluate.frame_recording import FrameRecording, draw_frames, record_frames
from wfm_jax.evaluate.recording_segments import Cutting, cut_recording
from wfm_jax.results.sigmf_file import Recording, open_recording

LINK, N = small.LINK, 24
WHERE = pathlib.Path("a.sigmf-meta")


def recording(samples, rate_hz=LINK.sample_rate_hz, annotations=()):
    """One that is in memory."""

    def read(start, count):
        return samples[start : start + count]

    return Recording(WHERE, "cf32_le", rate_hz, samples.size, {}, list(annotations), read)


def noise(n, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=n) + 1j * rng.normal(size=n)).astype(np.complex64)


@pytest.fixture(scope="module")
def frames():
    return draw_frames(FrameRecording(LINK, N))[1]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """``written(datatype, rate_hz)``: the opened recording of the frames."""

    def write(datatype="cf32_le", rate_hz=None):
        folder = tmp_path_factory.mktemp("recording")
        return open_recording(record_frames(FrameRecording(LINK, N, 0, datatype, rate_hz), folder))

    return write


def test_annotated_frames_are_cut_bit_for_bit(frames, written):
    found = cut_recording(written(), LINK, Cutting("annotations"))
    np.testing.assert_array_equal(found.iq.view(np.uint32), frames.iq.view(np.uint32))
    np.testing.assert_array_equal(found.annotation, np.arange(N))
    np.testing.assert_array_equal(found.start, np.arange(N) * LINK.n_samples)
    assert np.isnan(found.coherence).all()
    assert found.notes == ()


@pytest.mark.parametrize("rate_hz", [12.5e6, 20e6, 7.5e6 * 2])
def test_frames_at_another_rate_come_back_but_for_the_bands_edges(frames, written, rate_hz):
    """What lies within 90 % of the band, by a Fourier transform of the whole recording."""
    found = cut_recording(written(rate_hz=rate_hz), LINK, Cutting("annotations"))
    ours, theirs = (np.fft.fft(x.iq.reshape(-1)) for x in (found, frames))
    inside = np.abs(np.fft.fftfreq(ours.size)) < 0.45
    error = np.sum(np.square(np.abs(ours - theirs)[inside]))
    # Both ends of the recording are cut off, which is felt for some fifty samples.
    assert error / np.sum(np.square(np.abs(theirs[inside]))) < 2e-3
    np.testing.assert_array_equal(found.start, np.arange(N) * LINK.n_samples)


def test_hops_run_through_the_whole_recording():
    samples = noise(1000)
    found = cut_recording(recording(samples), LINK, Cutting("hop", hop_samples=150))
    np.testing.assert_array_equal(found.start, np.arange(0, 1000 - LINK.n_samples + 1, 150))
    for row, start in zip(found.iq, found.start, strict=True):
        np.testing.assert_array_equal(row, samples[start : start + LINK.n_samples])
    few = cut_recording(recording(samples), LINK, Cutting("hop", 150, most=2))
    np.testing.assert_array_equal(few.iq, found.iq[:2])
    assert few.samples.size < samples.size


def test_long_annotations_of_others_are_hopped_through():
    n = LINK.n_samples
    annotations = [
        {"core:sample_start": 10, "core:sample_count": 2 * n + 5},
        {"core:sample_start": 400, "core:sample_count": n - 1},
        {"core:sample_start": 1000 - n},
    ]
    found = cut_recording(
        recording(noise(1000), annotations=annotations), LINK, Cutting("annotations")
    )
    np.testing.assert_array_equal(found.start, [10, 10 + n, 1000 - n])
    np.testing.assert_array_equal(found.annotation, [0, 0, 2])


def test_silence_is_left_out():
    samples = noise(4 * LINK.n_samples)
    samples[LINK.n_samples : 2 * LINK.n_samples] *= 1e-3
    samples[2 * LINK.n_samples : 3 * LINK.n_samples] = 0.0
    for gate_db, kept in ((None, [0, 1, 3]), (30.0, [0, 3])):
        found = cut_recording(recording(samples), LINK, Cutting("hop", gate_db=gate_db))
        np.testing.assert_array_equal(found.start, np.array(kept) * LINK.n_samples)


def test_prefix_and_pilots_find_frames(frames):
    """Behind 37 samples of nothing in particular, every frame at 15 dB and more is found to within
    a prefix, at least nine of ten."""
    loud = np.asarray(frames.snr_db) > 15.0
    stream = np.concatenate([noise(37), np.asarray(frames.iq)[loud].reshape(-1)])
    found = cut_recording(recording(stream), LINK, Cutting("prefix"))
    error = (found.start - 37 + LINK.n_samples // 2) % LINK.n_samples - LINK.n_samples // 2
    assert np.mean(np.abs(error) <= LINK.cp_samples) > 0.9
    assert np.isfinite(found.coherence).all()
    assert np.isfinite(found.carrier_offset_hz).all()
    assert found.iq.shape == (found.start.size, LINK.n_samples)


def test_a_clipped_recording_is_told():
    samples = noise(20 * LINK.n_samples)
    assert cut_recording(recording(samples), LINK, Cutting("hop")).notes == ()
    clipped = (np.clip(samples.real, -1, 1) + 1j * np.clip(samples.imag, -1, 1)).astype(
        np.complex64
    )
    (note,) = cut_recording(recording(clipped), LINK, Cutting("hop")).notes
    assert "clipped" in note
    share = np.mean(np.abs(samples.view(np.float32)) >= 1.0)
    assert f"{100 * share:.2g} %" in note


@pytest.mark.parametrize("datatype", ["ci16_le", "ci8", "cu8"])
def test_full_scale_alone_is_no_clipping(written, datatype):
    assert cut_recording(written(datatype), LINK, Cutting("annotations")).notes == ()


def test_a_recording_of_a_part_of_the_band_is_told():
    (note,) = cut_recording(recording(noise(2000), 6e6), LINK, Cutting("hop")).notes
    assert "6e+06 Hz hold a part" in note


@pytest.mark.parametrize(
    "made, cutting, message",
    [
        (
            recording(noise(100), 4.9e6),
            Cutting(),
            "core:sample_rate: 4.9e.06 Hz hold less than half",
        ),
        (recording(noise(100), 2.1e9), Cutting(), "core:sample_rate: 2.1e.09 Hz are more than 200"),
        (recording(noise(LINK.n_samples - 1)), Cutting(), "95 samples at .* fewer than the 96"),
        (recording(noise(150)), Cutting("prefix"), "150 samples at .* fewer than the 192"),
        (recording(noise(100)), Cutting("annotations"), "annotations: there are none"),
        (
            recording(noise(500), annotations=[{"core:sample_start": 0, "core:sample_count": 501}]),
            Cutting("annotations"),
            "annotation 0: core:sample_start 0 and core:sample_count 501",
        ),
        (
            recording(noise(500), annotations=[{"core:sample_start": -1}]),
            Cutting("annotations"),
            "annotation 0: core:sample_start -1",
        ),
        (
            recording(noise(500), annotations=[{"core:sample_start": 450}]),
            Cutting("annotations"),
            "50 samples at .* fewer than the 96",
        ),
        (recording(np.zeros(500, np.complex64)), Cutting(), "all of its samples are zero"),
    ],
)
def test_what_makes_no_sense_is_one_line_that_names_the_file(made, cutting, message):
    with pytest.raises(ValueError, match=message) as error:
        cut_recording(made, LINK, cutting)
    assert str(error.value).startswith("a.sigmf-meta: ")
    assert "\n" not in str(error.value)


def test_a_frame_of_broken_samples_cannot_be_recorded():
    with pytest.raises(ValueError, match=r"no whole number of samples at 1.1e.07 Hz"):
        FrameRecording(LINK, 2, sample_rate_hz=11e6)
    odd = dataclasses.replace(LINK, n_symbols=5)
    assert FrameRecording(odd, 2, sample_rate_hz=11e6).stretch.numerator == 11
