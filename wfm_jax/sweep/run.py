"""What everything in a running sweep knows: its problem, its folder, and whom to tell."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Hashable, Iterator
from typing import Any

from wfm_jax.results import rows
from wfm_jax.results.forecast import Forecast
from wfm_jax.results.progress import Progress
from wfm_jax.sweep import processes
from wfm_jax.sweep.devices import Devices
from wfm_jax.sweep.examiner import Examiner
from wfm_jax.sweep.settings import SweepSettings
from wfm_jax.train.interrupt import Stopped, StopRequest
from wfm_jax.train.problem import Problem

ROWS, COHORT = "results.jsonl", "cohort"
COMPILE, TRAIN, FINISH = "compile", "train", "finish"


@dataclasses.dataclass
class Run:
    """A running sweep.

    Attributes:
        problem: what is compressed.
        teacher_params: its parameters on every device.
        settings: how to run.
        examiner: measures finished configurations.
        folder: of the run; the first process alone reads and writes it.
        devices: that configurations are spread over.
        progress: where to tell of it.
        stop: whether somebody asked to stop.
        total: configurations that are missing.
        forecast: what is left: programs to compile, configuration-steps to train, configurations
            to finish (to prune, quantize and measure).
    """

    problem: Problem
    teacher_params: Any
    settings: SweepSettings
    examiner: Examiner
    folder: pathlib.Path
    devices: Devices
    progress: Progress
    stop: StopRequest
    total: int
    forecast: Forecast = dataclasses.field(default_factory=Forecast)
    _told: float = 0.0
    _programs: set[Hashable] = dataclasses.field(default_factory=set)

    @contextlib.contextmanager
    def doing(self, kind: str, units: float, program: Hashable = None) -> Iterator[None]:
        """Times a block; a program's first call is compiling, and tells nothing of the pace."""
        if program is None or program in self._programs:
            with self.forecast.doing(kind, units):
                yield
            return
        self._programs.add(program)
        self.forecast.expect(kind, -units)
        with self.forecast.doing(COMPILE, 1.0):
            yield

    def tell(self, note: str) -> None:
        """Moves the sweep's bar to where the forecast is."""
        units = max(0.0, self.total * self.forecast.share - self._told)
        self._told += units
        if processes.is_first():
            self.progress.advance(units, note, left_s=self.forecast.left_s)

    def say(self, text: str) -> None:
        """A line, from the first process alone."""
        if processes.is_first():
            self.progress.say(text)

    def asked_to_stop(self) -> bool:
        """Whether any process got a signal."""
        self.stop.signum = processes.largest(self.stop.signum or 0) or None
        return self.stop.signum is not None

    def raise_if_asked(self) -> None:
        """Raises Stopped in every process where any of them got a signal."""
        if self.asked_to_stop() and self.stop.signum is not None:
            raise Stopped(self.stop.signum)

    def finished(self) -> set[str]:
        """Identities of all rows there are."""
        path = self.folder / ROWS
        found = processes.agree(lambda: [row["config_id"] for row in rows.read_rows(path)[0]])
        return set(found)
