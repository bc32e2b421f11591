"""Packed models beside their teacher, frame by frame, at places that no training saw.

The question is not how good a compressed model is elsewhere but what compression costs there: its
loss against the teacher on the same frames, beside what the place costs the teacher itself, and
beside the loss at home. The teacher is scored over SNR, for its curve of bit error rates; the
packed models at the SNRs that metrics read.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.evaluate.frames import REFERENCE_SNR_DB, hash_frame
from wfm_jax.evaluate.many import Frames, make_scorer
from wfm_jax.evaluate.packed_models import PackedModel
from wfm_jax.evaluate.places import MODEL_SNRS_DB, Place
from wfm_jax.evaluate.scores import Scored
from wfm_jax.export.compressed import nested
from wfm_jax.model import ModelConfig, Quantized, activation_points, build, with_activations
from wfm_jax.results.generalisation_rows import HOME
from wfm_jax.results.progress import Progress


@dataclasses.dataclass(frozen=True)
class GeneralisationStudy:
    """What to measure.

    Attributes:
        places: the first is ``HOME``; their names differ.
        packed: the models, at least one.
        seed: of the resampling.
    """

    places: tuple[Place, ...]
    packed: tuple[PackedModel, ...]
    seed: int

    def __post_init__(self):
        names = [place.name for place in self.places]
        if names[:1] != [HOME]:
            raise ValueError(f"the first of the places must be {HOME}")
        if twice := [name for i, name in enumerate(names) if name in names[:i]]:
            raise ValueError(f"places must have different names, two are called {twice[0]}")
        if not self.packed:
            raise ValueError("at least one packed model is needed")


class Teacher(NamedTuple):
    """The uncompressed model: architecture, parameters, and the hash that rows carry."""

    config: ModelConfig
    params: Any
    hash: str


class Measured(NamedTuple):
    """What came of a place.

    Attributes:
        frames_hash: of its frames at the reference SNR.
        teacher: at the SNRs of its curve.
        packed: at ``MODEL_SNRS_DB``, in the order of the study.
        los_differs: whether there are frames with and without a line of sight.
    """

    frames_hash: str
    teacher: Scored
    packed: tuple[Scored, ...]
    los_differs: bool


def measure_place(
    place: Place,
    teacher: Teacher,
    packed: Sequence[PackedModel],
    *,
    progress: Progress,
    check: Callable[[], None],
) -> Measured:
    """Scores teacher and packed models on the frames of a place.

    A model's parameters do not depend on the size of a frame, so each reads the place's link.

    Args:
        place: where.
        teacher: the uncompressed model.
        packed: the others.
        progress: one step a model.
        check: called between models; what it raises ends the run.
    """
    check()
    curve = place.draw()
    of_teacher = _scorer(teacher.config, curve, activations=False)(teacher.params)
    progress.advance(1, f"{place.words}, teacher")
    frames = at_snrs(curve, MODEL_SNRS_DB)
    scorers: dict[tuple[ModelConfig, bool], Callable[[Any], Scored]] = {}
    scored = []
    for one in packed:
        check()
        config, params, _, ranges, act_bits = one.model
        key = (config, ranges is not None)
        if key not in scorers:
            scorers[key] = _scorer(config, frames, activations=ranges is not None)
        seen: Any = nested(params)
        if ranges is not None:
            seen = Quantized(seen, ranges, jnp.float32(act_bits))
        scored.append(scorers[key](seen))
        progress.advance(1, f"{place.words}, {one.label}")
    at_reference = jax.tree.map(lambda x: x[frames.snrs_db.index(REFERENCE_SNR_DB)], frames.frame)
    los_differs = np.unique(np.asarray(at_reference.los)).size > 1
    return Measured(hash_frame(at_reference), of_teacher, tuple(scored), los_differs)


def at_snrs(frames: Frames, snrs_db: Sequence[float]) -> Frames:
    """The frames at some of their SNRs. Raises ValueError for one that they do not have."""
    rows = np.array([frames.snrs_db.index(snr_db) for snr_db in snrs_db])
    return Frames(frames.test_set, tuple(snrs_db), jax.tree.map(lambda x: x[rows], frames.frame))


def _scorer(config: ModelConfig, frames: Frames, *, activations: bool) -> Callable[[Any], Scored]:
    """Of plain parameters, or of those with ranges of activations, on the frames' own link."""
    config = dataclasses.replace(config, link=frames.test_set.link)
    apply: Any = build(config, jax.random.key(0))[0]
    if activations:
        apply = with_activations(apply, activation_points(config))
    return make_scorer(config, apply, frames)
