"""The suite's end of a PyTorch process: what it is given, and how it is asked for times.

A process of its own, because PyTorch and JAX would share one device's memory and threads, and
because what fails or hangs there then costs the suite nothing but its columns.
"""

import contextlib
import importlib.util
import json
import os
import pathlib
import pickle
import queue
import subprocess
import sys
import threading
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.benchmarks.engine import WEIGHTS, Work
from wfm_jax.model import Batch, ModelConfig
from wfm_jax.train.distill import Lesson, Recipe, Student

ROOT = pathlib.Path(__file__).parents[2]
MODULE = "experiments.benchmarks.engine_torch"
_LONGEST_ANSWER_S = 120.0
_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",  # our library's constants
    "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",  # or a second run would compile faster
}


class Subject(NamedTuple):
    """A model and one configuration of it; arrays are NumPy's, by our parameters' path names.

    Attributes:
        config: the model.
        teacher_config: its teacher.
        teacher: the teacher's parameters.
        student: the student's latent ones.
        keep: masks.
        scale: of quantized kernels.
        bits: of quantized kernels.
        recipe: temperature, alpha, learning rate and steps in all.
        weights: of the tasks.
        batches: a step is taken on each.
    """

    config: ModelConfig
    teacher_config: ModelConfig
    teacher: Any
    student: Any
    keep: dict[str, Any]
    scale: dict[str, Any]
    bits: dict[str, Any]
    recipe: dict[str, float]
    weights: dict[str, float]
    batches: list[Batch]


class Task(NamedTuple):
    """What a process does: subjects by model, on "cpu" or "cuda:0", compiled or not, with TF32 or
    not."""

    subjects: dict[str, Subject]
    device: str
    compiled: bool
    tf32: bool


def is_installed() -> bool:
    return importlib.util.find_spec("torch") is not None


def subject(work: Work, student: Student, recipe: Recipe, given: list[Lesson]) -> Subject:
    """One configuration as a PyTorch process reads it.

    Args:
        work: the model.
        student: of :func:`experiments.benchmarks.engine.students`, without their leading axis.
        recipe: likewise.
        given: its batches; the teacher's answers are the peer's own.
    """
    prune, quantize = student.compression
    numbers = ("temperature", "alpha", "learning_rate", "total_steps")
    described = Subject(
        config=work.config,
        teacher_config=work.teacher_config,
        teacher=work.teacher,
        student=student.params,
        keep=prune.keep,
        scale=quantize.scale,
        bits=quantize.bits,
        recipe={name: float(getattr(recipe, name)) for name in numbers},
        weights=dict(vars(WEIGHTS)),
        batches=[lesson.labels for lesson in given],
    )
    return jax.tree.map(lambda x: np.asarray(x) if isinstance(x, jax.Array) else x, described)


class PeerError(RuntimeError):
    """The process ended, or did not answer in time."""


class Peer:
    """A PyTorch process.

    Attributes:
        loops: what it told of each (model, loop): seconds to its first result, its first loss.
        failures: what did not run, by (model, loop).
        told: what it runs on, once it is ready.
    """

    def __init__(self, task: Task, folder: pathlib.Path, name: str):
        """Starts it.

        Args:
            task: what to do.
            folder: of what it reads (``NAME.pickle``, removed when it is closed) and of what it
                prints (``NAME.log``).
            name: of the files.
        """
        self.loops: dict[tuple[str, str], dict[str, Any]] = {}
        self.failures: dict[tuple[str, str], str] = {}
        self.told: dict[str, Any] = {}
        self._given, self._log = folder / f"{name}.pickle", folder / f"{name}.log"
        self._given.write_bytes(pickle.dumps(task))
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE, str(self._given.resolve())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env=os.environ | _ENVIRONMENT,
                text=True,
            )
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def wait(self, seconds: float) -> None:
        """Waits until all its loops have run.

        Raises:
            PeerError: it is not ready after that many seconds, or never will be.
        """
        until = time.monotonic() + seconds
        while not self.told:
            told = self._read(until - time.monotonic())
            which = (told.get("model", ""), told.get("name", ""))
            if told.get("ready"):
                self.told = told
            elif "failure" in told:
                self.failures[which] = told["failure"]
            else:
                self.loops[which] = told

    def seconds(self, model: str, name: str, shortest_s: float = 0.1) -> float:
        """Seconds of one step of a loop, the mean over at least ``shortest_s``.

        Raises:
            PeerError: no answer.
        """
        asked = json.dumps({"model": model, "name": name, "shortest_s": shortest_s})
        stdin: Any = self._process.stdin
        try:
            print(asked, file=stdin, flush=True)
        except OSError:
            raise PeerError(self._end()) from None
        return float(self._read(_LONGEST_ANSWER_S)["seconds"])

    def close(self) -> None:
        """Ends it, whatever it does."""
        self._process.kill()
        self._process.wait()
        streams: Any = (self._process.stdin, self._process.stdout)
        for stream in streams:
            with contextlib.suppress(OSError):
                stream.close()
        self._given.unlink(missing_ok=True)

    def _listen(self) -> None:
        stdout: Any = self._process.stdout
        with contextlib.suppress(ValueError):  # closed
            for line in stdout:
                self._lines.put(line)
        self._lines.put(None)

    def _read(self, seconds: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=max(seconds, 0.0))
        except queue.Empty:
            raise PeerError("did not answer in time") from None
        if line is None:
            raise PeerError(self._end())
        return json.loads(line)

    def _end(self) -> str:
        printed = self._log.read_text(errors="replace").strip().splitlines()
        return f"ended: {printed[-1]}" if printed else "ended"
