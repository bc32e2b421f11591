"""Naive bits on the most sensitive tensors: what a few tensors cost, and what sparing them saves.

Tensors are ranked by the rise of the task loss when each alone has few bits, on calibration frames.
Then, on the frozen test frames and by the same compiled program: everything at few bits, blocks
alone, tables alone; few bits on k tensors with all else in float32; and k tensors spared, all else
at few bits. The k are the most sensitive, the least sensitive, or drawn at random.

That a few tensors decide what low precision costs is the premise of mixed precision: Dong et al.,
"HAWQ: Hessian aware quantization of neural networks with mixed-precision", 2019 (arXiv 1905.03696).
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from wfm_jax import compress
from wfm_jax.evaluate import sensitivity
from wfm_jax.evaluate.cost import PRUNABLE
from wfm_jax.evaluate.frames import TestSet, frames_hash
from wfm_jax.evaluate.intervals import resample_weights
from wfm_jax.evaluate.sensitivity_study import N_RESAMPLES, Subject, packed
from wfm_jax.evaluate.stacked import with_interval
from wfm_jax.results.failure_rows import TENSOR_SCORES
from wfm_jax.results.progress import Progress
from wfm_jax.results.rows import Row

CHOSEN = ("most", "random", "least")


@dataclasses.dataclass(frozen=True)
class SensitiveTensors:
    """What to measure.

    Attributes:
        calibration: frames on which tensors are ranked.
        test: frames on which configurations are compared; of another seed.
        bits: of what is naively compressed.
        spared_bits: of tensors that are spared.
        counts: k, rising; those of more tensors than the model has are left out.
        draws: random choices of k tensors, over which scores are averaged.
        seed: of these.
    """

    calibration: TestSet
    test: TestSet
    bits: int = 4
    spared_bits: int = 8
    counts: tuple[int, ...] = (1, 2, 4, 8)
    draws: int = 5
    seed: int = 0

    def __post_init__(self):
        if not 2 <= self.bits < self.spared_bits <= 8:
            raise ValueError(
                f"bits and spared_bits must be of 2 to 8, bits the fewer, got {self.bits} and "
                f"{self.spared_bits}"
            )
        if list(self.counts) != sorted(set(self.counts)) or not self.counts or self.counts[0] < 1:
            raise ValueError(f"counts must be a rising sequence from 1, got {self.counts}")
        if self.draws < 1:
            raise ValueError(f"draws must be at least 1, got {self.draws}")
        if self.calibration.seed == self.test.seed:
            raise ValueError("calibration and test frames must have different seeds")


class Choice(NamedTuple):
    """A row to be: which bits, of one set of tensors or of several draws of them.

    Attributes:
        kind: ``none``, ``everywhere``, ``blocks``, ``tables``; ``alone`` (the chosen at few bits,
            all else float32) or ``spared`` (all else at few bits).
        chosen: ``most``, ``random``, ``least``; empty where there is no choice.
        count: k; 0 likewise.
        sets: which tensors, by index, of each draw.
        bits: float64[n_draws, n_tensors].
    """

    kind: str
    chosen: str
    count: int
    sets: list[list[int]]
    bits: np.ndarray


def damages(
    study: SensitiveTensors,
    subject: Subject,
    *,
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Rise of the task loss of the calibration frames when a tensor alone has few bits,
    float64[n_tensors]. ``check`` is called between programs; what it raises ends it."""
    cells = sensitivity.one_at_a_time(len(subject.paths), (study.bits,))
    full, *found = sensitivity.measure(
        subject.program, study.calibration, subject.params, cells,
        title=f"each tensor alone at {study.bits} bits", progress=progress, check=check,
    )  # fmt: skip
    return np.array([np.mean(one.task_loss) - np.mean(full.task_loss) for one in found])


def choices(study: SensitiveTensors, paths: Sequence[str], damage: np.ndarray) -> list[Choice]:
    """All rows to be, ``none`` and ``everywhere`` first.

    Args:
        study: what to measure.
        paths: the tensors.
        damage: of :func:`damages`.
    """
    n, few, spared = len(paths), float(study.bits), float(study.spared_bits)
    in_blocks = np.array([compress.matches(path, PRUNABLE) for path in paths])  # all are kernels
    found = [
        Choice(kind, "", 0, [], np.broadcast_to(bits, (1, n)))
        for kind, bits in {
            "none": compress.LEFT_ALONE,
            "everywhere": few,
            "blocks": np.where(in_blocks, few, spared),
            "tables": np.where(in_blocks, spared, few),
        }.items()
    ]
    falling, rng = np.argsort(-damage, kind="stable"), np.random.default_rng(study.seed)
    for kind, own, others in (("alone", few, compress.LEFT_ALONE), ("spared", spared, few)):
        for count in [count for count in study.counts if count <= n]:
            drawn = [rng.permutation(n)[:count] for _ in range(study.draws)]
            of = {"most": [falling[:count]], "random": drawn, "least": [falling[::-1][:count]]}
            for chosen in CHOSEN:
                bits = np.full((len(of[chosen]), n), others)
                for row, which in zip(bits, of[chosen], strict=True):
                    row[which] = own
                sets = [which.tolist() for which in of[chosen]]
                found.append(Choice(kind, chosen, count, sets, bits))
    return found


def measure(
    study: SensitiveTensors,
    subject: Subject,
    *,
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Rows of ``failure_rows.TENSOR_COLUMNS``, in the order of :func:`choices`.

    Args:
        study: what to measure.
        subject: the model.
        progress: display.
        check: called between calls of the program; what it raises ends the run.
    """
    damage = damages(study, subject, progress=progress, check=check)
    asked = choices(study, subject.paths, damage)
    cells = sensitivity.of_bits(np.concatenate([choice.bits for choice in asked]))
    measured = iter(
        sensitivity.measure(
            subject.program, study.test, subject.params, cells,
            title="sets of tensors", progress=progress, check=check,
        )
    )  # fmt: skip
    weights = resample_weights(study.test.strata, N_RESAMPLES, seed=study.test.seed)
    values = []
    for choice in asked:
        draws = [sensitivity.metric_values(next(measured), weights) for _ in choice.bits]
        values.append({name: np.stack([draw[name] for draw in draws]) for name in draws[0]})
    full, everywhere = values[0], values[1]
    whole_rise = everywhere["task_loss"][0] - full["task_loss"][0]
    shared = {
        "few_bits": study.bits,
        "spared_bits": study.spared_bits,
        "n_frames": study.test.n_frames,
        "frames_hash": frames_hash(study.test),
        "teacher_hash": subject.hash,
    }
    return [
        _row(subject, choice, of, full, whole_rise) | shared
        for choice, of in zip(asked, values, strict=True)
    ]


def _row(
    subject: Subject,
    choice: Choice,
    values: dict[str, np.ndarray],
    full: dict[str, np.ndarray],
    whole_rise: np.ndarray,
) -> Row:
    """Values are float64[n_draws, 1 + n_resamples]; what is told is their mean over draws."""
    sizes = [np.prod(shape) for shape in subject.shapes]
    rises = values["task_loss"] - full["task_loss"]
    row: Row = {
        "kind": choice.kind,
        "chosen": choice.chosen or None,
        "count": choice.count,
        "draws": len(choice.bits),
        "tensors": json.dumps([[subject.paths[i] for i in which] for which in choice.sets]),
        "mean_bits": float(np.mean(np.average(choice.bits, axis=1, weights=sizes))),
        "size_bytes": float(np.mean([len(packed(subject, bits)) for bits in choice.bits])),
        "rise_smallest": float(rises[:, 0].min()),
        "rise_largest": float(rises[:, 0].max()),
        **with_interval("share", rises.mean(axis=0) / whole_rise),
    }
    for name in TENSOR_SCORES:
        row[name] = float(values[name][:, 0].mean())
        row |= with_interval(f"{name}_change", (values[name] - full[name]).mean(axis=0))
    return row
