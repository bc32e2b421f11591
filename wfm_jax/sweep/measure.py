"""From a finished student to its row, its packed file and its scores on disk."""

import functools
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.evaluate.cost import Stored, cost_columns
from wfm_jax.evaluate.frames import TestSet
from wfm_jax.evaluate.intervals import resample_weights
from wfm_jax.evaluate.many import Frames, draw_frames, make_scorer
from wfm_jax.evaluate.products import frame_products
from wfm_jax.evaluate.quality import quality_columns
from wfm_jax.evaluate.scores import FrameScores, Scored
from wfm_jax.export.load_model import model_metadata
from wfm_jax.model import (
    Forward,
    ModelConfig,
    Quantized,
    Ranges,
    activation_points,
    build,
    param_shapes,
    with_activations,
)
from wfm_jax.results import atomic
from wfm_jax.results.rows import config_id
from wfm_jax.sweep.architecture import shrink_deployed
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.examiner import (
    dropped_row,
    file_of,
    finished_row,
    folders,
    scores_of,
    taken_files,
)
from wfm_jax.sweep.handover import Deployed, by_path, mean_bits, stored_form
from wfm_jax.sweep.ranges import make_calibrator
from wfm_jax.sweep.references import MODEL_SNRS_DB, References, null_of
from wfm_jax.train.model_files import Teacher
from wfm_jax.train.problem import Problem

RESAMPLES_SEED = 0


class FrameExaminer:
    """An :class:`wfm_jax.sweep.examiner.Examiner` of the wireless model, on frozen test frames.

    Args:
        teacher: the uncompressed model, the yardstick of retention and SNR loss.
        test_set: the frames.
        references: scores of the teacher and the receivers it is compared with, on them.
        folder: the run folder; packed files and frame scores go into it.
        provenance: columns that every row of this process shares (device, versions).

    Attributes:
        pace_s: seconds that a configuration should take, as the null model took them.
    """

    def __init__(
        self,
        teacher: Teacher,
        test_set: TestSet,
        references: References,
        folder: str | os.PathLike,
        provenance: dict[str, Any],
    ):
        self._folder = pathlib.Path(folder)
        self._test_set = test_set
        self._teacher = teacher
        self._weights = resample_weights(test_set.strata, seed=RESAMPLES_SEED)
        self._references, self.pace_s = references.scored, references.pace_s
        self._scorers: dict[tuple[ModelConfig, bool], Any] = {}
        self._calibrators: dict[ModelConfig, Any] = {}
        self._products: dict[ModelConfig, Any] = {}
        self._teacher_bytes: int | None = None
        self._shared = {
            "test_frames_hash": references.test_frames_hash,
            "teacher_hash": teacher.hash,
            **provenance,
        }
        self._apply = apply = build(teacher.config, jax.random.key(0))[0]
        folders(self._folder)
        cost = self._cost(teacher.config, apply, "teacher", Stored(by_path(teacher.params)))
        self._teacher_bytes = cost["size_bytes"]

    def references(self, known: set[str]) -> list[dict[str, Any]]:
        """Rows of teacher, null and the classical receivers that are not ``known`` by their id."""
        rows = []
        for name, scored in self._references.items():
            identity = config_id({"reference": name, "teacher": self._teacher.hash})
            if identity in known:
                continue
            row = {"config_id": identity, "kind": "reference", "pipeline": name, "status": "ok"}
            row |= self._quality(scored) | self._shared
            if name in ("teacher", "null"):
                params = self._teacher.params
                stored = Stored(by_path(params if name == "teacher" else null_of(params)))
                row |= self._cost(self._teacher.config, self._apply, name, stored)
            self._save_scores(name, scored)
            rows.append(row)
        return rows

    def examine(
        self, problem: Problem, configuration: Configuration, deployed: Deployed, wall_s: float
    ) -> dict[str, Any]:
        """The row of a finished configuration; its file and scores are then on disk.

        Args:
            problem: the student's, of a known architecture.
            configuration: what was asked.
            deployed: what came out, of this configuration alone.
            wall_s: its share of the wall time.
        """
        identity, config, apply = configuration.config_id, problem.config, problem.apply
        assert config is not None
        row = finished_row(configuration, deployed, wall_s) | self._shared
        if row["status"] == "diverged":
            return row
        if configuration.shrinks_last:
            config, deployed = shrink_deployed(config, deployed)
            apply, _ = build(config, jax.random.key(0))
        stored = stored_form(deployed)
        if configuration.quantizes_activations:
            ranges = self._calibrator(config, apply)(deployed.params, configuration.act_bits)
            model = Quantized(deployed.params, ranges, jnp.float32(configuration.act_bits))
            scored = self._scorer(config, apply, activations=True)(model)
            cost = self._cost(config, apply, identity, stored, configuration.act_bits, ranges)
        else:
            scored = self._scorer(config, apply)(deployed.params)
            cost = self._cost(config, apply, identity, stored)
        self._save_scores(identity, scored)
        return row | self._quality(scored) | cost | {"mean_bits": mean_bits(stored)}

    def left_behind(self, configuration: Configuration, step: int, loss: float) -> dict[str, Any]:
        """The row of a configuration that dropped out on the way."""
        return dropped_row(configuration, step, loss) | self._shared

    def take_files(self, identity: str) -> dict[str, bytes]:
        """The files of a row that was examined; they are gone from the folder."""
        return taken_files(self._folder, identity)

    @functools.cached_property
    def _frames(self) -> Frames:
        return draw_frames(self._test_set, MODEL_SNRS_DB)

    def _scorer(self, config: ModelConfig, apply: Forward, *, activations: bool = False) -> Any:
        """Of plain parameters, or of those with ranges of activations."""
        if (config, activations) not in self._scorers:
            forward = with_activations(apply, activation_points(config)) if activations else apply
            self._scorers[config, activations] = make_scorer(config, forward, self._frames)
        return self._scorers[config, activations]

    def _calibrator(self, config: ModelConfig, apply: Forward) -> Any:
        if config not in self._calibrators:
            self._calibrators[config] = make_calibrator(config, apply)
        return self._calibrators[config]

    def _quality(self, scored: Scored) -> dict[str, float]:
        return quality_columns(
            scored,
            self._weights,
            teacher=self._references["teacher"],
            null=self._references["null"],
        )

    def _cost(
        self,
        config: ModelConfig,
        apply: Any,
        identity: str,
        stored: Stored,
        act_bits: float = 32,
        ranges: Ranges | None = None,
    ) -> dict[str, Any]:
        """The cost columns; leaves the packed file on disk."""
        if config not in self._products:
            self._products[config] = frame_products(config, apply, param_shapes(config))
        path = file_of(self._folder, identity)
        products = self._products[config]
        return cost_columns(
            products,
            stored,
            act_bits=act_bits,
            teacher_bytes=self._teacher_bytes,
            path=path,
            metadata=model_metadata(config, act_bits, ranges),
        )

    def _save_scores(self, identity: str, scored: Scored) -> None:
        path = scores_of(self._folder, identity)
        with atomic.replacing(path) as beside, open(beside, "wb") as file:
            np.savez_compressed(file, snrs_db=scored.snrs_db, **scored.scores._asdict())


def load_scores(folder: str | os.PathLike, identity: str, test_set: TestSet) -> Scored:
    """Frame scores that a :class:`FrameExaminer` saved."""
    path = scores_of(pathlib.Path(folder), identity)
    with np.load(path, allow_pickle=False) as stored:
        fields = {name: stored[name] for name in FrameScores._fields}
        snrs_db = tuple(float(snr) for snr in stored["snrs_db"])
    return Scored(test_set, snrs_db, FrameScores(**fields))
