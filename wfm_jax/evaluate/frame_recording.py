"""Frames drawn from a link and left as a SigMF recording with exact labels."""

import dataclasses
import os
import pathlib
from fractions import Fraction

import jax
import numpy as np

from wfm_jax.results.recorded_frames import annotations_of, global_fields, labels_of
from wfm_jax.results.sigmf_file import write_recording
from wfm_jax.signal import link, resample

RECORDING = "frames.sigmf-meta"
RECORD_STREAM = 0x5EC0
HEADROOM = 1.0 + 1e-6


@dataclasses.dataclass(frozen=True)
class FrameRecording:
    """What to record.

    Attributes:
        link: of the frames.
        n_frames: how many, one behind the other.
        seed: the key is ``fold_in(key(seed), RECORD_STREAM)``: no test frames.
        datatype: of :data:`wfm_jax.results.sigmf_file.DATATYPES`. Floats are in the frames' own
            units; for integers the largest sample is full scale.
        sample_rate_hz: of the recording; None is the link's.
    """

    link: link.LinkConfig
    n_frames: int
    seed: int = 0
    datatype: str = "cf32_le"
    sample_rate_hz: float | None = None

    def __post_init__(self):
        if (self.link.n_samples * self.stretch).denominator != 1:
            raise ValueError(
                f"a frame of {self.link.n_samples} samples at {self.link.sample_rate_hz:g} Hz is "
                f"no whole number of samples at {self.sample_rate_hz:g} Hz"
            )

    @property
    def rate_hz(self) -> float:
        """Of the recording."""
        return self.sample_rate_hz or self.link.sample_rate_hz

    @property
    def stretch(self) -> Fraction:
        """The recording's rate over the link's."""
        return resample.rate_ratio(self.link.sample_rate_hz, self.rate_hz)


def draw_frames(wanted: FrameRecording) -> tuple[link.Draw, link.Frame]:
    """The frames that are recorded, and what was drawn of their links."""
    key = jax.random.fold_in(jax.random.key(wanted.seed, impl="threefry2x32"), RECORD_STREAM)
    return jax.device_get(jax.jit(_draw, static_argnums=(0, 1))(wanted.link, wanted.n_frames, key))


def record_frames(wanted: FrameRecording, folder: str | os.PathLike) -> pathlib.Path:
    """Draws frames and writes them; returns the path of the metadata in ``folder``."""
    config, path = wanted.link, pathlib.Path(folder) / RECORDING
    draw, frame = draw_frames(wanted)
    samples = resample.resample(np.asarray(frame.iq).reshape(-1), wanted.stretch)
    full_scale = 1.0
    if not wanted.datatype.startswith("cf"):
        full_scale = HEADROOM * float(np.max(np.abs(samples.view(np.float32))))
        samples = samples / np.float32(full_scale)
    annotations = annotations_of(config, labels_of(config, frame), draw, stretch=wanted.stretch)
    words = {"core:description": f"{wanted.n_frames} simulated OFDM frames with exact labels"}
    write_recording(
        path,
        samples,
        wanted.rate_hz,
        datatype=wanted.datatype,
        fields=global_fields(config, full_scale) | words,
        annotations=annotations,
    )
    return path


def _draw(config: link.LinkConfig, n_frames: int, key: jax.Array) -> tuple[link.Draw, link.Frame]:
    key_draw, key_send = jax.random.split(key)
    draw = link.draw_links(config, key=key_draw, batch_size=n_frames)
    return draw, link.transmit(config, draw, key=key_send)
