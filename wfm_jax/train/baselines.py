"""The small baselines in a run folder: trained, then scored beside classical classifiers."""

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from wfm_jax.evaluate.accuracy import (
    Decide,
    accuracy_rows,
    classical_classifiers,
    score_classifiers,
)
from wfm_jax.evaluate.frames import TestSet, frames_hash
from wfm_jax.evaluate.intervals import resample_weights
from wfm_jax.model import small_classifiers
from wfm_jax.model.small_classifiers import Config, ConvConfig, MLPConfig, Params
from wfm_jax.results import atomic
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.train.classifier import ClassifierSettings, train_classifier
from wfm_jax.train.interrupt import StopRequest

ROWS = "baselines.jsonl"


def baselines_in_folder(
    test_set: TestSet,
    snrs_db: Sequence[float],
    settings: ClassifierSettings,
    folder: str | os.PathLike,
    *,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> list[dict[str, Any]]:
    """Trains both networks on the test set's link, or goes on, and scores all classifiers.

    Args:
        test_set: the frozen frames.
        snrs_db: nominal SNRs to score at.
        settings: of both trainings.
        folder: holds ``mlp`` and ``conv`` (of :func:`train_classifier`) and ``baselines.jsonl``.
        progress: where to tell of it.
        stop: asked between chunks of training and between SNRs.

    Returns:
        Rows of :func:`accuracy_rows` with ``test_frames_hash``: ``mlp``, ``conv`` and those of
        :func:`classical_classifiers`, as written to ``baselines.jsonl``.

    Raises:
        ValueError: as :func:`train_classifier`.
        Stopped: ``stop`` asked for it.
    """
    folder, progress, stop = pathlib.Path(folder), progress or Silent(), stop or StopRequest()
    deciders: dict[str, Decide] = {}
    for config in networks(test_set):
        into = folder / config.NAME
        params = train_classifier(config, settings, into, progress=progress, stop=stop)
        deciders[config.NAME] = _decides(config, params)
    deciders |= classical_classifiers(test_set)
    progress.say("scoring on the frozen test frames")
    scored = score_classifiers(test_set, snrs_db, deciders, check=stop.raise_if_asked)
    weights = resample_weights(test_set.strata, seed=test_set.seed)
    sizes = {config.NAME: small_classifiers.n_params(config) for config in networks(test_set)}
    frames = {"test_frames_hash": frames_hash(test_set)}
    rows = [
        row | frames
        for name, scores in scored.items()
        for row in accuracy_rows(name, sizes.get(name), scores, weights)
    ]
    atomic.write_bytes(folder / ROWS, "".join(json.dumps(row) + "\n" for row in rows).encode())
    return rows


def networks(test_set: TestSet) -> list[Config]:
    """The networks, made for the test set's link."""
    return [MLPConfig(test_set.link), ConvConfig(test_set.link)]


def _decides(config: Config, params: Params) -> Decide:
    apply = small_classifiers.build(config, jax.random.key(0))[0]

    def decide(_: Any, frame: Any) -> jax.Array:
        logits = apply(params, small_classifiers.receive(config.link, frame))
        return jnp.argmax(logits, axis=-1)

    return decide
