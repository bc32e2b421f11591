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
so many vmapped at a time. Beside each, round by round: the program of one configuration, called for
one after the other, each call with frames and a teacher pass of its own; and PyTorch, eager and
compiled (on a GPU as CUDA graphs), one configuration after the other, with its own teacher pass and
with the teacher's answers given. PyTorch's frames are drawn beforehand, ours within the step unless
said otherwise.
"""

import contextlib
import datetime
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

from experiments.benchmarks import engine, engine_bound, engine_cells, engine_peer
from experiments.benchmarks.engine_cells import Cell, Clock, Measure, Stack
from experiments.benchmarks.engine_peer import Peer, PeerError
from experiments.benchmarks.engine_picture import engine_picture
from experiments.benchmarks.timing import seconds
from wfm_jax.model import ModelConfig, to_dict
from wfm_jax.results import atomic
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.sweep.study import devices, versions

HOW_TO_GET_IT = "PyTorch is not installed, so there is no peer: pip install '.[oracles]'"
LOOPED, LOOPED_GIVEN = "ours, looped", "ours, looped, frames and answers given"
NO_ONE = "the program of one configuration did not compile"
NARROWER = "a narrower one did not run"
PEERS = {"PyTorch": False, "torch.compile": True}
_LESSONS, _LOOPED, _SHARE_TO_WAIT = 4, 8, 0.65


class Settings(NamedTuple):
    """What to run.

    Attributes:
        models: architectures by name.
        folder: where ``engine.json`` (after every cell) and ``engine.png`` go.
        widths: numbers of configurations.
        strategies: ``map``, ``vmap``, or how many are vmapped at a time.
        computes: what our encoder's products are computed in: float32, bfloat16.
        batch_size: frames a step.
        rounds: paired measurements; medians are reported.
        steps: optimizer steps of a call.
        budget_s: seconds after which nothing more is begun.
        tf32: float32 products may be computed in TF32, where the device has it; PyTorch's too.
        peer: run PyTorch too, where it is installed.
    """

    models: dict[str, ModelConfig]
    folder: pathlib.Path
    widths: tuple[int, ...] = (1, 4, 16, 64)
    strategies: tuple[str, ...] = (engine.MAP, engine.VMAP, "16")
    computes: tuple[str, ...] = ("float32",)
    batch_size: int = 32
    rounds: int = 3
    steps: int = 10
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
    with _matrix_products(settings.tf32), contextlib.ExitStack() as ends:
        return _run(settings, clock, progress, ends)


def _run(
    settings: Settings, clock: Clock, progress: Progress, ends: contextlib.ExitStack
) -> dict[str, Any]:
    result, on_cpu = _begin(settings), jax.default_backend() == "cpu"
    result["products"]["ours"] = engine_bound.precision(jax.jit(jax.numpy.matmul))
    works = {
        (model, compute): engine.begin(config, settings.batch_size, compute)
        for model, config in settings.models.items()
        for compute in settings.computes
    }
    firsts = {model: works[model, settings.computes[0]] for model in settings.models}
    stacks = {m: engine.students(work, max(settings.widths)) for m, work in firsts.items()}
    given = {which: engine.lessons(work, _LESSONS) for which, work in works.items()}
    peers = {}
    if settings.peer:
        peers = _start_peers(settings, firsts, stacks, given, ends)
        if on_cpu:  # they would take our cores
            _wait(peers, clock, result, progress)
    device = engine_bound.measure(settings.computes)
    result["device"] = device._asdict()
    _save(settings, result)

    kinds = (settings.models, settings.computes, settings.strategies, settings.widths)
    cells, ones = engine_cells.plan(*kinds), [Cell(*which, engine.MAP, 1) for which in works]
    everything = list(dict.fromkeys([*ones, *cells]))
    compiled = engine_cells.compile_cells(
        works, stacks, everything, settings.steps, clock, progress
    )
    beside: dict[tuple[str, str], dict[str, Measure]] = {}
    costs = {}
    for one in ones:
        which, program = one[:2], compiled[one]
        if isinstance(program, str):
            continue
        work, stack = works[which], stacks[one.model]
        beside[which], compile_s = _ours(work, program, stack, given[which])
        first = engine_cells.take(stack, 1)[0].compression
        n, operations = engine.n_parameters(work), engine.forward_operations(work)
        costs[which] = engine_bound.cost(operations, n, first, program.temporary_bytes)
        result["models"][one.model][one.compute] = {
            "parameters": n,
            **costs[which]._asdict(),
            "compile_s": {LOOPED: program.compile_s, LOOPED_GIVEN: compile_s},
        }
    _wait(peers, clock, result, progress)
    for which, measures in beside.items():
        if which[1] == "float32":
            measures |= _theirs(peers, which[0])

    stopped = set()
    for cell in cells:
        which, program = cell[:2], compiled[cell]
        row: dict[str, Any] = {"name": engine_cells.name_of(cell.strategy), **cell._asdict()}
        if isinstance(program, str) or which not in beside:
            row |= {"skipped": program if isinstance(program, str) else NO_ONE}
        elif clock.left_s() <= 0.0 or cell[:3] in stopped:
            row |= {"skipped": NARROWER if cell[:3] in stopped else engine_cells.NO_TIME}
        else:
            bound = _bound(costs[which], cell, device)
            stack = engine_cells.take(stacks[cell.model], cell.width)
            how = (beside[which], settings.rounds, clock)
            row |= engine_cells.measure(works[which], program, stack, *how)
            if "ms" in row:
                row |= bound | {"share_of_bound": bound["bound_ms"] / row["ms"]}
            else:
                stopped.add(cell[:3])
        result["cells"].append(row)
        told = row.get("skipped") or f"{row['ms']:.4g} ms a configuration-step"
        progress.say(f"{clock.used_s:4.0f} s  {cell}: {told}")
        _save(settings, result)
    result["load_average"]["after"] = os.getloadavg()[0]
    result["used_s"] = clock.used_s
    _save(settings, result)
    engine_picture(result, settings.folder / "engine.png")
    return result


def _check(settings: Settings) -> None:
    for name in ("batch_size", "rounds", "steps"):
        if getattr(settings, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(settings, name)}")
    for name in ("models", "widths", "strategies", "computes"):
        if not getattr(settings, name):
            raise ValueError(f"{name} must not be empty")
    if min(settings.widths) < 1:
        raise ValueError(f"widths must be at least 1, got {min(settings.widths)}")


@contextlib.contextmanager
def _matrix_products(tf32: bool) -> Iterator[None]:
    """JAX's default lets a GPU use TF32; ``highest`` does not."""
    before = jax.config.jax_default_matmul_precision
    jax.config.update("jax_default_matmul_precision", before if tf32 else "highest")
    try:
        yield
    finally:
        jax.config.update("jax_default_matmul_precision", before)


def _begin(settings: Settings) -> dict[str, Any]:
    """The result before anything is measured."""
    numbers = ("widths", "strategies", "computes", "batch_size", "rounds", "steps", "budget_s")
    return {
        "suite": "engine",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "settings": {name: getattr(settings, name) for name in (*numbers, "tf32", "peer")}
        | {"models": {name: to_dict(config) for name, config in settings.models.items()}},
        "versions": versions(),
        "devices": devices(),
        "cores": os.cpu_count(),
        "load_average": {"before": os.getloadavg()[0]},
        "memory_limit_bytes": engine_cells.memory_limit(),
        "bound": engine_bound.__doc__,
        "default_matmul_precision": jax.config.jax_default_matmul_precision or "default",
        "products": {},
        "models": {name: {} for name in settings.models},
        "peers": {},
        "failures": {},
        "cells": [],
    }


def _save(settings: Settings, result: dict[str, Any]) -> None:
    settings.folder.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(settings.folder / "engine.json", json.dumps(result, indent=2).encode())


def _ours(
    work: engine.Work, program: engine.Program, stack: Stack, given: list[engine.Lesson]
) -> tuple[dict[str, Measure], float]:
    """Ours without a configuration axis, and the seconds to compile the second of them."""
    n = min(_LOOPED, stack[0].step.shape[0])
    alone = [
        engine.Running(work, program, jax.tree.map(lambda x, i=i: x[i : i + 1], stack))
        for i in range(n)
    ]
    on_given, compile_s = engine.running_on_given(work, stack, given)
    steps = n * program.n_steps

    def one_after_the_other() -> None:
        for running in alone:
            running()

    one_after_the_other(), on_given()  # first touch
    measures = {
        LOOPED: lambda: seconds(one_after_the_other) / steps,
        LOOPED_GIVEN: lambda: seconds(on_given) / len(given),
    }
    return measures, compile_s


def _start_peers(
    settings: Settings,
    works: dict[str, engine.Work],
    stacks: dict[str, Stack],
    given: dict[tuple[str, str], list[engine.Lesson]],
    ends: contextlib.ExitStack,
) -> dict[str, Peer]:
    """PyTorch's processes, on the configuration in the middle of the widest stack."""
    compute, device = settings.computes[0], "cuda:0" if jax.default_backend() == "gpu" else "cpu"
    subjects = {}
    for model, work in works.items():
        student, recipe = jax.tree.map(lambda x: x[len(x) // 2], stacks[model])
        subjects[model] = engine_peer.subject(work, student, recipe, given[model, compute])
    settings.folder.mkdir(parents=True, exist_ok=True)
    peers = {}
    for name, compiled in PEERS.items():
        task = engine_peer.Task(subjects, device, compiled, settings.tf32)
        peers[name] = Peer(task, settings.folder, f"engine-{name.lower()}")
        ends.callback(peers[name].close)
    return peers


def _wait(peers: dict[str, Peer], clock: Clock, result: dict[str, Any], progress: Progress) -> None:
    """Until they are ready; who is not, for whatever reason, is left out."""
    for name, peer in list(peers.items()):
        if name in result["peers"]:
            continue
        try:
            peer.wait(clock.left_s(_SHARE_TO_WAIT))
            result["products"][name] = peer.told["products"]
            result["versions"] |= peer.told["versions"]
        except PeerError as error:
            result["failures"][name] = str(error)
            peers.pop(name).close()
        failures = {", ".join([name, *which]): why for which, why in peer.failures.items()}
        result["failures"] |= failures
        result["peers"][name] = {"loops": list(peer.loops.values()), **peer.told}
        told = "; ".join([result["failures"].get(name, ""), *failures.values()]).strip("; ")
        progress.say(f"{clock.used_s:4.0f} s  {name}: {told or 'ready'}")


def _theirs(peers: dict[str, Peer], model: str) -> dict[str, Measure]:
    return {
        f"{name}, {loop}": lambda peer=peer, loop=loop: peer.seconds(model, loop)
        for name, peer in peers.items()
        for of, loop in peer.loops
        if of == model and (of, loop) not in peer.failures
    }


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
