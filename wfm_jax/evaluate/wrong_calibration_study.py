"""Calibrations on wrong distributions as rows, paired with that on matched frames.

Two parts: ``activations``, weights quantized and ranges of activations by every rule, and
``weights``, GPTQ and Wanda by the statistics of a source, activations in float32. All are scored
on the same frozen test frames by one compiled program, ranges, bits and weights being data.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax import compress
from wfm_jax.evaluate import metrics, sensitivity, wrong_calibration
from wfm_jax.evaluate.frames import TestSet, frames_hash
from wfm_jax.evaluate.intervals import resample_weights
from wfm_jax.evaluate.many import draw_frames, make_scorer
from wfm_jax.evaluate.retention import smallest_retention
from wfm_jax.evaluate.robustness_files import Subject
from wfm_jax.evaluate.sensitivity_study import N_RESAMPLES, baselines
from wfm_jax.evaluate.snr_loss import worst_snr_loss_db
from wfm_jax.evaluate.stacked import with_interval
from wfm_jax.evaluate.wrong_calibration import (
    ALL_FRAMES,
    BATCH,
    CALIBRATION_STREAM,
    MATCHED,
    Source,
    Weights,
)
from wfm_jax.model import (
    Inputs,
    ModelConfig,
    Quantized,
    Ranges,
    activation_points,
    build,
    with_activations,
)
from wfm_jax.results.failure_rows import QUALITY_SCORES
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.results.rows import Row

CURVE_SNRS_DB = (0.0, 5.0, 10.0, 12.5, 15.0, 17.5, 20.0, 22.5, 25.0, 30.0)
FLOAT = float(compress.LEFT_ALONE)
WEIGHTS = (
    Weights("gptq", bits=4.0),
    Weights("gptq", bits=3.0),
    Weights("gptq", bits=2.0),
    Weights("wanda", sparsity=0.5),
    Weights("wanda", sparsity=0.75),
)


@dataclasses.dataclass(frozen=True)
class WrongCalibration:
    """What to measure.

    Attributes:
        sources: by name, ``matched`` among them.
        test: the frozen test frames.
        seed: of the calibration frames; another than the test frames'.
        weight_bits: of the blocks' kernels while activations are quantized; other tables have 8.
        act_bits: of activations.
        weights: compressions of weights that look at data.
        draws: of sources that are not all frames, each of other frames.
    """

    sources: Mapping[str, Source]
    test: TestSet
    seed: int = 1001
    weight_bits: int = 4
    act_bits: tuple[int, ...] = (8, 6, 4)
    weights: tuple[Weights, ...] = WEIGHTS
    draws: int = 3

    def __post_init__(self):
        if MATCHED not in self.sources:
            raise ValueError(f"sources must hold {MATCHED!r}, got {', '.join(self.sources)}")
        if self.seed == self.test.seed:
            raise ValueError("calibration and test frames must have different seeds")
        if not self.act_bits or not {*self.act_bits} <= {*range(2, 9)}:
            raise ValueError(f"act_bits must be of 2 to 8, got {self.act_bits}")
        if not 2 <= self.weight_bits <= 8:
            raise ValueError(f"weight_bits must be 2 to 8, got {self.weight_bits}")
        for name, source in self.sources.items():
            if source.n_frames not in (
                ALL_FRAMES,
                *(n for n in range(1, BATCH + 1) if not BATCH % n),
            ):
                raise ValueError(
                    f"n_frames of {name} must be {ALL_FRAMES} or a divisor of {BATCH}, "
                    f"got {source.n_frames}"
                )
        if self.draws < 1:
            raise ValueError(f"draws must be at least 1, got {self.draws}")

    def draws_of(self, source: Source) -> int:
        """One, where a source is so many frames that which ones does not matter."""
        return self.draws if source.n_frames < ALL_FRAMES else 1


class Examination(NamedTuple):
    """One model on the test frames: score by name, float64[1 + n_resamples], and how much wider its
    ranges are than matched ones (NaN without ranges)."""

    values: dict[str, np.ndarray]
    range_ratio: float = math.nan


class Bench:
    """The test frames and the compiled program that scores all models on them.

    Args:
        study: what to measure.
        subject: the model.
    """

    def __init__(self, study: WrongCalibration, subject: Subject):
        self.study, self.subject = study, subject
        config, test = subject.config, study.test
        apply = build(config, jax.random.key(0))[0]
        points = activation_points(config)
        none = dict.fromkeys(points, compress.ActivationRange(jnp.float32(0), jnp.float32(0)))
        self._in_float: Ranges = none
        forward = with_activations(apply, points)
        self._scorer = make_scorer(config, forward, draw_frames(test, metrics.AMC_SNRS_DB))
        on_curve = make_scorer(config, apply, draw_frames(test, CURVE_SNRS_DB))
        self._teacher, self._null = on_curve(subject.params), on_curve(subject.null)
        self._weights = resample_weights(test.strata, N_RESAMPLES, seed=test.seed)
        self.hashes: Row = {
            "n_frames": test.n_frames,
            "frames_hash": frames_hash(test),
            "teacher_hash": subject.hash,
        }

    def examine(
        self, params: Any, ranges: Ranges | None = None, act_bits: float = FLOAT
    ) -> dict[str, np.ndarray]:
        """Scores by name, float64[1 + n_resamples]; without ranges activations are left alone."""
        model = Quantized(
            params, self._in_float if ranges is None else ranges, jnp.float32(act_bits)
        )
        scored = self._scorer(model)
        return {name: metric(scored, self._weights) for name, metric in self._metrics().items()}

    def _metrics(self) -> dict[str, metrics.Metric]:
        return sensitivity.METRICS | {
            "snr_loss_db": lambda s, w: worst_snr_loss_db(s, self._teacher, w),
            "retention": lambda s, w: smallest_retention(s, self._teacher, self._null, w),
        }

    def reader(self, source: str) -> ModelConfig:
        """The model that reads a source's frames."""
        return wrong_calibration.reader(self.subject.config, self.study.sources[source])

    def inputs(self, source: Source, draw: int) -> Inputs:
        """Calibration frames; those of a draw are the same for all sources, as far as they can."""
        stream = jax.random.fold_in(jax.random.key(self.study.seed), CALIBRATION_STREAM)
        key = jax.random.fold_in(stream, draw)
        return wrong_calibration.calibration_inputs(self.subject.config, source, key)

    def calibrations(self) -> Iterator[tuple[str, int, Inputs]]:
        """Name of the source, draw, frames; matched ones first."""
        for name in sorted(self.study.sources, key=lambda name: name != MATCHED):
            source = self.study.sources[name]
            for draw in range(self.study.draws_of(source)):
                yield name, draw, self.inputs(source, draw)


def measure_activations(
    bench: Bench,
    *,
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Rows of ``failure_rows.CALIBRATION_COLUMNS``: bits falling, rule by rule, source by source;
    first the model itself and with its weights alone quantized.

    Args:
        bench: study, model and frames.
        progress: display.
        check: called between calls of programs; what it raises ends the run.
    """
    study, subject, progress = bench.study, bench.subject, progress or Silent()
    paths = sensitivity.tensors(subject.params)
    *_, bits = baselines(paths, study.weight_bits).values()
    params = jax.jit(lambda params: compress.quantize_by(params, paths, bits))(subject.params)
    found: dict[tuple, list[Examination]] = {}
    matched: dict[tuple, Ranges] = {}
    progress.start("ranges of activations", _n_calibrations(study) * len(study.act_bits))
    for source, _, inputs in bench.calibrations():
        for act_bits in study.act_bits:
            check()
            program = wrong_calibration.make_ranges(bench.reader(source))
            for rule, ranges in program(params, jnp.float32(act_bits), inputs).items():
                ratio = wrong_calibration.range_ratio(
                    ranges, matched.setdefault((act_bits, rule), ranges)
                )
                values = bench.examine(params, ranges, act_bits)
                found.setdefault((act_bits, rule, source), []).append(Examination(values, ratio))
            progress.advance(1)
    weights = {"weight_bits": float(study.weight_bits)}
    rows = [
        _row(bench, [Examination(bench.examine(of))], None, "float", what)
        for of, what in ((subject.params, {}), (params, weights))
    ]
    return rows + [
        _row(
            bench,
            found[act_bits, rule, source],
            found[act_bits, rule, MATCHED],
            rule,
            weights | {"act_bits": float(act_bits)},
            source,
        )
        for act_bits in study.act_bits
        for rule in wrong_calibration.RULES
        for source in study.sources
    ]


def measure_weights(
    bench: Bench,
    *,
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Rows likewise: compression by compression, each without data first, then source by source.

    Args:
        bench, progress, check: see :func:`measure_activations`.
    """
    study, subject, progress = bench.study, bench.subject, progress or Silent()
    compressed = wrong_calibration.make_compressor()
    found: dict[tuple, list[Examination]] = {}
    progress.start("statistics for weights", _n_calibrations(study) * len(study.weights))
    for source, _, inputs in bench.calibrations():
        program = wrong_calibration.make_statistics(bench.reader(source))
        stats = program(subject.params, inputs)
        for weights in study.weights:
            check()
            values = bench.examine(compressed(subject.params, weights, stats))
            found.setdefault((weights, source), []).append(Examination(values))
            progress.advance(1)
    rows = []
    for weights in study.weights:
        what = {"weight_bits": weights.bits, "sparsity": weights.sparsity}
        plain = weights.without_data
        own = [Examination(bench.examine(compressed(subject.params, plain, {})))]
        matched = found[weights, MATCHED]
        rows.append(_row(bench, own, matched, plain.method, what, part="weights"))
        rows += [
            _row(bench, found[weights, s], matched, weights.method, what, s, part="weights")
            for s in study.sources
        ]
    return rows


def _n_calibrations(study: WrongCalibration) -> int:
    return sum(study.draws_of(source) for source in study.sources.values())


def _row(
    bench: Bench,
    draws: Sequence[Examination],
    matched: Sequence[Examination] | None,
    method: str,
    what: Row,
    source: str | None = None,
    *,
    part: str = "activations",
) -> Row:
    """Means over draws, less those on matched frames."""
    of = bench.study.sources[source] if source else None
    row: Row = {
        "part": part,
        "source": source,
        "words": of.words if of else None,
        "method": method,
        "weight_bits": FLOAT,
        "act_bits": FLOAT,
        "sparsity": 0.0,
        **what,
        "calibration_frames": of.n_frames if of else 0,
        "draws": len(draws),
        "range_ratio": float(np.exp(np.mean(np.log([one.range_ratio for one in draws])))),
        "retention_worst": float(min(one.values["retention"][0] for one in draws)),
        **bench.hashes,
    }
    for name in QUALITY_SCORES:
        values = np.mean([one.values[name] for one in draws], axis=0)
        row[name] = float(values[0])
        if matched is not None:
            row |= with_interval(f"{name}_change", values - matched[0].values[name])
    return row
