"""From a finished student to its row, its packed file and its scores on disk."""

import functools
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax import compress
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
from wfm_jax.sweep.handover import Deployed
from wfm_jax.sweep.ranges import make_calibrator
from wfm_jax.sweep.references import MODEL_SNRS_DB, References, null_of
from wfm_jax.train.model_files import Teacher

FILES, SCORES = "files", "scores"
RESAMPLES_SEED = 0


class Examiner:
    """Measures everything of one sweep on the same frozen test frames.

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
        for folder in (FILES, SCORES):
            (self._folder / folder).mkdir(parents=True, exist_ok=True)
        cost = self._cost(teacher.config, apply, "teacher", Stored(_flat(teacher.params)))
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
                stored = Stored(_flat(params if name == "teacher" else null_of(params)))
                row |= self._cost(self._teacher.config, self._apply, name, stored)
            self._save_scores(name, scored)
            rows.append(row)
        return rows

    def examine(
        self,
        config: ModelConfig,
        apply: Any,
        configuration: Configuration,
        deployed: Deployed,
        wall_s: float,
    ) -> dict[str, Any]:
        """The row of a finished configuration; its file and scores are then on disk.

        Args:
            config: the student's architecture.
            apply: its forward pass.
            configuration: what was asked.
            deployed: what came out, of this configuration alone.
            wall_s: its share of the wall time.
        """
        identity = configuration.config_id
        row = {
            "config_id": identity,
            "kind": "configuration",
            "status": "ok" if deployed.diverged_at < 0 else "diverged",
            "wall_s": wall_s,
            **configuration.canonical(),
            **self._shared,
        }
        if row["status"] == "diverged":
            return row | {"stopped_at": deployed.diverged_at}
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
        """The row of a configuration that dropped out on the way.

        Args:
            configuration: what was asked.
            step: optimizer steps it had done.
            loss: task loss on the frames that decided it.
        """
        return {
            "config_id": configuration.config_id,
            "kind": "configuration",
            "status": "dropped",
            "stopped_at": step,
            "validation_loss": loss,
            **configuration.canonical(),
            **self._shared,
        }

    def take_files(self, identity: str) -> dict[str, bytes]:
        """The files of a row that was examined, by their names in the run folder; they are gone
        from this one."""
        found = {}
        for name in (f"{FILES}/{identity}.wfm", f"{SCORES}/{identity}.npz"):
            path = self._folder / name
            if path.exists():
                found[name] = path.read_bytes()
                path.unlink()
        return found

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
        path = self._folder / FILES / f"{identity}.wfm"
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
        path = self._folder / SCORES / f"{identity}.npz"
        with atomic.replacing(path) as beside, open(beside, "wb") as file:
            np.savez_compressed(file, snrs_db=scored.snrs_db, **scored.scores._asdict())


def load_scores(folder: str | os.PathLike, identity: str, test_set: TestSet) -> Scored:
    """Frame scores that an :class:`Examiner` saved."""
    path = pathlib.Path(folder) / SCORES / f"{identity}.npz"
    with np.load(path, allow_pickle=False) as stored:
        fields = {name: stored[name] for name in FrameScores._fields}
        snrs_db = tuple(float(snr) for snr in stored["snrs_db"])
    return Scored(test_set, snrs_db, FrameScores(**fields))


def stored_form(deployed: Deployed) -> Stored:
    """How one configuration is packed; float32 where nothing says otherwise."""
    return Stored(_flat(deployed.params), deployed.keep, deployed.grids, deployed.half)


def mean_bits(stored: Stored) -> float:
    """Bits of a kernel's or a table's weight, mean over all of them; 32 where there is no grid."""
    grids, sizes, bits = stored.grids or {}, [], []
    for path, weights in stored.params.items():
        if np.ndim(weights) >= 2:
            sizes.append(np.size(weights))
            bits.append(float(grids[path].bits) if path in grids else 32.0)
    return float(np.average(bits, weights=sizes))


def _flat(params: Any) -> dict[str, np.ndarray]:
    return {path: np.asarray(leaf) for path, leaf in compress.flatten(params).items()}
