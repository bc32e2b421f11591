"""The suite ``sensitivity``: every tensor at every level, in one program and one by one.

Three ways to the same cells. *One program*: tensor and level are data, one compile serves the grid.
*One by one*: a program of its own for every cell, as where a level is part of a type or a layer's
attribute and changes what is traced; a few cells are run, the rest is reckoned from their mean.
*One call a cell*: the one program, given a single cell at a time, which says how much of the gain
is compiling less, and how much is running more at once.
"""

import datetime
import os
import statistics
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from wfm_jax import compress
from wfm_jax.evaluate import sensitivity
from wfm_jax.evaluate.chunks import in_chunks
from wfm_jax.evaluate.frames import TestSet
from wfm_jax.evaluate.scores import answer, score_answers
from wfm_jax.model import ModelConfig, build, to_dict
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.sweep.study import devices, versions
from wfm_jax.train.frame_loss import frame_loss

BITS = (2, 3, 4, 6, 8)
ONE, EACH, CALLS = "one program", "one by one", "one call a cell"


class Settings(NamedTuple):
    """What to run.

    Attributes:
        config: the model.
        params: its parameters.
        frames_per_stratum: calibration frames of each constellation and K bin, at three SNRs.
        samples: cells that are run one by one.
        strategy: how the one program runs its cells.
    """

    config: ModelConfig
    params: Any
    frames_per_stratum: int = 8
    samples: int = 6
    strategy: compress.Strategy = "map"


def run(settings: Settings, progress: Progress | None = None) -> dict[str, Any]:
    """Runs the suite; the result is what the JSON file holds."""
    progress, config, params = progress or Silent(), settings.config, settings.params
    load_before = os.getloadavg()
    test_set = TestSet(config.link, seed=1001, frames_per_stratum=settings.frames_per_stratum)
    frames = sensitivity.calibration_frames(test_set)
    paths = sensitivity.tensors(params)
    apply = build(config, jax.random.key(0))[0]
    grid = [(path, bits) for path in paths for bits in BITS]

    began = time.perf_counter()
    program = sensitivity.make_program(config, apply, paths, frame_loss, strategy=settings.strategy)
    cells = sensitivity.one_at_a_time(len(paths), BITS)
    together = sensitivity.measure(program, test_set, params, cells, progress=progress)
    one_s = time.perf_counter() - began

    chosen = np.linspace(0, len(grid) - 1, settings.samples).astype(int)
    progress.start(EACH, len(chosen))
    each_s, differences = [], []
    for index in chosen:
        path, bits = grid[index]
        began = time.perf_counter()
        loss = _alone(config, apply, params, path, bits, frames)
        each_s.append(time.perf_counter() - began)
        own = together[1 + index].task_loss
        differences.append(float(np.max(np.abs(loss.reshape(own.shape) - own) / np.abs(own))))
        progress.advance(1)

    single = _of_one(config, apply, paths)
    rows = cells.bits[1 + chosen]
    jax.block_until_ready(single(params, rows[0], frames))
    began = time.perf_counter()
    for row in rows:
        jax.block_until_ready(single(params, row, frames))
    call_s = (time.perf_counter() - began) / len(rows)
    return {
        "suite": "sensitivity",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "settings": {
            "model": to_dict(config),
            "frames": int(jax.tree.leaves(frames)[0].shape[0]),
            "bits": list(BITS),
            "samples": len(chosen),
            "strategy": settings.strategy,
        },
        "versions": versions(),
        "devices": devices(),
        "cores": os.cpu_count(),
        "load_average": {"before": load_before[0], "after": os.getloadavg()[0]},
        "tensors": len(paths),
        "cells": len(grid),
        "compiles": program._cache_size(),  # pyright: ignore[reportFunctionMemberAccess]
        "largest_difference": max(differences),
        "seconds": {
            ONE: one_s,
            EACH: statistics.mean(each_s) * len(grid),
            CALLS: call_s * len(grid),
        },
        "seconds_each": each_s,
        "times_faster": statistics.mean(each_s) * len(grid) / one_s,
    }


def _of_one(config: ModelConfig, apply: Any, paths: list[str]) -> Any:
    """A program for one cell of any tensor and level."""

    @jax.jit
    def program(params: Any, bits: jax.Array, frames: Any) -> Any:
        return _scored(config, apply, compress.quantize_by(params, paths, bits), frames)

    return program


def _alone(
    config: ModelConfig, apply: Any, params: Any, path: str, bits: int, frames: Any
) -> np.ndarray:
    """Task losses with one tensor quantized, by a program that is compiled for it."""

    @jax.jit
    def program(params: Any, frames: Any) -> Any:
        tensor = compress.flatten(params)[path]
        scale = compress.auto_scale(tensor, bits)
        snapped = compress.fake_quant(tensor, bits, scale=scale)
        return _scored(config, apply, compress.unflatten(params, {path: snapped}), frames)

    return np.asarray(jax.block_until_ready(program(params, frames))[0])


def _scored(config: ModelConfig, apply: Any, params: Any, frames: Any) -> Any:
    """Task losses and all scores, as the one program has them."""

    def of_chunk(frame: Any) -> Any:
        answers = answer(config, apply, params, frame)
        return frame_loss(config, answers), score_answers(config, answers)[0]

    return in_chunks(of_chunk, frames)
