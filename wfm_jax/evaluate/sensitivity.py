"""What a model loses when a single tensor is compressed, or each to its own bits.

A configuration is a row of bits and one of sparsities, an entry a tensor; the model answers frozen
frames, and its answers are scored by the loss it was trained for and by the metrics. One compiled
program measures all configurations, some at a time, so that a loop on the host can tell of them.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax import compress
from wfm_jax.evaluate import metrics
from wfm_jax.evaluate.chunks import in_chunks
from wfm_jax.evaluate.frames import TestSet
from wfm_jax.evaluate.many import draw_frames
from wfm_jax.evaluate.scores import Answers, Apply, FrameScores, Scored, answer, score_answers
from wfm_jax.model import ModelConfig
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.signal import link

SNRS_DB = metrics.AMC_SNRS_DB
WIDTH = 8
"""Configurations of a call of the program."""

FrameLoss = Callable[[ModelConfig, Answers], jax.Array]
"""``loss(config, answers) -> float32[n_frames]``, the tasks' losses in one number."""


class Cells(NamedTuple):
    """Configurations: ``bits`` (32 = left alone) and ``sparsities`` (0 = left alone), each
    float32[n_cells, n_tensors]; a tensor is pruned before it is quantized."""

    bits: np.ndarray
    sparsities: np.ndarray


class Measured(NamedTuple):
    """One configuration on a test set: ``task_loss`` float32[n_snr, n_frames], and its scores."""

    task_loss: np.ndarray
    scored: Scored


METRICS: dict[str, metrics.Metric] = {
    "gmi_fraction": metrics.gmi_fraction,
    "amc_accuracy": metrics.amc_accuracy,
    "channel_nmse_db": metrics.channel_nmse_db,
    "k_mae_db": metrics.k_mae_db,
    "snr_mae_db": metrics.snr_mae_db,
    "los_accuracy": metrics.los_accuracy,
}
"""What is told of a configuration beside its task loss."""


def tensors(params: Any) -> list[str]:
    """Path names of the tensors that are compressed: all kernels and tables."""
    return list(compress.kernels(params))


def one_at_a_time(
    n_tensors: int, bits: Sequence[float] = (), sparsities: Sequence[float] = ()
) -> Cells:
    """The whole grid: the model itself first, then every tensor at all bits, then every tensor at
    all sparsities."""
    alone = compress.LEFT_ALONE
    nothing = np.full((1, n_tensors), alone, np.float32)
    quantized = compress.cells(n_tensors, bits)
    pruned = compress.cells(n_tensors, sparsities, left_alone=0.0)
    return Cells(
        np.concatenate([nothing, quantized, np.full_like(pruned, alone)]),
        np.concatenate([np.zeros_like(nothing), np.zeros_like(quantized), pruned]),
    )


def of_bits(bits: np.ndarray) -> Cells:
    """Mixed precision: float32[n_cells, n_tensors] bits, nothing pruned."""
    bits = np.asarray(bits, np.float32)
    return Cells(bits, np.zeros_like(bits))


def make_program(
    config: ModelConfig,
    apply: Apply,
    paths: Sequence[str],
    loss: FrameLoss,
    *,
    strategy: compress.Strategy = "map",
) -> Callable[[Any, Cells, link.Frame], tuple[jax.Array, FrameScores]]:
    """A compiled ``program(params, cells, frames)``; keep it, it compiles once.

    Args:
        config: the model.
        apply: its forward pass.
        paths: the tensors, in the order of a row's entries.
        loss: what is added to the scores.
        strategy: whether configurations run one after the other or side by side.

    Returns:
        of frames with leaves [n, ...] the task losses float32[n_cells, n], and the scores.
    """

    def compressed(params: Any, cell: Cells) -> Any:
        pruned = compress.prune_by(params, paths, cell.sparsities)
        return compress.quantize_by(pruned, paths, cell.bits)

    @jax.jit
    def program(params: Any, cells: Cells, frames: link.Frame) -> tuple[jax.Array, FrameScores]:
        def of_chunk(params: Any, frame: link.Frame) -> tuple[jax.Array, FrameScores]:
            answers = answer(config, apply, params, frame)
            return loss(config, answers), score_answers(config, answers)[0]

        def evaluate(params: Any) -> tuple[jax.Array, FrameScores]:
            return in_chunks(functools.partial(of_chunk, params), frames)

        return compress.evaluate_cells(
            evaluate, params, compressed, cells, strategy=strategy, chunk=WIDTH
        )

    return program


def calibration_frames(test_set: TestSet) -> link.Frame:
    """The frames at all SNRs as one batch, leaves [n_snr * n_frames, ...]."""
    frame = draw_frames(test_set, SNRS_DB).frame
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), frame)


def measure(
    program: Callable[[Any, Cells, link.Frame], tuple[jax.Array, FrameScores]],
    test_set: TestSet,
    params: Any,
    cells: Cells,
    *,
    title: str = "cells",
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[Measured]:
    """Measures configurations on frozen frames at 10, 15 and 20 dB.

    Args:
        program: of :func:`make_program`.
        test_set: the frames.
        params: the uncompressed model.
        cells: the configurations.
        title: for the display.
        progress: display.
        check: called between calls of the program; what it raises ends the run.
    """
    progress, frames = progress or Silent(), calibration_frames(test_set)
    number, found = len(cells.bits), []
    progress.start(title, number)
    for first in range(0, number, WIDTH):
        check()
        at = np.minimum(np.arange(first, first + WIDTH), number - 1)
        some = jax.device_get(program(params, Cells(*(rows[at] for rows in cells)), frames))
        for i in range(min(WIDTH, number - first)):
            found.append(_on_host(test_set, *jax.tree.map(lambda x, i=i: x[i], some)))
        progress.advance(min(WIDTH, number - first))
    return found


def metric_values(measured: Measured, weights: np.ndarray) -> dict[str, np.ndarray]:
    """``task_loss``, mean over SNRs, and ``METRICS``: float64[n_resamples] each.

    Args:
        measured: one configuration.
        weights: float64[n_resamples, n_frames], of ``intervals.resample_weights``.
    """
    task_loss = metrics.weighted_mean(measured.task_loss.mean(axis=0), weights)
    scores = {name: metric(measured.scored, weights) for name, metric in METRICS.items()}
    return {"task_loss": task_loss, **scores}


def expected_increases(
    config: ModelConfig,
    apply: Apply,
    params: Any,
    paths: Sequence[str],
    loss: FrameLoss,
    frames: link.Frame,
    bits: Sequence[float],
    sparsities: Sequence[float],
) -> tuple[np.ndarray, np.ndarray]:
    """The Fisher estimate of what :func:`measure` measures, from one backward pass a frame.

    Args:
        config, apply, params, paths, loss: as in :func:`make_program`.
        frames: leaves [n, ...].
        bits: levels.
        sparsities: levels.

    Returns:
        expected rise of the task loss, float32[n_tensors, n_bits] and [n_tensors, n_sparsities].
    """

    def mean_loss(params: Any, frame: link.Frame) -> jax.Array:
        return jnp.mean(loss(config, answer(config, apply, params, frame)))

    @jax.jit
    def program(params: Any, frames: link.Frame) -> tuple[jax.Array, jax.Array]:
        stats = compress.gradient_statistics(
            mean_loss, params, frames, pattern=tuple(paths), per_example=True
        )

        def expected(by: Callable[..., Any], levels: Sequence[float]) -> jax.Array:
            return compress.expected_increases(
                params, stats, paths, lambda p, row: by(p, paths, row), np.asarray(levels)
            )

        return expected(compress.quantize_by, bits), expected(compress.prune_by, sparsities)

    return jax.device_get(program(params, frames))


def _on_host(test_set: TestSet, task_loss: np.ndarray, scores: FrameScores) -> Measured:
    """What overflowed counts as missing in the scores; the task loss keeps its infinity."""
    shape = (len(SNRS_DB), test_set.n_frames)
    finite = (np.where(np.isfinite(x), x, np.nan).reshape(shape) for x in scores)
    scored = Scored(test_set, SNRS_DB, FrameScores(*finite))
    return Measured(task_loss.reshape(shape).astype(np.float64), scored)
