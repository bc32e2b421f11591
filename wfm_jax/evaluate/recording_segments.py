"""A recording as segments of one frame's length at the link's sample rate."""

import dataclasses
import functools
import math
from fractions import Fraction
from typing import Literal, NamedTuple

import jax
import numpy as np

from wfm_jax.evaluate.chunks import in_blocks
from wfm_jax.results.recorded_frames import frame_annotations
from wfm_jax.results.sigmf_file import DATATYPES, Recording
from wfm_jax.signal import frame_sync, resample
from wfm_jax.signal.link import LinkConfig
from wfm_jax.signal.segments import cut, holds_signal, mean_power, segment_starts

MOST_OVERSAMPLED = 200.0
CLIPPED_SHARE = 1e-3

Where = Literal["annotations", "hop", "prefix"]


@dataclasses.dataclass(frozen=True)
class Cutting:
    """How a recording is cut.

    Attributes:
        where: ``annotations``: at the starts of its annotations, and on by hops in long ones;
            ``hop``: by hops, wherever symbols begin; ``prefix``: by hops, each then moved to where
            cyclic prefix and pilots say that a frame begins, its carrier offset taken out.
        hop_samples: from one segment to the next at the link's rate; None is a frame.
        gate_db: segments of a power further below the loudest's are left out; None keeps all.
        most: segments that are taken.
    """

    where: Where = "hop"
    hop_samples: int | None = None
    gate_db: float | None = None
    most: int = 1000


class Segments(NamedTuple):
    """Segments of a recording, NumPy.

    Attributes:
        iq: complex64[n, n_samples], at the link's rate, in units of full scale.
        annotation: int64[n], which of the annotations each lies in; -1 where none was asked for.
        start: int64[n], first samples at the link's rate.
        carrier_offset_hz, coherence: float32[n], of the prefix; NaN where it was not asked.
        samples: complex64, what was read of the recording, at the link's rate.
        notes: lines for people: what may be wrong with the recording.
    """

    iq: np.ndarray
    annotation: np.ndarray
    start: np.ndarray
    carrier_offset_hz: np.ndarray
    coherence: np.ndarray
    samples: np.ndarray
    notes: tuple[str, ...]


def cut_recording(recording: Recording, config: LinkConfig, cutting: Cutting) -> Segments:
    """Reads, resamples and cuts a recording.

    Raises:
        ValueError: a sample rate at which the link's band cannot be there, a recording without any
            annotation or shorter than a frame, samples that are not finite or all zero; one line
            that names the file and the field.
    """
    notes = check_rate(recording, config)
    ratio = resample.rate_ratio(recording.sample_rate_hz, config.sample_rate_hz)
    window = frame_sync.window_samples(config) if cutting.where == "prefix" else config.n_samples
    starts, annotation = _starts(recording, config, cutting, ratio, window)
    reach = math.ceil((int(starts.max()) + window + 1.0 / resample.TRANSITION) / ratio)
    read = recording.read(0, min(recording.n_samples, reach))
    notes += check_samples(recording, read)
    samples = resample.resample(read, ratio)
    iq = cut(samples, starts, window)
    loud = holds_signal(mean_power(iq), cutting.gate_db)
    iq, starts, annotation = iq[loud], starts[loud], annotation[loud]
    carrier = coherence = np.full(starts.size, np.nan, np.float32)
    if cutting.where == "prefix":
        found = in_blocks(jax.jit(functools.partial(frame_sync.find_frames, config)), iq)
        iq, starts, carrier = found.iq, starts + found.start, found.carrier_offset_hz
        coherence = np.minimum(found.prefix_coherence, found.pilot_coherence)
    return Segments(iq, annotation, starts, carrier, coherence, samples, tuple(notes))


def _starts(
    recording: Recording, config: LinkConfig, cutting: Cutting, ratio: Fraction, window: int
) -> tuple[np.ndarray, np.ndarray]:
    """First samples at the link's rate of what is to be cut, and in which annotation they lie."""
    hop = cutting.hop_samples or config.n_samples
    spans = [
        (math.floor(start * ratio + Fraction(1, 2)), math.floor(count * ratio))
        for start, count in _spans(recording, cutting.where)
    ]
    found = [segment_starts([span], window, hop) for span in spans]
    starts = np.concatenate(found)[: cutting.most]
    if not starts.size:
        longest = max(count for _, count in spans)
        raise ValueError(
            f"{recording.path}: its longest stretch is {longest} samples at the link's "
            f"{config.sample_rate_hz:g} Hz, fewer than the {window} that are needed"
        )
    which = np.arange(len(found)) if cutting.where == "annotations" else np.array([-1])
    return starts, np.repeat(which, [at.size for at in found])[: cutting.most]


def check_rate(recording: Recording, config: LinkConfig) -> list[str]:
    """Notes on a sample rate; ValueError for one that makes no sense."""
    rate, where = recording.sample_rate_hz, f"{recording.path}: core:sample_rate"
    spacing_hz = config.sample_rate_hz / config.n_fft
    band_hz = config.n_subcarriers * spacing_hz
    if rate < 0.5 * band_hz:
        raise ValueError(
            f"{where}: {rate:g} Hz hold less than half of the link's band of {band_hz:g} Hz"
        )
    if rate > MOST_OVERSAMPLED * config.sample_rate_hz:
        raise ValueError(
            f"{where}: {rate:g} Hz are more than {MOST_OVERSAMPLED:g} times the link's "
            f"{config.sample_rate_hz:g} Hz: filter and decimate it first"
        )
    if rate < band_hz:
        return [f"The recording's {rate:g} Hz hold a part of the link's band of {band_hz:g} Hz."]
    return []


def check_samples(recording: Recording, samples: np.ndarray) -> list[str]:
    """Notes on samples; ValueError for those that hold nothing."""
    parts = np.abs(samples.view(np.float32))
    largest = parts.max()
    if largest == 0.0:
        raise ValueError(f"{recording.path}: all of its samples are zero")
    # Integers reach one step further below zero than above.
    dtype = np.dtype(DATATYPES[recording.datatype])
    step = 0.0 if dtype.kind == "f" else 2.0 ** (1 - 8 * dtype.itemsize)
    share = float(np.mean(parts >= largest - step))
    if share > CLIPPED_SHARE:
        return [f"The recording is clipped: {100 * share:.2g} % of its samples are at full scale."]
    return []


def _spans(recording: Recording, where: Where) -> list[tuple[int, int]]:
    """First sample and length of what is cut, at the recording's rate."""
    if where != "annotations":
        return [(0, recording.n_samples)]
    annotations = frame_annotations(recording) or recording.annotations
    if not annotations:
        raise ValueError(f"{recording.path}: annotations: there are none to cut at")
    found = []
    for number, annotation in enumerate(annotations):
        start = annotation["core:sample_start"]
        count = annotation.get("core:sample_count", recording.n_samples - start)
        if start < 0 or start + count > recording.n_samples:
            raise ValueError(
                f"{recording.path}: annotation {number}: core:sample_start {start} and "
                f"core:sample_count {count} reach beyond the {recording.n_samples} samples"
            )
        found.append((start, count))
    return found
