"""Places that a model is measured at: links that its training left out, and labelled recordings.

A simulated place draws frozen test frames as :class:`TestSet` does. A recorded one brings its own,
in groups of one nominal SNR, n0 = 10^(-snr_db/10), each of as many frames of every constellation as
the others: then frame i of one group can stand beside frame i of the next.
"""

import dataclasses
import functools
import os
import pathlib
import warnings
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from wfm_jax.evaluate.frames import REFERENCE_SNR_DB, TestSet
from wfm_jax.evaluate.many import Frames, draw_frames
from wfm_jax.evaluate.metrics import AMC_SNRS_DB
from wfm_jax.evaluate.recording_segments import Cutting, cut_recording
from wfm_jax.results.identity import digest
from wfm_jax.results.recorded_frames import (
    Labels,
    frame_annotations,
    full_scale_of,
    link_of,
    read_labels,
)
from wfm_jax.results.sigmf_file import Recording, open_recording
from wfm_jax.signal import link
from wfm_jax.signal.unseen import unseen_link

MODEL_SNRS_DB = tuple(sorted({*AMC_SNRS_DB, REFERENCE_SNR_DB}))
"""What metrics read."""
CURVE_SNRS_DB = tuple(float(snr_db) for snr_db in np.arange(10.0, 30.1, 2.5))
"""The teacher's, for the SNR at which it has another model's bit error rate."""
LONGEST_WORDS = 24


class Place(NamedTuple):
    """Where frames come from.

    Attributes:
        name: in result rows.
        words: what people read, at most ``LONGEST_WORDS`` characters.
        identity: its name, of a recording with a hash of its metadata: another recording of the
            same name is another place.
        test_set: which frames, of which link.
        snrs_db: of the teacher's curve, rising; ``MODEL_SNRS_DB`` are among them.
        draw: ``draw()``, the frames at these SNRs.
    """

    name: str
    words: str
    identity: str
    test_set: TestSet
    snrs_db: tuple[float, ...]
    draw: Callable[[], Frames]


@dataclasses.dataclass(frozen=True)
class RecordedSet(TestSet):
    """Frames that were recorded: whatever their K is, their strata are the modulations."""

    @property
    def k_bins(self) -> tuple[str, ...]:
        """A single one."""
        return ("all",)


def simulated_place(name: str, base: link.LinkConfig, *, frames: int, seed: int) -> Place:
    """A place of :data:`wfm_jax.signal.unseen.UNSEEN`.

    Args:
        name: of it; ``generalisation_rows.HOME`` is the link itself.
        base: the link that the model was trained on.
        frames: of each constellation, a multiple of the K bins (20 does).
        seed: of the frames.

    Raises:
        ValueError: an unknown name, or frames that the K bins do not divide.
    """
    found = unseen_link(name, base)
    bins = len(TestSet(found, seed).k_bins)
    if frames < 1 or frames % bins:
        raise ValueError(f"frames must be a multiple of {bins} K bins, got {frames}")
    test_set = TestSet(found, seed, frames_per_stratum=frames // bins)

    def draw() -> Frames:
        with warnings.catch_warnings(action="ignore"):  # of interference, when the link is copied
            return draw_frames(test_set, CURVE_SNRS_DB)

    return Place(name, name, name, test_set, CURVE_SNRS_DB, draw)


def recorded_place(path: str | os.PathLike) -> Place:
    """A labelled recording as a place; its name is the file's, its words the description.

    Args:
        path: of frames as :mod:`wfm_jax.results.recorded_frames` has them.

    Raises:
        ValueError: not such a recording, without labels, or of unequal groups; names the file and
            the field.
        OSError: a file that cannot be read.
    """
    recording = open_recording(path)
    config, annotations = link_of(recording), frame_annotations(recording)
    if config is None or not annotations:
        field = "wfm:link" if config is None else "annotations"
        raise ValueError(f"{path}: {field}: there are no labels of frames, which a place needs")
    labels = read_labels(config, recording, annotations)
    groups = _groups(labels, os.fspath(path))
    _check_groups(config, labels, groups, os.fspath(path))
    words = str(recording.fields.get("core:description") or pathlib.Path(path).stem)
    n_each = groups[REFERENCE_SNR_DB].size // len(config.bits_per_symbol)
    test_set = RecordedSet(config, seed=0, frames_per_stratum=n_each)

    def draw() -> Frames:
        order = np.stack([*groups.values()])
        known = Labels(*(values[order] for values in labels))
        views = jax.jit(jax.vmap(functools.partial(link.views, config)))
        shown = views(_read_frames(recording, config)[order])
        frame = link.Frame(**shown, **jax.device_put(known._asdict()))
        return Frames(test_set, tuple(groups), frame)

    name = pathlib.Path(path).stem
    identity = f"{name} {digest([recording.fields, recording.annotations])[:16]}"
    return Place(name, words[:LONGEST_WORDS], identity, test_set, tuple(groups), draw)


def _read_frames(recording: Recording, config: link.LinkConfig) -> np.ndarray:
    """complex64[n, n_samples], a row an annotated frame, in the frames' own units."""
    most = len(frame_annotations(recording))
    segments = cut_recording(recording, config, Cutting("annotations", most=most + 1))
    if not np.array_equal(segments.annotation, np.arange(most)):
        raise ValueError(f"{recording.path}: annotations: each must hold one frame, with a signal")
    return segments.iq * np.float32(full_scale_of(recording))


def _groups(labels: Labels, path: str) -> dict[float, np.ndarray]:
    """By nominal SNR, rising: which frames, in the order of their modulations."""
    if not np.all(labels.n0 > 0.0):
        raise ValueError(f"{path}: wfm:n0 must be positive in every frame")
    nominal_db = np.round(-10.0 * np.log10(labels.n0.astype(np.float64)), 2) + 0.0
    by_modulation = np.argsort(labels.modulation, kind="stable")
    return {
        float(snr_db): by_modulation[nominal_db[by_modulation] == snr_db]
        for snr_db in np.unique(nominal_db)
    }


def _check_groups(
    config: link.LinkConfig, labels: Labels, groups: dict[float, np.ndarray], path: str
) -> None:
    if missing := [f"{snr_db:g}" for snr_db in MODEL_SNRS_DB if snr_db not in groups]:
        there = ", ".join(f"{snr_db:g}" for snr_db in [*groups][:6])
        more = ", ..." if len(groups) > 6 else ""
        raise ValueError(
            f"{path}: wfm:n0: frames at a nominal SNR of {', '.join(missing)} dB are needed too; "
            f"there are frames at {there}{more} dB"
        )
    n_modulations = len(config.bits_per_symbol)
    counts = {
        snr_db: np.bincount(labels.modulation[of], minlength=n_modulations)
        for snr_db, of in groups.items()
    }
    wanted = counts[REFERENCE_SNR_DB][0]
    for snr_db, found in counts.items():
        if np.any(found != wanted) or not wanted:
            told = ", ".join(
                f"{n} of {2**m}-QAM" for n, m in zip(found, config.bits_per_symbol, strict=True)
            )
            raise ValueError(
                f"{path}: wfm:modulation: every SNR needs equally many frames of each "
                f"constellation; at {snr_db:g} dB there are {told}, at {REFERENCE_SNR_DB:g} dB "
                f"{wanted} of {2 ** config.bits_per_symbol[0]}-QAM"
            )
