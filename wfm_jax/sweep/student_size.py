"""Where along a student's size distillation stops beating fine-tuning.

Students are what is left of the teacher when shares of its heads and neurons are cut out, the same
share in every layer, so that a student from scratch has the architecture of one from the teacher.
Each is distilled (P-S-KD) and fine-tuned on the task loss (P-S-FT): same start, data and steps, so
their difference is paired over frames and seeds.

A student too small gains nothing from its teacher, and more so the longer it trains, says Cho &
Hariharan, "On the efficacy of knowledge distillation", 2019 (arXiv 1910.01348); Mirzadeh et al.,
"Improved knowledge distillation via teacher assistant", 2020 (arXiv 1902.03393).
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from wfm_jax.evaluate import metrics
from wfm_jax.evaluate.frames import TestSet
from wfm_jax.evaluate.intervals import resample_weights
from wfm_jax.evaluate.retention import smallest_retention
from wfm_jax.evaluate.scores import Scored
from wfm_jax.evaluate.sensitivity import METRICS
from wfm_jax.evaluate.snr_loss import worst_snr_loss_db
from wfm_jax.evaluate.stacked import with_interval
from wfm_jax.results.failure_rows import QUALITY_SCORES
from wfm_jax.results.rows import Row
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.measure import RESAMPLES_SEED, load_scores
from wfm_jax.sweep.study import Study, run_study

KD, FT, UNTRAINED = "P-S-KD", "P-S-FT", "P-S"


class Arm(NamedTuple):
    """What both are given: steps and start; and KD its alpha and temperature."""

    steps: int = 200
    alpha: float = 0.9
    temperature: float = 2.0
    init: str = "teacher"

    @property
    def words(self) -> str:
        """The arm as a table calls it."""
        start = "what is left of the teacher" if self.init == "teacher" else "random weights"
        return f"{self.steps} steps from {start}, alpha {self.alpha:g}, T {self.temperature:g}"


@dataclasses.dataclass(frozen=True)
class StudentSizes:
    """What to measure.

    Attributes:
        sparsities: shares of heads and neurons that are cut out, rising.
        arms: what KD and FT are given.
        seeds: of the data stream and of initial draws.
        learning_rate: peak, of all.
    """

    sparsities: tuple[float, ...] = (0.5, 0.75, 0.9, 0.99)
    arms: tuple[Arm, ...] = (Arm(),)
    seeds: tuple[int, ...] = (0, 1, 2)
    learning_rate: float = 1e-3

    def __post_init__(self):
        for name in ("sparsities", "arms", "seeds"):
            if not getattr(self, name):
                raise ValueError(f"{name} must have at least one value")
        if list(self.sparsities) != sorted(set(self.sparsities)):
            raise ValueError(f"sparsities must be a rising sequence, got {self.sparsities}")
        self.configurations()  # raises for what a sweep cannot run

    def configurations(self) -> list[Configuration]:
        """What a sweep has to run; FT once for all arms of equal start and steps."""
        found: dict[str, Configuration] = {}
        for sparsity in self.sparsities:
            for seed in self.seeds:
                for arm in self.arms:
                    for pipeline in (UNTRAINED, FT, KD):
                        if pipeline != UNTRAINED or arm.init == "teacher":
                            one = self.configuration(pipeline, arm, sparsity, seed)
                            found.setdefault(one.config_id, one)
        return list(found.values())

    def configuration(self, pipeline: str, arm: Arm, sparsity: float, seed: int) -> Configuration:
        """That of a ``pipeline`` and an arm, at a ``sparsity`` of heads and neurons, of a
        ``seed``."""
        return Configuration(
            pipeline,
            sparsity=sparsity,
            weight_bits=32,
            structure="heads+neurons",
            distribution="uniform",
            learning_rate=self.learning_rate,
            seed=seed,
            **arm._asdict(),
        )


def run_in_folder(
    study: StudentSizes, sweep: Study, workdir: str | os.PathLike, **shown: Any
) -> list[Row]:
    """Runs the sweep, or what is missing of it, and compares.

    Args:
        study: what to compare.
        sweep: how to run it; its ``configurations`` are not read.
        workdir: the run folder.
        **shown: arguments of :func:`wfm_jax.sweep.study.run_study`, such as ``flags``.
    """
    sweep = dataclasses.replace(sweep, configurations=study.configurations())
    stored = run_study(sweep, workdir, **shown)
    return rows_of_sizes(study, stored, workdir, sweep.test_set)


def rows_of_sizes(
    study: StudentSizes,
    stored: Sequence[Row],
    folder: str | os.PathLike,
    test_set: TestSet,
) -> list[Row]:
    """Rows of ``failure_rows.SIZE_COLUMNS``: arm by arm, size by size.

    A size of which a configuration diverged is left out of its arm.

    Args:
        study: what was asked.
        stored: rows of the sweep that ran its configurations.
        folder: of that sweep, which holds the scores.
        test_set: its test frames.
    """
    by_id = {row["config_id"]: row for row in stored if row["status"] == "ok"}
    teacher, null = (load_scores(folder, name, test_set) for name in ("teacher", "null"))
    weights = resample_weights(test_set.strata, seed=RESAMPLES_SEED)
    of: Mapping[str, metrics.Metric] = METRICS | {
        "snr_loss_db": lambda s, w: worst_snr_loss_db(s, teacher, w),
        "retention": lambda s, w: smallest_retention(s, teacher, null, w),
    }

    def values(scored: Scored) -> np.ndarray:
        return np.stack([of[name](scored, weights) for name in QUALITY_SCORES])

    def of_seeds(pipeline: str, arm: Arm, sparsity: float) -> Any:
        """Rows, and float64[n_seeds, n_scores, 1 + n_resamples]; None where one is missing."""
        asked = [study.configuration(pipeline, arm, sparsity, seed) for seed in study.seeds]
        found = [by_id.get(one.config_id) for one in asked]
        if None in found:
            return None, None
        scored = [load_scores(folder, one.config_id, test_set) for one in asked]
        return found, np.stack([values(one) for one in scored])

    rows = []
    for arm in study.arms:
        for sparsity in study.sparsities:
            found, kd = of_seeds(KD, arm, sparsity)
            _, ft = of_seeds(FT, arm, sparsity)
            _, untrained = of_seeds(UNTRAINED, arm, sparsity)
            if kd is None or ft is None:
                continue
            rows.append(
                {
                    "arm": arm.words,
                    "sparsity": sparsity,
                    **{name: found[0][name] for name in ("params_total", "size_bytes")},
                    **arm._asdict(),
                    "seeds": len(study.seeds),
                    "n_frames": test_set.n_frames,
                    "frames_hash": found[0]["test_frames_hash"],
                    "teacher_hash": found[0]["teacher_hash"],
                    **_scores(untrained, ft, kd),
                }
            )
    return rows


def _scores(untrained: np.ndarray | None, ft: np.ndarray, kd: np.ndarray) -> Row:
    """Means over seeds, and the difference with its interval over frames and seeds."""
    n_seeds, n_resamples = len(kd), kd.shape[-1] - 1
    of_seeds = resample_weights(np.zeros(n_seeds, int), n_resamples, seed=RESAMPLES_SEED + 1)
    of_seeds = of_seeds / of_seeds.sum(axis=1, keepdims=True)
    difference = np.einsum("rs,smr->mr", of_seeds, kd - ft)
    row: Row = {}
    for i, name in enumerate(QUALITY_SCORES):
        for when, values in (("untrained", untrained), ("ft", ft), ("kd", kd)):
            row[f"{name}_{when}"] = None if values is None else float(values[:, i, 0].mean())
        row |= with_interval(f"{name}_change", difference[i])
    return row
