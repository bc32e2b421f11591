"""Rows of a model that is not ours: measured by its own score, example by example."""

import hashlib
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from wfm_jax.evaluate.cost import Stored, cost_columns
from wfm_jax.evaluate.intervals import half_width, resample_weights
from wfm_jax.evaluate.metrics import ratio
from wfm_jax.evaluate.products import Product, matrix_products
from wfm_jax.results import atomic
from wfm_jax.results.rows import config_id
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.examiner import (
    Row,
    dropped_row,
    file_of,
    finished_row,
    folders,
    scores_of,
    taken_files,
)
from wfm_jax.sweep.handover import Deployed, by_path, mean_bits, stored_form
from wfm_jax.sweep.references import null_of
from wfm_jax.train.problem import Problem, n_examples

RESAMPLES_SEED = 0


class ExampleExaminer:
    """An :class:`wfm_jax.sweep.examiner.Examiner` of anybody's model, by its problem's score.

    Args:
        problem: the uncompressed model, the yardstick of retention.
        scores: of it; see :func:`score_examples`.
        folder: the run folder; packed files and scores go into it.
        provenance: columns that every row of this process shares (device, versions).

    Attributes:
        pace_s: seconds that a configuration should take, as the null model took them.
    """

    def __init__(
        self,
        problem: Problem,
        scores: np.ndarray,
        folder: str | os.PathLike,
        provenance: Mapping[str, Any],
    ):
        self._problem, self._folder = problem, pathlib.Path(folder)
        self._weights = resample_weights(np.zeros(scores.size, int), seed=RESAMPLES_SEED)
        began = time.monotonic()
        null = score_examples(problem, null_of(problem.params, problem.prunable))
        self.pace_s = time.monotonic() - began
        self._references = {"teacher": scores, "null": null}
        hashes = {"teacher_hash": problem.hash, "test_frames_hash": examples_hash(scores)}
        self._shared = {**provenance, **hashes}
        self._products: dict[int, tuple[Product, ...] | None] = {}
        self._teacher_bytes: int | None = None
        folders(self._folder)
        whole = Stored(by_path(problem.params))
        self._teacher_bytes = self._cost(problem, "teacher", whole)["size_bytes"]

    def references(self, known: set[str]) -> list[Row]:
        """Rows of the teacher and of null, the same with every prunable weight zero."""
        rows, problem = [], self._problem
        for name, scores in self._references.items():
            identity = config_id({"reference": name, "teacher": problem.hash})
            if identity in known:
                continue
            params = problem.params
            if name == "null":
                params = null_of(params, problem.prunable)
            row = {"config_id": identity, "kind": "reference", "pipeline": name, "status": "ok"}
            cost = self._cost(problem, name, Stored(by_path(params)))
            rows.append(row | self._quality(scores) | cost | self._shared)
            self._save(name, scores)
        return rows

    def examine(
        self, problem: Problem, configuration: Configuration, deployed: Deployed, wall_s: float
    ) -> Row:
        """The row of a finished configuration; its file and scores are then on disk.

        Args:
            problem: the students'.
            configuration: what was asked.
            deployed: what came out, of this configuration alone.
            wall_s: its share of the wall time.
        """
        row = finished_row(configuration, deployed, wall_s) | self._shared
        if row["status"] == "diverged":
            return row
        stored, identity = stored_form(deployed), configuration.config_id
        scores = score_examples(problem, deployed.params)
        cost = self._cost(problem, identity, stored)
        self._save(identity, scores)
        return row | self._quality(scores) | cost | {"mean_bits": mean_bits(stored)}

    def left_behind(self, configuration: Configuration, step: int, loss: float) -> Row:
        """The row of a configuration that dropped out on the way."""
        return dropped_row(configuration, step, loss) | self._shared

    def take_files(self, identity: str) -> dict[str, bytes]:
        """The files of a row that was examined; they are gone from the folder."""
        return taken_files(self._folder, identity)

    def _quality(self, scores: np.ndarray) -> dict[str, float]:
        """The mean score and, where the teacher is ahead of null, retention."""
        own, full, none = (
            self._weights @ of / self._weights.sum(axis=1)
            for of in (scores, *self._references.values())
        )
        columns = {"example_score": float(own[0]), "example_score_ci95": half_width(own)}
        if full[0] > none[0]:
            kept = ratio(own - none, full - none)
            columns |= {"retention": float(kept[0]), "retention_ci95": half_width(kept)}
        return columns

    def _cost(self, problem: Problem, identity: str, stored: Stored) -> dict[str, Any]:
        """The cost columns; leaves the packed file on disk."""
        size = sum(np.size(w) for w in stored.params.values())
        if size not in self._products:
            self._products[size] = _products(problem)
        return cost_columns(
            self._products[size],
            stored,
            prunable=problem.prunable,
            teacher_bytes=self._teacher_bytes,
            path=file_of(self._folder, identity),
        )

    def _save(self, identity: str, scores: np.ndarray) -> None:
        path = scores_of(self._folder, identity)
        with atomic.replacing(path) as beside, open(beside, "wb") as file:
            np.savez_compressed(file, score=scores)


def load_example_scores(folder: str | os.PathLike, identity: str) -> np.ndarray:
    """Scores that an :class:`ExampleExaminer` saved, float64[n_examples].

    Args:
        folder: of the run.
        identity: a row's ``config_id``, or ``teacher`` or ``null``.
    """
    with np.load(scores_of(pathlib.Path(folder), identity), allow_pickle=False) as stored:
        return stored["score"]


def score_examples(problem: Problem, params: Any) -> np.ndarray:
    """What the problem's score gives, float64[n_examples].

    Args:
        problem: a problem with a score.
        params: what its forward pass sees.

    Raises:
        ValueError: there is no score, it fails, or it does not give one number an example; one
            line.
    """
    if problem.score is None:
        raise ValueError("score is missing: a sweep needs score(params) -> float[n_examples]")
    try:
        scores = np.asarray(problem.score(params), np.float64)
    except Exception as error:
        raise ValueError(f"score(params) fails: {_first_line(error)}") from error
    if scores.ndim != 1 or scores.size < 2:
        raise ValueError(
            f"score must give one number an example, float[n_examples] of two or more, got shape "
            f"{scores.shape}"
        )
    return scores


def examples_hash(scores: np.ndarray) -> str:
    """Names the examples by what the teacher scores on them, 16 hex digits."""
    return hashlib.sha256(np.ascontiguousarray(scores).tobytes()).hexdigest()[:16]


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0] or type(error).__name__


def _products(problem: Problem) -> tuple[Product, ...] | None:
    """Of one example; None where they cannot be counted."""
    inputs, _ = jax.eval_shape(problem.batch, jax.random.key(0))
    n = n_examples(inputs)
    try:
        counted = matrix_products(problem.apply, problem.params, inputs)
    except NotImplementedError:
        return None
    return tuple(product._replace(macs=product.macs // n) for product in counted)
