"""The cells of the suite ``engine``: what is compiled, what fits, and how long a step of it takes.

All cells are compiled before any is timed: a compiler at work beside it would be timed too. On a
GPU several are compiled side by side.
"""

import concurrent.futures
import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from experiments.benchmarks import engine
from experiments.benchmarks.engine import Program, Running, Work
from experiments.benchmarks.engine_peer import PeerError
from experiments.benchmarks.timing import ratios, seconds
from wfm_jax.results.progress import Progress
from wfm_jax.sweep.fitting import memory_limit
from wfm_jax.train.distill import Recipe, Student

Stack = tuple[Student, Recipe]
Measure = Callable[[], float]
"""Seconds of one configuration-step, measured now."""

NO_TIME = "no time was left for it"
_FULL_CHUNK = 16  # configurations up to which a call has all its steps
_SHARE_TO_COMPILE = 0.6


class Cell(NamedTuple):
    """One measurement: model, what it computes in, how the config axis runs, how long it is."""

    model: str
    compute: str
    strategy: str
    width: int

    @property
    def at_a_time(self) -> int:
        """Configurations whose temporaries are there at once, on a device."""
        if self.strategy in (engine.MAP, engine.SPREAD):
            return 1
        return self.width if self.strategy == engine.VMAP else int(self.strategy)

    def __str__(self) -> str:
        how = name_of(self.strategy)
        return f"{self.model} {self.compute}, {self.width} configurations, {how}"


class Clock:
    """The time that a run may take."""

    def __init__(self, budget_s: float):
        self._began, self._budget_s = time.monotonic(), budget_s

    @property
    def used_s(self) -> float:
        return time.monotonic() - self._began

    def left_s(self, share: float = 1.0) -> float:
        """Until this share of the budget is used up."""
        return share * self._budget_s - self.used_s


def name_of(strategy: str) -> str:
    """In words: a number is that of the configurations that are vmapped at a time."""
    if strategy == engine.SPREAD:
        return f"map on {engine.devices_of(strategy).n} devices"
    return f"vmap, {strategy} at a time" if strategy.isdigit() else strategy


def plan(
    models: Iterable[str], computes: Iterable[str], strategies: Iterable[str], widths: Sequence[int]
) -> list[Cell]:
    """The cells, narrow ones first; chunks only where there is more than one, and devices that have
    equal shares."""
    cells = [
        Cell(model, compute, strategy, width)
        for model in models
        for compute in computes
        for strategy in strategies
        for width in sorted(set(widths))
    ]
    kept = [c for c in cells if not c.strategy.isdigit() or c.width > int(c.strategy)]
    kept = [c for c in kept if c.width % engine.devices_of(c.strategy).n == 0]
    return sorted(kept, key=lambda cell: cell.width)


def steps_of(width: int, n_steps: int) -> int:
    """Steps of one call: fewer where there are many configurations, so that a call stays short."""
    return max(1, min(n_steps, n_steps * _FULL_CHUNK // width))


def compile_cells(
    works: Mapping[tuple[str, str], Work],
    stacks: Mapping[str, Stack],
    cells: Sequence[Cell],
    n_steps: int,
    clock: Clock,
    progress: Progress,
) -> dict[Cell, Program | str]:
    """Programs, or why there is none.

    Args:
        works: by model and what it computes in.
        stacks: students and recipes by model, as many as the widest cell asks for.
        cells: to compile.
        n_steps: optimizer steps of a call, at most.
        clock: after most of its time, no further cell is begun.
        progress: a line a cell.
    """
    limit, found, on_cpu = memory_limit(), {}, jax.default_backend() == "cpu"
    threads = 1 if on_cpu else max(1, min(8, (os.cpu_count() or 1) // 2))
    # The narrowest of each kind come first: they tell how much the others need.
    narrowest = {cell[:3]: cell for cell in reversed(cells)}
    first = [cell for cell in cells if narrowest[cell[:3]] == cell]
    for group in (first, [cell for cell in cells if cell not in first]):
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            futures = {}
            for cell in group:
                why = _too_large(_expected_bytes(found.get(narrowest[cell[:3]]), cell), limit)
                if why or clock.left_s(_SHARE_TO_COMPILE) <= 0.0:
                    found[cell] = why or NO_TIME
                    continue
                work, stack = works[cell.model, cell.compute], take(stacks[cell.model], cell.width)
                steps = steps_of(cell.width, n_steps)
                job = engine.compile_later(work, cell.strategy, stack, steps)
                futures[cell] = pool.submit(job)
                if on_cpu:
                    concurrent.futures.wait([futures[cell]])
            for cell, future in futures.items():
                found[cell] = _outcome(future, limit)
        for cell in group:
            program = found[cell]
            told = program if isinstance(program, str) else f"{program.compile_s:.0f} s to compile"
            progress.say(f"{clock.used_s:4.0f} s  {cell}: {told}")
    return found


def _outcome(future: concurrent.futures.Future, limit: int) -> Program | str:
    try:
        program = future.result()
    except RuntimeError as error:  # XLA's
        return f"did not compile: {first_line(error)}"
    return _too_large(program.bytes, limit) or program


def _expected_bytes(narrower: Program | str | None, cell: Cell) -> float:
    """In proportion to a narrower program of the same kind."""
    if not isinstance(narrower, Program):
        return 0.0
    at_a_time = cell._replace(width=narrower.width).at_a_time
    own = narrower.argument_bytes * cell.width / narrower.width
    return own + narrower.temporary_bytes * cell.at_a_time / at_a_time


def _too_large(n_bytes: float, limit: int) -> str:
    if n_bytes <= limit:
        return ""
    return f"needs {n_bytes / 2**30:.1f} GiB of {limit / 2**30:.1f} GiB"


def measure(
    work: Work,
    program: Program,
    stack: Stack,
    beside: dict[str, Measure],
    rounds: int,
    clock: Clock,
) -> dict[str, Any]:
    """Seconds of one configuration-step, and beside it those of others, in turns.

    Args:
        work: the model.
        program: of a cell.
        stack: its students and recipes.
        beside: what else is measured once a round; what does not answer is removed.
        rounds: at most; fewer, but one, where the time is used up.
        clock: the time.

    Returns:
        Fields of the cell's row; ``skipped`` says why where there are no others.
    """
    try:
        running = Running(work, program, stack)
        running()
        own, others, lost = [], {name: [] for name in beside}, {}
        while len(own) < rounds and (not own or clock.left_s() > 0.0):
            own.append(seconds(running) / (program.n_steps * program.width))
            for name in list(beside):
                try:
                    others[name].append(beside[name]())
                except PeerError as error:
                    lost[name] = str(error)
                    del beside[name], others[name]
    except jax.errors.JaxRuntimeError as error:
        return {"skipped": f"did not run: {first_line(error)}"}
    if running.n_diverged:
        return {"skipped": f"{running.n_diverged} students diverged and stood still"}
    typical = statistics.median(own)
    return {
        "n_steps": program.n_steps,
        "compile_s": program.compile_s,
        "argument_bytes": program.argument_bytes,
        "temporary_bytes": program.temporary_bytes,
        "seconds": own,
        "ms": 1e3 * typical,
        "configuration_steps_per_second": 1.0 / typical,
        "beside": {
            name: {
                "seconds": measured,
                "ms": 1e3 * statistics.median(measured),
                "ratio": ratios(measured, own),
            }
            for name, measured in others.items()
        },
        "lost": lost,
    }


def take(stack: Any, width: int) -> Any:
    """The first configurations of a stack of NumPy arrays."""
    return jax.tree.map(lambda x: x[:width], stack)


def first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
