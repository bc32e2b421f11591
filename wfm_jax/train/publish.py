"""A trained model as one file that says where it comes from and what it can do."""

import dataclasses
import functools
import os
from typing import Any

import jax

from wfm_jax.evaluate.frames import REFERENCE_SNR_DB, TestSet, frames_hash, hash_frame
from wfm_jax.evaluate.intervals import resample_weights
from wfm_jax.evaluate.many import draw_frames, make_scorer
from wfm_jax.evaluate.metrics import AMC_SNRS_DB
from wfm_jax.evaluate.quality import quality_columns
from wfm_jax.model import ModelConfig, build
from wfm_jax.signal import link
from wfm_jax.train.model_files import Teacher, save_teacher
from wfm_jax.train.teacher import TeacherSettings, teacher_stream

SCORED_AT_DB = tuple(sorted({*AMC_SNRS_DB, REFERENCE_SNR_DB}))


def publish(
    teacher: Teacher,
    path: str | os.PathLike,
    settings: TeacherSettings,
    *,
    command: str,
    test_set: TestSet,
) -> dict[str, Any]:
    """Scores a model on frozen test frames and writes it with what it takes to make it again.

    Args:
        teacher: the model.
        path: of the safetensors file.
        settings: how it was trained.
        command: what a user types to train it.
        test_set: the frames of its scores.

    Returns:
        What the file says of the training: ``command``, ``settings``, ``training_frames_hash`` (of
        the first batch), ``test_frames_hash`` and ``scores`` (the quality columns of a result row).
    """
    apply = build(teacher.config, jax.random.key(0))[0]
    frames = draw_frames(test_set, SCORED_AT_DB)
    scored = make_scorer(teacher.config, apply, frames)(teacher.params)
    scores = quality_columns(scored, resample_weights(test_set.strata, seed=0))
    told = {
        "command": command,
        "settings": dataclasses.asdict(settings),
        "training_frames_hash": training_frames_hash(teacher.config, settings),
        "test_frames_hash": frames_hash(test_set),
        "scores": {name: round(value, 5) for name, value in scores.items()},
    }
    save_teacher(path, teacher.config, teacher.params, told)
    return told


def training_frames_hash(config: ModelConfig, settings: TeacherSettings) -> str:
    """Names the data of a training: the hash of frames drawn with its first key."""
    sample = functools.partial(link.sample_frames, config.link, batch_size=settings.batch_size)
    return hash_frame(jax.jit(sample)(key=jax.random.fold_in(teacher_stream(settings), 0)))
