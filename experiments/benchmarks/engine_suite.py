"""The suite ``engine``: configuration-steps a second of a sweep's training program.

What a configuration-step costs at least, of the nano model on 32 frames, written down before
anything was timed: matrix products of 1.49 G operations, and of .50 G over C for the teacher that C
configurations share; and 114 MB of memory traffic, of which 6 MB are parameters, moments and
gradient and 108 MB what the step keeps for its backward pass, written and read once. On two CPU
cores (187 G operations and 50 GB a second) that is 8.0 ms of arithmetic and 2.3 ms of memory:
arithmetic binds. On an H100 (some 400 T operations of TF32 and 3 TB a second) it is 4 us of
arithmetic and 38 us of memory: the elementwise passes between the products bind; and before them,
while few configurations train together, the launches, hundreds a step of 2 us or more each. See
:mod:`experiments.benchmarks.engine_bound` for what is counted.

Strategies of the configuration axis: ``map`` one after the other, ``vmap`` all at once, a number:
so many vmapped at a time, ``spread``: ``map`` on every device, each with its share of the
configurations and a teacher pass of its own; the others run on the first device. Beside each, round
by round: the program of one configuration, called for one after the other, each call with frames
and a teacher pass of its own; the same on given frames, with the teacher asked and with its answers
given; and PyTorch, eager and compiled (on a GPU as CUDA graphs), one configuration after the other,
on given frames likewise. Of the fastest cell of each model the profiler says where the time goes
(:mod:`experiments.benchmarks.engine_parts`).
"""

import contextlib
import datetime
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from experiments.benchmarks import (
    engine,
    engine_beside,
    engine_bound,
    engine_cells,
    engine_parts,
    engine_peer,
)
from experiments.benchmarks.engine_cells import Cell, Clock, Measure, Stack
from experiments.benchmarks.engine_peer import Subject
from experiments.benchmarks.engine_picture import engine_picture
from wfm_jax.model import ModelConfig, to_dict
from wfm_jax.results import atomic
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.sweep import fitting
from wfm_jax.sweep.study import devices, versions

HOW_TO_GET_IT = "PyTorch is not installed, so there is no peer: pip install '.[oracles]'"
NO_ONE = "the program of one configuration did not compile"
NARROWER = "a narrower one did not run"
_LESSONS = 4


class Settings(NamedTuple):
    """What to run.

    Attributes:
        models: architectures by name.
        teacher: of all of them; None: each has one of its own size.
        folder: where ``engine.json`` (after every cell) and ``engine.png`` go.
        widths: numbers of configurations.
        strategies: ``map``, ``vmap``, ``spread``, or how many are vmapped at a time.
        computes: what our encoder's products are computed in: float32, bfloat16.
        batch_size: frames a step.
        rounds: paired measurements; medians are reported.
        steps: optimizer steps of a call; those of a sweep's chunk, as a call's arrays are new ones.
        budget_s: seconds after which nothing more is begun.
        tf32: float32 products may be computed in TF32, where the device has it; PyTorch's too.
        peer: run PyTorch too, where it is installed.
    """

    models: dict[str, ModelConfig]
    folder: pathlib.Path
    teacher: ModelConfig | None = None
    widths: tuple[int, ...] = (1, 4, 16, 64)
    strategies: tuple[str, ...] = (engine.MAP, engine.VMAP, "16")
    computes: tuple[str, ...] = ("float32",)
    batch_size: int = 32
    rounds: int = 3
    steps: int = 25
    budget_s: float = 900.0
    tf32: bool = True
    peer: bool = True


def run(settings: Settings, progress: Progress | None = None) -> dict[str, Any]:
    """Runs the suite; the result is what the JSON file holds.

    Raises:
        ValueError: a number below one, or nothing to run.
    """
    _check(settings)
    progress, clock = progress or Silent(), Clock(settings.budget_s)
    if settings.peer and not engine_peer.is_installed():
        progress.say(HOW_TO_GET_IT)
        settings = settings._replace(peer=False)
    with contextlib.ExitStack() as ends:
        if not settings.tf32:  # JAX's default lets a GPU use it
            ends.enter_context(jax.default_matmul_precision("highest"))
        return _run(settings, clock, progress, ends)


class _Made(NamedTuple):
    """Models by name and what they compute in; by name, the students and recipes of the widest
    cell; lessons of each model."""

    works: dict[tuple[str, str], engine.Work]
    stacks: dict[str, Stack]
    given: dict[tuple[str, str], list[engine.Lesson]]


def _run(
    settings: Settings, clock: Clock, progress: Progress, ends: contextlib.ExitStack
) -> dict[str, Any]:
    result, made = _begin(settings), _make(settings)
    result["products"]["ours"] = engine_bound.precision(jax.jit(jax.numpy.matmul))
    peers = engine_beside.start(_subjects(settings, made), settings.folder, settings.tf32)
    for peer in peers.values():
        ends.callback(peer.close)
    if jax.default_backend() == "cpu":  # they would take our cores
        engine_beside.wait(peers, 0.4 * settings.budget_s, clock, result, progress)
    device = engine_bound.measure(settings.computes)
    result["device"] = device._asdict()
    _save(settings, result)

    kinds = (settings.models, settings.computes, settings.strategies, settings.widths)
    cells = engine_cells.plan(*kinds)
    ones = [Cell(*which, engine.MAP, 1) for which in made.works]
    everything = list(dict.fromkeys([*ones, *cells]))
    how = (settings.steps, clock, progress)
    compiled = engine_cells.compile_cells(made.works, made.stacks, everything, *how)
    costs, beside = _one_after_the_other(made, ones, compiled, result)
    engine_beside.wait(peers, 0.65 * settings.budget_s, clock, result, progress)
    for (model, compute), measures in beside.items():
        if compute == "float32":
            measures |= engine_beside.theirs(peers, model)

    stopped = set()
    for cell in cells:
        which, program = cell[:2], compiled[cell]
        row: dict[str, Any] = {"name": engine_cells.name_of(cell.strategy), **cell._asdict()}
        if isinstance(program, str) or which not in costs:
            row |= {"skipped": program if isinstance(program, str) else NO_ONE}
        elif clock.left_s() <= 0.0 or cell[:3] in stopped:
            row |= {"skipped": NARROWER if cell[:3] in stopped else engine_cells.NO_TIME}
        else:
            stack = engine_cells.take(made.stacks[cell.model], cell.width)
            how = (beside[which], settings.rounds, clock)
            row |= engine_cells.measure(made.works[which], program, stack, *how)
            row |= _reached(row, _bound(costs[which], cell, device))
            stopped |= {cell[:3]} if "skipped" in row else set()
        result["cells"].append(row)
        told = row.get("skipped") or f"{row['ms']:.4g} ms a configuration-step"
        progress.say(f"{clock.used_s:4.0f} s  {cell}: {told}")
        _save(settings, result)
    for which in costs:
        if profiled := _profiled(made, which, compiled, result["cells"]):
            result["models"][which[0]][which[1]]["profile"] = profiled
    result["load_average"]["after"], result["used_s"] = os.getloadavg()[0], clock.used_s
    _save(settings, result)
    engine_picture(result, settings.folder / "engine.png")
    return result


def _make(settings: Settings) -> _Made:
    works = {
        (model, compute): engine.begin(config, settings.batch_size, compute, settings.teacher)
        for model, config in settings.models.items()
        for compute in settings.computes
    }
    return _Made(
        works,
        {
            model: engine.students(works[model, settings.computes[0]], max(settings.widths))
            for model in settings.models
        },
        {which: engine.lessons(work, _LESSONS) for which, work in works.items()},
    )


def _subjects(settings: Settings, made: _Made) -> dict[str, Subject]:
    """What PyTorch trains of each model: the configuration in the middle of the widest stack;
    nothing where there is no peer."""
    subjects = {}
    for model, stack in made.stacks.items() if settings.peer else ():
        which = (model, settings.computes[0])
        student, recipe = jax.tree.map(lambda x: x[len(x) // 2], stack)
        one = (made.works[which], student, recipe, made.given[which])
        subjects[model] = engine_peer.subject(*one)
    return subjects


def _one_after_the_other(
    made: _Made, ones: list[Cell], compiled: Mapping[Cell, Any], result: dict[str, Any]
) -> tuple[dict[Any, engine_bound.Cost], dict[Any, dict[str, Measure]]]:
    """Of each model whose program of one configuration compiled: what a step costs, and how ours
    is measured without a configuration axis. Tells the result of it."""
    costs, beside = {}, {}
    for one in ones:
        which, program = one[:2], compiled[one]
        if isinstance(program, str):
            continue
        work, stack = made.works[which], made.stacks[one.model]
        first = engine_cells.take(stack, 1)[0].compression
        operations = (engine.forward_operations(work), engine.teacher_operations(work))
        numbers = (*operations, engine.n_parameters(work))
        costs[which] = engine_bound.cost(*numbers, first, program.temporary_bytes)
        beside[which], compile_s = engine_beside.ours(work, program, stack, made.given[which])
        result["models"][one.model][one.compute] = {
            "parameters": engine.n_parameters(work),
            **costs[which]._asdict(),
            "compile_s": compile_s,
        }
    return costs, beside


def _profiled(
    made: _Made, which: tuple[str, str], compiled: Mapping[Cell, Any], rows: list[dict[str, Any]]
) -> dict[str, Any]:
    """Where the time of a model's fastest cell goes; nothing where none was measured."""
    measured = [row for row in rows if (row["model"], row["compute"]) == which and "ms" in row]
    if not measured:
        return {}
    fastest = min(measured, key=lambda row: row["ms"])
    cell = Cell(*(fastest[field] for field in Cell._fields))
    program, stack = compiled[cell], engine_cells.take(made.stacks[cell.model], cell.width)
    running = engine.Running(made.works[which], program, stack)
    running()
    ms_of_one = 1e3 / (program.n_steps * program.width)
    parts = [
        {
            "phase": part.phase,
            "file": part.file,
            "thread_ms": part.seconds * ms_of_one,
            "share": part.share,
        }
        for part in engine_parts.parts(program.compiled, running)
    ]
    return {
        "name": fastest["name"],
        "width": cell.width,
        "thread_ms": sum(part["thread_ms"] for part in parts),
        "parts": parts,
    }


def _check(settings: Settings) -> None:
    for name in ("batch_size", "rounds", "steps"):
        if getattr(settings, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(settings, name)}")
    for name in ("models", "widths", "strategies", "computes"):
        if not getattr(settings, name):
            raise ValueError(f"{name} must not be empty")
    if min(settings.widths) < 1:
        raise ValueError(f"widths must be at least 1, got {min(settings.widths)}")


def _begin(settings: Settings) -> dict[str, Any]:
    """The result before anything is measured."""
    numbers = ("widths", "strategies", "computes", "batch_size", "rounds", "steps", "budget_s")
    return {
        "suite": "engine",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "settings": {name: getattr(settings, name) for name in (*numbers, "tf32", "peer")}
        | {"models": {name: to_dict(config) for name, config in settings.models.items()}}
        | {"teacher": settings.teacher and to_dict(settings.teacher)},
        "versions": versions(),
        "devices": devices(),
        "cores": os.cpu_count(),
        "load_average": {"before": os.getloadavg()[0]},
        "memory_limit_bytes": fitting.memory_limit(),
        "bound": engine_bound.__doc__,
        "default_matmul_precision": "default" if settings.tf32 else "highest",
        "products": {},
        "models": {name: {} for name in settings.models},
        "peers": {},
        "failures": {},
        "cells": [],
    }


def _save(settings: Settings, result: dict[str, Any]) -> None:
    settings.folder.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(settings.folder / "engine.json", json.dumps(result, indent=2).encode())


def _bound(cost: engine_bound.Cost, cell: Cell, device: engine_bound.Device) -> dict[str, float]:
    """Milliseconds of a configuration-step at least."""
    rate = device.matrix_operations[cell.compute]
    arithmetic_ms = 1e3 * cost.arithmetic_s(cell.width, rate)
    memory_ms = 1e3 * cost.memory_s(device.memory_bytes)
    return {
        "arithmetic_ms": arithmetic_ms,
        "memory_ms": memory_ms,
        "bound_ms": max(arithmetic_ms, memory_ms),
    }


def _reached(row: dict[str, Any], bound: dict[str, float]) -> dict[str, float]:
    """The bound, and how much of it a measured cell reaches."""
    return bound | {"share_of_bound": bound["bound_ms"] / row["ms"]} if "ms" in row else {}
