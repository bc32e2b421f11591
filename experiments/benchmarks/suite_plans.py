"""What a suite would measure, and about how long that takes."""

import pathlib
from typing import Any

import jax

from experiments.benchmarks import (
    engine_suite,
    sensitivity_suite,
    shrink_suite,
    signal,
    signal_suite,
    train_suite,
)
from wfm_jax.evaluate import probe, sensitivity
from wfm_jax.evaluate.frames import TestSet
from wfm_jax.evaluate.metrics import AMC_SNRS_DB
from wfm_jax.evaluate.probe import Load
from wfm_jax.model import ModelConfig, param_shapes
from wfm_jax.results.plan import Fact, Plan, about, counted, disk_fact
from wfm_jax.results.room import in_units

_FILE_BYTES = 200e3


def plan(suite: str, settings: Any, path: pathlib.Path) -> Plan:
    """The plan of a suite.

    Args:
        suite: its name.
        settings: of it.
        path: of the file that it would write.
    """
    facts = {
        "signal": _signal,
        "train": _train,
        "shrink": _shrink,
        "engine": _engine,
        "sensitivity": _sensitivity,
    }[suite](settings)
    there = "is there and would be replaced" if path.exists() else "would be written"
    file = Fact("file", str(path), there)
    return Plan(f"suite {suite}", (file, *facts, disk_fact(path.parent, _FILE_BYTES, "one file")))


def _signal(settings: signal_suite.Settings) -> list[Fact]:
    orders = list(settings.bits_per_symbol)
    cases = signal.cases(orders, settings.batch_size, settings.block_length)
    compile_s, run_s = probe.time_program(signal.whole(cases[-1]), jax.random.key(0))
    seconds = len(cases) * (2 * compile_s + 2 * settings.rounds * run_s)
    basis = f"an estimate from one case timed here: {compile_s:.2g} s to compile, {run_s:.2g} s"
    return [
        _rounds(len(cases), settings.rounds, f"{settings.batch_size} frames each"),
        Fact("compiling", counted(2 * len(cases), "program"), "two of each case"),
        Fact("time", about(seconds), f"{basis} a run; another library's comes on top"),
    ]


def _train(settings: train_suite.Settings) -> list[Fact]:
    frames = settings.teacher.batch_size * settings.teacher.accumulate
    steps = settings.rounds * settings.steps * (3 if settings.peer else 1)
    pace = probe.measure_pace(settings.config, settings.teacher.batch_size)
    return [
        _rounds(1, settings.rounds, f"{settings.steps} steps of {frames} frames each"),
        Fact("compiling", "1 program", "and those of the other library"),
        _memory({"": settings.config}),
        probe.time_fact(probe.training(steps, frames), pace),
    ]


def _shrink(settings: shrink_suite.Settings) -> list[Fact]:
    n = len(settings.models) * len(settings.batch_sizes)
    largest = max(settings.models.values(), key=probe.flops_of)
    passes = 3.0 * settings.rounds * len(settings.models) * sum(settings.batch_sizes)
    pace = probe.measure_pace(largest, max(settings.batch_sizes))
    return [
        _rounds(n, settings.rounds, f"{', '.join(settings.models)}: dense, masked and shrunk"),
        Fact("compiling", counted(3 * n, "program"), "three of each model and batch size"),
        _memory(settings.models),
        probe.time_fact(Load(passes, 3.0 * n), pace),
    ]


def _engine(settings: engine_suite.Settings) -> list[Fact]:
    cells = len(settings.models) * len(settings.widths) * len(settings.strategies)
    n, words = cells * len(settings.computes), ", ".join(settings.models)
    return [
        _rounds(n, settings.rounds, f"{words}; {settings.steps} steps of {settings.batch_size}"),
        Fact("compiling", f"at most {counted(n, 'program')}", "one of each cell, and the peer's"),
        _memory(settings.models, max(settings.widths)),
        Fact(
            "time",
            f"at most {about(settings.budget_s)}",
            "--engine_budget_s; what is begun by then is ended",
        ),
    ]


def _sensitivity(settings: sensitivity_suite.Settings) -> list[Fact]:
    n_cells = len(sensitivity.tensors(settings.params)) * len(sensitivity_suite.BITS)
    test_set = TestSet(settings.config.link, 1001, frames_per_stratum=settings.frames_per_stratum)
    frames = test_set.n_frames * len(AMC_SNRS_DB)
    passes = probe.SCORE_PASSES * frames * (n_cells + 2 * settings.samples)
    pace = probe.measure_pace(settings.config, 100)
    return [
        Fact("cells", f"{n_cells:,}", f"each on {counted(frames, 'frame')}"),
        Fact("compiling", counted(2 + settings.samples, "program"), "of all, and one by one"),
        _memory({"": settings.config}),
        probe.time_fact(Load(passes, probe.SCORING_COMPILES * (2 + settings.samples)), pace),
    ]


def _rounds(n: int, rounds: int, words: str) -> Fact:
    return Fact("cases", f"{n:,}", f"{counted(rounds, 'round')}; {words}")


def _memory(models: dict[str, ModelConfig], width: int = 1) -> Fact:
    largest = max(probe.bytes_of(param_shapes(config)) for config in models.values())
    words = f"weights, gradients and optimizer of {counted(width, 'configuration')} of the largest"
    return Fact("memory", in_units(4.0 * width * largest), f"{words} model; activations on top")
