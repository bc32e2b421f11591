"""A recording from its samples to rows: cut, answered and, where it has labels, scored."""

import dataclasses
import hashlib
from typing import Any, Literal, NamedTuple

import numpy as np

from wfm_jax.evaluate.recording_answers import Answers, answer_segments, score_segments
from wfm_jax.evaluate.recording_scores import score_rows
from wfm_jax.evaluate.recording_segments import Cutting, Segments, Where, cut_recording
from wfm_jax.model import ModelConfig
from wfm_jax.model.config import VIEWS
from wfm_jax.results.recorded_frames import (
    Labels,
    frame_annotations,
    full_scale_of,
    link_of,
    read_labels,
)
from wfm_jax.results.rows import Row
from wfm_jax.results.sigmf_file import Recording
from wfm_jax.signal.link import LinkConfig
from wfm_jax.signal.segments import mean_power

Views = Literal["iq", "all"]


@dataclasses.dataclass(frozen=True)
class RecordingStudy:
    """What is asked of a recording.

    Attributes:
        where, hop_samples, gate_db, most: of :class:`Cutting`; ``where`` of None is at the frames
            that the recording has annotated, or else by hops.
        views: ``iq``, the samples alone; ``all``, the views made of them too; None: both where
            segments begin at symbols of the link, else ``iq``.
    """

    where: Where | None = None
    hop_samples: int | None = None
    gate_db: float | None = None
    most: int = 1000
    views: Views | None = None


class Reading(NamedTuple):
    """How a recording will be read, as its metadata says.

    Attributes:
        link: of its frames.
        where: segments begin.
        labelled: whether every segment is a frame whose truth is known.
        subsets: the views that the model is given, one set after the other.
    """

    link: LinkConfig
    where: Where
    labelled: bool
    subsets: tuple[tuple[str, ...], ...]


class Heard(NamedTuple):
    """What came of a recording.

    Attributes:
        segments: rows of ``results.recording_rows.SEGMENT_COLUMNS``.
        scores: rows of ``results.recording_rows.SCORE_COLUMNS``; none without labels.
        samples: complex64, what was read, at the link's rate.
        rate_hz: that rate.
        notes: lines for people: what may be wrong with the recording.
    """

    segments: list[Row]
    scores: list[Row]
    samples: np.ndarray
    rate_hz: float
    notes: tuple[str, ...]


def hear(
    study: RecordingStudy,
    recording: Recording,
    config: ModelConfig,
    params: Any,
    *,
    teacher_hash: str,
) -> Heard:
    """Runs a model on a recording.

    Args:
        study: what to do.
        recording: the recording; frames of a link that it names are read as that link's.
        config: the model.
        params: its parameters.
        teacher_hash: names the model's weights in the rows.

    Raises:
        ValueError: as ``cut_recording`` and ``read_labels`` do, or frames of other constellations
            than the model's.
    """
    reading = views_read(study, recording, config)
    config = dataclasses.replace(config, link=reading.link)
    cutting = Cutting(reading.where, study.hop_samples, study.gate_db, study.most)
    segments = cut_recording(recording, config.link, cutting)
    labels = _labels(config, recording, segments) if reading.labelled else None
    digest = hashlib.sha256(segments.iq.tobytes()).hexdigest()[:16]
    named = {"recording": digest, "teacher_hash": teacher_hash}
    found, scores = [], []
    for subset, said in zip(
        reading.subsets,
        answer_segments(config, params, segments.iq, reading.subsets),
        strict=True,
    ):
        rows = segment_rows(config, "+".join(subset), segments, said, labels)
        found += [row | named for row in rows]
    if labels is not None:
        iq = segments.iq * np.float32(full_scale_of(recording))
        scored = score_segments(config, params, iq, labels, reading.subsets)
        for subset, values in zip(reading.subsets, scored, strict=True):
            rows = score_rows("+".join(subset), values, labels, config.n_modulations)
            scores += [row | named for row in rows]
    return Heard(found, scores, segments.samples, config.link.sample_rate_hz, segments.notes)


def views_read(study: RecordingStudy, recording: Recording, config: ModelConfig) -> Reading:
    """How a model reads a recording; none of its samples is looked at.

    Raises:
        ValueError: frames of other constellations than the model's.
    """
    framed = bool(recording.fields.get("wfm:link") and frame_annotations(recording))
    where = study.where or ("annotations" if framed else "hop")
    labelled = framed and where == "annotations"
    subsets = _subsets(study, config, synchronous=labelled or where == "prefix")
    return Reading(_link(recording, config), where, labelled, tuple(subsets))


def segment_rows(
    config: ModelConfig,
    views: str,
    segments: Segments,
    answers: Answers,
    labels: Labels | None,
) -> list[Row]:
    """Rows of ``results.recording_rows.SEGMENT_COLUMNS`` without the hashes.

    Args:
        config: the model.
        views: that it was given, joined by ``+``.
        segments: of the recording.
        answers: to each of them.
        labels: the truth of each, where it is known.
    """
    points = 2 ** np.asarray(config.link.bits_per_symbol)
    decided = np.argmax(answers.modulation, axis=1)
    power = mean_power(segments.iq)
    rows: list[Row] = [
        {
            "views": views,
            "segment": i,
            "start_s": segments.start[i] * config.link.sample_s,
            "power_dbfs": 10.0 * np.log10(power[i]),
            "carrier_offset_hz": segments.carrier_offset_hz[i],
            "coherence": segments.coherence[i],
            "modulation": points[decided[i]],
            "modulation_probability": answers.modulation[i, decided[i]],
            "snr_db": answers.snr_db[i],
            "k_db": answers.k_db[i],
            "los_probability": answers.los[i],
            "delay_spread_ns": 1e9 * answers.delay_spread_s[i],
        }
        for i in range(power.size)
    ]
    if labels is not None:
        for i, row in enumerate(rows):
            row |= {
                "true_modulation": points[labels.modulation[i]],
                "true_snr_db": labels.snr_db[i],
                "true_k_db": labels.k_db[i],
                "true_los": int(labels.los[i]),
                "true_delay_spread_ns": 1e9 * labels.delay_spread_s[i],
            }
    return rows


def _link(recording: Recording, config: ModelConfig) -> LinkConfig:
    """The recording's link, or the model's. Raises ValueError where the model cannot read it."""
    found = link_of(recording) or config.link
    if found.bits_per_symbol != config.link.bits_per_symbol:
        raise ValueError(
            f"{recording.path}: wfm:link: its frames have {found.bits_per_symbol} bits a symbol, "
            f"the model tells {config.link.bits_per_symbol} apart"
        )
    return found


def _labels(config: ModelConfig, recording: Recording, segments: Segments) -> Labels:
    """The labels of segments, each in an annotated frame."""
    annotations = frame_annotations(recording)
    return read_labels(config.link, recording, [annotations[i] for i in segments.annotation])


def _subsets(
    study: RecordingStudy, config: ModelConfig, *, synchronous: bool
) -> list[tuple[str, ...]]:
    everything = tuple(view for view in VIEWS if view in config.views)
    wanted = {"iq": [("iq",)], "all": [everything]}
    both = [("iq",), everything] if synchronous else [("iq",)]
    found = wanted[study.views] if study.views else both
    return list(dict.fromkeys(found))
