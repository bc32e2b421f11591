"""What writing a recording, or reading one, would do and cost."""

import os

from wfm_jax.evaluate import probe
from wfm_jax.evaluate.frame_recording import RECORDING, FrameRecording
from wfm_jax.evaluate.measuring_plan import Part, frame_bytes, plan_measuring
from wfm_jax.evaluate.recording_study import RecordingStudy, views_read
from wfm_jax.model import ModelConfig
from wfm_jax.results.plan import Fact, Plan, counted, disk_fact
from wfm_jax.results.room import in_units
from wfm_jax.results.sigmf_file import Recording, sample_bytes

_ANNOTATION_BYTES = 700.0


def plan_recording(wanted: FrameRecording, folder: Fact, workdir: str | os.PathLike) -> Plan:
    """The plan of frames that are recorded.

    Args:
        wanted: what to record.
        folder: what would become of the run folder.
        workdir: where it would write.
    """
    n_samples = int(wanted.n_frames * wanted.link.n_samples * wanted.stretch)
    on_air_ms = 1e3 * n_samples / wanted.rate_hz
    n_bytes = n_samples * sample_bytes(wanted.datatype)
    held = wanted.n_frames * frame_bytes(wanted.link)
    facts = (
        folder,
        Fact(
            "frames",
            counted(wanted.n_frames, "frame"),
            f"{counted(n_samples, 'sample')} at {wanted.rate_hz / 1e6:g} MHz, {on_air_ms:.3g} ms",
        ),
        Fact("compiling", counted(1, "program"), "that draws all frames"),
        Fact("memory", in_units(held), "the frames with their views"),
        disk_fact(workdir, n_bytes + _ANNOTATION_BYTES * wanted.n_frames, f"{RECORDING} and data"),
        Fact("time", "seconds", "most of them to compile"),
    )
    return Plan("recording of simulated frames", facts)


def plan_hearing(
    study: RecordingStudy,
    recording: Recording,
    config: ModelConfig,
    folder: Fact,
    workdir: str | os.PathLike,
) -> Plan:
    """The plan of a model on a recording, as far as its metadata tells.

    Args:
        study: what is asked.
        recording: the recording; none of its samples is read.
        config: the model.
        folder: what would become of the run folder.
        workdir: where it would write.

    Raises:
        ValueError: as :func:`wfm_jax.evaluate.recording_study.hear` for what it can tell already.
    """
    reading = views_read(study, recording, config)
    hop = study.hop_samples or config.link.n_samples
    at_our_rate = recording.n_samples * config.link.sample_rate_hz / recording.sample_rate_hz
    n = min(study.most, max(1, int(at_our_rate / hop)))
    words = f"of {recording.path.name}, at most"
    parts = [
        Part("+".join(views), 1, n, words, passes=probe.SCORE_PASSES) for views in reading.subsets
    ]
    n_rows = n * len(parts)
    return plan_measuring("a recording", folder, parts, config, workdir, n_rows=n_rows)
