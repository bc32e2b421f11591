"""Sensitivity of a model's tensors, and mixed precision allocated by it, as rows.

Damages are measured on calibration frames; what is allocated by them is tested on other frames.
Three allocations at the bytes of each baseline: by the measured rise of the task loss, by the rise
expected from the Fisher diagonal, and by the larger of the two, tensor by tensor: where the damage
is small the measurement is mostly noise, where it is large the estimate is no longer valid.
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from wfm_jax import compress
from wfm_jax.evaluate import sensitivity
from wfm_jax.evaluate.cost import PRUNABLE
from wfm_jax.evaluate.frames import TestSet, frames_hash
from wfm_jax.evaluate.intervals import resample_weights
from wfm_jax.evaluate.sensitivity import FrameLoss
from wfm_jax.evaluate.stacked import with_interval
from wfm_jax.export.from_model import pack_model
from wfm_jax.export.grids import Uniform
from wfm_jax.export.load_model import model_metadata
from wfm_jax.export.packed import pack
from wfm_jax.model import ModelConfig, build
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.results.rows import Row
from wfm_jax.results.sensitivity_rows import SCORES

MIN_TABLE_BITS = 8
N_RESAMPLES = 400


@dataclasses.dataclass(frozen=True)
class SensitivityStudy:
    """What to measure.

    Attributes:
        calibration: frames on which tensors are compressed one at a time.
        test: frames on which allocations are compared; of another seed.
        bits: levels, rising.
        sparsities: levels, rising, in (0, 1).
        budget_bits: bits of the baselines.
        strategy: how configurations run.
    """

    calibration: TestSet
    test: TestSet
    bits: tuple[int, ...] = (2, 3, 4, 6, 8)
    sparsities: tuple[float, ...] = (0.25, 0.5, 0.75, 0.9)
    budget_bits: int = 4
    strategy: compress.Strategy = "map"

    def __post_init__(self):
        if not self.bits or list(self.bits) != sorted(set(self.bits)):
            raise ValueError(f"bits must be a rising sequence, got {self.bits}")
        if not set(self.bits) <= set(range(2, 9)):
            raise ValueError(f"bits must be of 2 to 8, got {self.bits}")
        if list(self.sparsities) != sorted(set(self.sparsities)):
            raise ValueError(f"sparsities must be a rising sequence, got {self.sparsities}")
        if not all(0.0 < sparsity < 1.0 for sparsity in self.sparsities):
            raise ValueError(f"sparsities must be in (0, 1), got {self.sparsities}")
        if not self.bits[0] <= self.budget_bits <= 8:
            raise ValueError(
                f"budget_bits must be {self.bits[0]} to 8, the fewest bits that are measured and "
                f"the most of a grid, got {self.budget_bits}"
            )
        if self.calibration.seed == self.test.seed:
            raise ValueError("calibration and test frames must have different seeds")


class Subject:
    """A model under study: its tensors, its compiled program, the hash that rows carry.

    Args:
        config: the model.
        params: its parameters.
        loss: the task loss of frames.
        hash: of the weights.
        strategy: how configurations run.
    """

    def __init__(
        self,
        config: ModelConfig,
        params: Any,
        loss: FrameLoss,
        hash: str,
        strategy: compress.Strategy = "map",
    ):
        self.config, self.params, self.loss, self.hash = config, params, loss, hash
        self.paths = sensitivity.tensors(params)
        self.apply = build(config, jax.random.key(0))[0]
        self.program = sensitivity.make_program(
            config, self.apply, self.paths, loss, strategy=strategy
        )

    @functools.cached_property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of the tensors."""
        return [leaf.shape for leaf in compress.kernels(self.params).values()]

    def sizes(self, bits: Sequence[float]) -> np.ndarray:
        """Bytes, int64[n_tensors, n_levels]."""
        return np.array([[compress.quantized_bytes(s, b) for b in bits] for s in self.shapes])


def measure_cells(
    study: SensitivityStudy,
    subject: Subject,
    *,
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Rows of ``sensitivity_rows.COLUMNS``: bits first, tensor by tensor, level by level. ``check``
    is called between cells; what it raises ends the measurement."""
    progress, paths = progress or Silent(), subject.paths
    expected = sensitivity.expected_increases(
        subject.config,
        subject.apply,
        subject.params,
        paths,
        subject.loss,
        sensitivity.calibration_frames(study.calibration),
        study.bits,
        study.sparsities,
    )
    check()
    cells = sensitivity.one_at_a_time(len(paths), study.bits, study.sparsities)
    full, *found = sensitivity.measure(
        subject.program, study.calibration, subject.params, cells, progress=progress, check=check
    )
    sizes, frames = subject.sizes(study.bits), _frames(study.calibration, subject)
    weights = resample_weights(study.calibration.strata, N_RESAMPLES, seed=study.calibration.seed)
    own, rows, left = sensitivity.metric_values(full, weights), [], iter(found)
    for method, levels, rises in zip(
        ("bits", "sparsity"), (study.bits, study.sparsities), expected, strict=True
    ):
        for t, path in enumerate(paths):
            for i, level in enumerate(levels):
                rows.append(
                    {
                        "method": method,
                        "level": float(level),
                        "tensor": path,
                        "weights": int(np.prod(subject.shapes[t])),
                        "size_bytes": int(sizes[t, i]) if method == "bits" else None,
                        "expected_rise": float(rises[t, i]),
                        **_scored(sensitivity.metric_values(next(left), weights), own),
                        **frames,
                    }
                )
    return rows


def baselines(paths: Sequence[str], bits: int) -> dict[str, np.ndarray]:
    """Bits of what mixed precision is held against, by name: every tensor alike, and kernels of
    the blocks alike with all other tables at 8 bits or more."""
    of_blocks = np.array([compress.matches(path, PRUNABLE) for path in paths])
    return {
        f"{bits} bits everywhere": np.full(len(paths), float(bits)),
        f"{bits} bits in blocks, {max(bits, MIN_TABLE_BITS)} elsewhere": np.where(
            of_blocks, float(bits), float(max(bits, MIN_TABLE_BITS))
        ),
    }


def allocations(
    study: SensitivityStudy, subject: Subject, cells: Sequence[Row]
) -> dict[str, dict[str, np.ndarray]]:
    """By budget and configuration the bits of every tensor, float64[n_tensors].

    Args:
        study: what was measured.
        subject: the model.
        cells: rows of :func:`measure_cells`.
    """
    at = {(r["tensor"], r["level"]): r for r in cells if r["method"] == "bits"}
    levels, sizes = np.array(study.bits, float), subject.sizes(study.bits)
    measured, expected = (
        np.array([[at[path, level][column] for level in levels] for path in subject.paths], float)
        for column in ("task_loss_change", "expected_rise")
    )
    damages = {
        "measured": measured,
        "expected": expected,
        "larger": np.maximum(measured, expected),
    }
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, baseline in baselines(subject.paths, study.budget_bits).items():
        budget = tensor_bytes(subject, baseline)
        found[name] = {"baseline": baseline} | {
            kind: levels[compress.allocate(damage, sizes, budget).choice]
            for kind, damage in damages.items()
        }
    return found


def tensor_bytes(subject: Subject, bits: np.ndarray) -> int:
    """Bytes of all tensors at their own bits."""
    each = zip(subject.shapes, bits, strict=True)
    return sum(compress.quantized_bytes(shape, float(own)) for shape, own in each)


def measure_allocations(
    study: SensitivityStudy,
    subject: Subject,
    given: Mapping[str, Mapping[str, np.ndarray]],
    *,
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Rows of ``sensitivity_rows.ALLOCATION_COLUMNS``, on the test frames.

    Args:
        study: what to measure.
        subject: the model.
        given: of :func:`allocations`.
        progress: display.
        check: called between calls of the program.
    """
    each = [(budget, name, bits) for budget, of in given.items() for name, bits in of.items()]
    found = sensitivity.measure(
        subject.program,
        study.test,
        subject.params,
        sensitivity.of_bits(np.stack([bits for *_, bits in each])),
        title="mixed precision",
        progress=progress,
        check=check,
    )
    weights = resample_weights(study.test.strata, N_RESAMPLES, seed=study.test.seed)
    frames, n_weights = _frames(study.test, subject), [np.prod(s) for s in subject.shapes]
    rows: list[Row] = []
    own: dict[str, dict[str, np.ndarray]] = {}
    for (budget, name, bits), measured in zip(each, found, strict=True):
        values = sensitivity.metric_values(measured, weights)
        own.setdefault(budget, values)
        rows.append(
            {
                "budget": budget,
                "configuration": name,
                "mean_bits": float(np.average(bits, weights=n_weights)),
                "size_bytes": len(packed(subject, bits)),
                "tensor_bytes": tensor_bytes(subject, bits),
                "budget_bytes": tensor_bytes(subject, given[budget]["baseline"]),
                "bits": json.dumps(dict(zip(subject.paths, map(int, bits), strict=True))),
                **_scored(values, own[budget]),
                **frames,
            }
        )
    return rows


def packed(subject: Subject, bits: np.ndarray) -> bytes:
    """The packed file of the model at mixed precision: an ordinary one, with ordinary scales."""
    method = compress.quantize(dict(zip(subject.paths, map(int, bits), strict=True)))
    params, state = method.update(subject.params, ())
    flat = {p: np.asarray(w) for p, w in compress.flatten(method.apply(params, state)).items()}
    grids = {path: Uniform(state.bits[path], scale) for path, scale in state.scale.items()}
    return pack(pack_model(flat, grids=grids), model_metadata(subject.config))


def _frames(test_set: TestSet, subject: Subject) -> Row:
    return {
        "n_frames": test_set.n_frames,
        "frames_hash": frames_hash(test_set),
        "teacher_hash": subject.hash,
    }


def _scored(values: Mapping[str, np.ndarray], against: Mapping[str, np.ndarray]) -> Row:
    """A score each, and its paired difference."""
    row: Row = {}
    for name in SCORES:
        row[name] = float(values[name][0])
        row |= with_interval(f"{name}_change", values[name] - against[name])
    return row
