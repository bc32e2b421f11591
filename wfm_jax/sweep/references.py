"""What a sweep measures itself by: frame scores of the teacher, the null model and the classical
receivers. They are the same for every sweep of one teacher, so a folder may keep them.

A file there is found by a hash of all that decides its numbers: the teacher's parameters, the test
frames, the SNRs, the library versions and the device, and the source of the rooms that compute
them. What is not whole, or does not fit, is measured anew.
"""

import contextlib
import hashlib
import os
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import wfm_jax
from wfm_jax import compress
from wfm_jax.evaluate.classical import COVARIANCE_STREAM
from wfm_jax.evaluate.frames import REFERENCE_SNR_DB, TestSet, frames_hash
from wfm_jax.evaluate.many import draw_frames, make_scorer, score_classical
from wfm_jax.evaluate.metrics import AMC_SNRS_DB
from wfm_jax.evaluate.scores import FrameScores, Scored
from wfm_jax.model import build, to_dict
from wfm_jax.results import tensors_file
from wfm_jax.results.checkpoint import CheckpointError, hash_arrays
from wfm_jax.results.identity import digest
from wfm_jax.signal.receivers import ensemble_covariance
from wfm_jax.train.model_files import Teacher
from wfm_jax.train.wireless import PRUNABLE

CURVE_SNRS_DB = (0.0, 5.0, 10.0, 12.5, 15.0, 17.5, 20.0, 22.5, 25.0, 30.0)
MODEL_SNRS_DB = tuple(sorted({*AMC_SNRS_DB, REFERENCE_SNR_DB}))
NAMES = ("teacher", "null", "ls", "lmmse", "genie")
SUFFIX = "-references.safetensors"
_ROOMS = ("signal", "compress", "model", "evaluate")


class References(NamedTuple):
    """Scores at ``CURVE_SNRS_DB``.

    Attributes:
        test_frames_hash: names the frames.
        scored: by name, those of ``NAMES``.
        pace_s: seconds that scoring a configuration should take, as the null model took them.
    """

    test_frames_hash: str
    scored: dict[str, Scored]
    pace_s: float


def references(
    teacher: Teacher,
    test_set: TestSet,
    provenance: Mapping[str, Any],
    kept_in: str | os.PathLike | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> References:
    """The references of a teacher, from the folder or measured and left there.

    Args:
        teacher: the uncompressed model.
        test_set: the frames.
        provenance: ``device`` and ``versions`` in words.
        kept_in: the folder; None for none. It may vanish or be full: then nothing is kept.
        say: told which of the two it is.
    """
    named = frames_hash(test_set)
    path = None
    if kept_in is not None:
        path = pathlib.Path(kept_in) / f"{_key(teacher, test_set, named, provenance)}{SUFFIX}"
        try:
            found = _load(path, test_set, named)
        except (CheckpointError, ValueError, KeyError):
            pass
        else:
            say("the teacher and the receivers it is compared with are scored already")
            return found
    say("scoring the teacher, the null model and the classical receivers")
    measured = _measure(teacher, test_set, named)
    if path is not None:
        with contextlib.suppress(OSError):  # the next sweep measures them again
            _save(path, measured)
    return measured


def null_of(params: Any, prunable: compress.Pattern = PRUNABLE) -> Any:
    """The model with every prunable weight zero; by default those of the wireless model."""
    zeros = jax.tree.map(jnp.zeros_like, compress.select(params, prunable))
    return compress.unflatten(params, zeros)


def _measure(teacher: Teacher, test_set: TestSet, named: str) -> References:
    frames = draw_frames(test_set, CURVE_SNRS_DB)
    scorer = make_scorer(teacher.config, build(teacher.config, jax.random.key(0))[0], frames)
    scored = {"teacher": scorer(teacher.params)}  # compiles
    null, began = null_of(teacher.params), time.monotonic()
    scored["null"] = scorer(null)
    pace_s = len(MODEL_SNRS_DB) / len(CURVE_SNRS_DB) * (time.monotonic() - began)
    key = jax.random.fold_in(jax.random.key(test_set.seed), COVARIANCE_STREAM)
    covariance = jax.jit(lambda: ensemble_covariance(test_set.link, key=key))()
    return References(named, scored | score_classical(frames, covariance), pace_s)


def _key(teacher: Teacher, test_set: TestSet, named: str, provenance: Mapping[str, Any]) -> str:
    """32 hex digits of all that decides the scores."""
    params = {path: np.asarray(leaf) for path, leaf in compress.flatten(teacher.params).items()}
    decides = {
        "model": to_dict(teacher.config),
        "params": hash_arrays(params),
        "frames": named,
        "test_set": repr(test_set),
        "snrs_db": (CURVE_SNRS_DB, MODEL_SNRS_DB),
        "device": provenance["device"],
        "versions": provenance["versions"],
        "compiler": os.environ.get("XLA_FLAGS", ""),
        "source": _source_hash(),
    }
    return digest(decides)[:32]


def _source_hash() -> str:
    """Of this file and the rooms that compute scores: a change there may change any number."""
    package = pathlib.Path(next(iter(wfm_jax.__path__)))
    files = [file for room in _ROOMS for file in sorted((package / room).rglob("*.py"))]
    hashed = hashlib.sha256()
    for file in (*files, pathlib.Path(__file__)):
        hashed.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return hashed.hexdigest()


def _save(path: pathlib.Path, found: References) -> None:
    scores = {name: scored.scores._asdict() for name, scored in found.scored.items()}
    content = hash_arrays(compress.flatten(scores))
    tensors_file.save(path, scores, {"pace_s": repr(found.pace_s), "content": content})


def _load(path: pathlib.Path, test_set: TestSet, named: str) -> References:
    """CheckpointError, ValueError or KeyError for whatever :func:`_save` did not write there."""
    shape = (len(CURVE_SNRS_DB), test_set.n_frames)
    of_one = dict.fromkeys(FrameScores._fields, np.zeros(shape, np.float32))
    scores = tensors_file.load(path, dict.fromkeys(NAMES, of_one))
    text = tensors_file.read_metadata(path)
    if hash_arrays(compress.flatten(scores)) != text["content"]:
        raise CheckpointError(f"{path} is damaged: its content is not what was saved")
    scored = {name: Scored(test_set, CURVE_SNRS_DB, FrameScores(**scores[name])) for name in NAMES}
    return References(named, scored, float(text["pace_s"]))
