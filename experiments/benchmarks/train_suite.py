"""The suite ``train``: frames a second of the training step, beside PyTorch, and what bounds it.

The bound, of a step of the nano model on 32 frames: 1.49 G operations in matrix products (three
times those of a forward pass; the gradient's own program holds 2 % fewer) take 8.0 ms at the 187 G
a second that two cores reach in one large product. 2 MiB of parameters and optimizer and 44 MiB of
temporaries, each read and written once, are 97 MB, 1.9 ms from main memory: arithmetic binds, not
memory. Reached is a quarter of that peak: 33 ms a step, frames drawn. The gradient is nearly all of
it; drawing frames and preparing views take 6 %, the optimizer 4 %. In between are products of 8 to
64 terms, far below the peak of large ones, and the elementwise passes between them. Not done:
attention with operands transposed beforehand (a custom VJP).
"""

import dataclasses
import datetime
import importlib.util
import os
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from experiments.benchmarks import machine, train, train_parts
from experiments.benchmarks.timing import in_turns, ratios
from wfm_jax.model import Batch, ModelConfig, to_dict
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.sweep.study import devices, versions
from wfm_jax.train.teacher import TeacherSettings

HOW_TO_GET_IT = "PyTorch is not installed, so there is no peer: pip install '.[oracles]'"
DRAWING, GIVEN = "ours", "ours, frames given"
EAGER, COMPILED = "PyTorch, frames given", "torch.compile, frames given"


class Settings(NamedTuple):
    """What to run.

    Attributes:
        config: the model.
        teacher: how it is trained.
        rounds: paired measurements; medians are reported.
        steps: optimizer steps of one call.
        peer: run PyTorch too, where it is installed.
    """

    config: ModelConfig = ModelConfig()
    teacher: TeacherSettings = TeacherSettings()
    rounds: int = 7
    steps: int = 10
    peer: bool = True


class Peer(NamedTuple):
    """PyTorch: its loops by name, their losses on the first steps, seconds to compile, what did not
    run; matrix products per second; versions."""

    calls: dict[str, Callable[[], Any]]
    losses: dict[str, dict[str, float]]
    compile_s: dict[str, float]
    failures: dict[str, str]
    matrix_operations: dict[str, float]
    versions: dict[str, str]


def is_installed() -> bool:
    return importlib.util.find_spec("torch") is not None


def run(settings: Settings, progress: Progress | None = None) -> dict[str, Any]:
    """Runs the suite; the result is what the JSON file holds.

    Raises:
        ValueError: rounds or steps below one, or a training that the peer has no equal of.
    """
    _check(settings)
    progress = progress or Silent()
    if settings.peer and not is_installed():
        progress.say(HOW_TO_GET_IT)
        settings = settings._replace(peer=False)
    progress.start("benchmark", 2 * settings.rounds)
    load_before = os.getloadavg()
    work = train.begin(settings.config, settings.teacher)
    batches = train.drawn(work, settings.steps)
    drawing = train.drawing(work, settings.steps)
    peer = _peer(work, batches) if settings.peer else Peer({}, {}, {}, {}, {}, {})
    ours = {DRAWING: drawing.call, GIVEN: train.on_given(work, batches)}
    losses = {name: jax.tree.map(float, call()) for name, call in ours.items()}
    peaks = {"ours": machine.matrix_operations(), **peer.matrix_operations}
    memory_bytes = machine.measure().memory_bytes
    seconds = _in_turns(ours | peer.calls, settings, "steps", progress)
    parts = _in_turns(train_parts.parts(work, batches), settings, "parts", progress)
    operations, peak = train.operations_per_step(work), max(peaks.values())
    traffic = 2.0 * (drawing.state_bytes + drawing.temporary_bytes)
    return {
        "suite": "train",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "settings": {
            "model": to_dict(settings.config),
            "training": dataclasses.asdict(settings.teacher),
            **{name: getattr(settings, name) for name in ("rounds", "steps", "peer")},
        },
        "versions": versions() | peer.versions,
        "devices": devices(),
        "cores": os.cpu_count(),
        "load_average": {"before": load_before[0], "after": os.getloadavg()[0]},
        "matrix_operations_per_second": peaks,
        "memory_bytes_per_second": memory_bytes,
        "parameters": train.n_parameters(work),
        "frames_per_step": work.frames_per_step,
        "matrix_operations_per_step": operations,
        "bound_ms": 1e3 * operations / peak,
        "memory_ms": 1e3 * traffic / memory_bytes,
        "state_bytes": drawing.state_bytes,
        "temporary_bytes": drawing.temporary_bytes,
        "compile_s": {DRAWING: drawing.compile_s, **peer.compile_s},
        "failures": peer.failures,
        "losses": losses | peer.losses,
        "implementations": {
            name: {
                "seconds": measured,
                "frames_per_second": work.frames_per_step / statistics.median(measured),
                "ms_per_step": 1e3 * statistics.median(measured),
                "operations_per_second": operations / statistics.median(measured),
                "share_of_peak": operations / statistics.median(measured) / peak,
                "ratio": ratios(measured, seconds[GIVEN]),
            }
            for name, measured in seconds.items()
        },
        "parts_ms": {name: 1e3 * statistics.median(measured) for name, measured in parts.items()},
    }


def _check(settings: Settings) -> None:
    for name in ("rounds", "steps"):
        if getattr(settings, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(settings, name)}")
    asked = settings.teacher
    if settings.peer and (asked.compute != "float32" or asked.accumulate > 1 or asked.remat):
        raise ValueError(
            "the PyTorch peer trains in float32, without accumulation and remat: --nopeer runs "
            f"--compute={asked.compute} --accumulate={asked.accumulate} "
            f"--remat={str(asked.remat).lower()} alone"
        )


def _peer(work: train.Work, batches: list[Batch]) -> Peer:
    """PyTorch's loops on the same batches, on JAX's device and all cores."""
    import torch  # pyright: ignore[reportMissingImports]

    from experiments.benchmarks import train_torch

    device = "cpu" if jax.default_backend() == "cpu" else "cuda:0"
    torch.set_num_threads(os.cpu_count() or 1)
    torch.compiler.config.force_disable_caches = True  # or a second run would compile faster
    peer = Peer(
        {}, {}, {}, {}, {"PyTorch": train_torch.matrix_operations(device)}, train_torch.versions()
    )
    given = [train_torch.tensors(batch, device) for batch in batches]
    for name, compiled in ((EAGER, False), (COMPILED, True)):
        options = {"compiled": compiled, "device": device}
        loop = train_torch.Loop(work.config, work.settings, work.params, **options)
        call, began = loop.call(given), time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the compiler's own
                peer.losses[name] = call()
        except RuntimeError as error:  # no C++ compiler, say
            peer.failures[name] = str(error).strip().splitlines()[0]
            continue
        peer.calls[name] = call
        if compiled:
            peer.compile_s[name] = time.perf_counter() - began
    return peer


def _in_turns(
    calls: dict[str, Callable[[], Any]], settings: Settings, note: str, progress: Progress
) -> dict[str, list[float]]:
    """Seconds per step."""
    times = in_turns(calls, settings.rounds, after_round=lambda: progress.advance(1, note))
    return {name: [s / settings.steps for s in measured] for name, measured in times.items()}
