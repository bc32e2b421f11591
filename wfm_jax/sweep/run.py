"""What everything in a running sweep knows: its problem, its folder, and whom to tell."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Hashable, Iterable, Iterator
from typing import Any

from wfm_jax.results import rows, status
from wfm_jax.results.forecast import Forecast
from wfm_jax.results.naming import Row, is_reference
from wfm_jax.results.progress import Progress
from wfm_jax.results.standing import Diverged, label
from wfm_jax.results.status import Board, Part
from wfm_jax.sweep import processes
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.devices import Devices
from wfm_jax.sweep.examiner import Examiner
from wfm_jax.sweep.settings import SweepSettings
from wfm_jax.train.interrupt import Stopped, StopRequest
from wfm_jax.train.problem import Problem

ROWS, COHORT = "results.jsonl", "cohort"
COMPILE, TRAIN, FINISH = "compile", status.TRAIN, status.FINISH


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
        board: what there is to see of it.
        at: which of the board's parts is at work.
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
    board: Board = dataclasses.field(default_factory=lambda: Board(0))
    at: int = -1
    _told: float = 0.0
    _programs: set[Hashable] = dataclasses.field(default_factory=set)
    _rows: set[str] = dataclasses.field(default_factory=set)

    @contextlib.contextmanager
    def doing(self, kind: str, units: float, program: Hashable = None) -> Iterator[None]:
        """Times a block; a program's first call is compiling, and tells nothing of the pace."""
        if program is None or program in self._programs:
            with self.forecast.doing(kind, units):
                yield
        else:
            self._programs.add(program)
            self.forecast.expect(kind, -units)
            with self.forecast.doing(COMPILE, 1.0):
                yield
        self._see(self._part.did(kind, units))

    def expect(self, kind: str, units: float) -> None:
        """So many units more of the cohort at work will have to be done; fewer if negative."""
        self.forecast.expect(kind, units)
        self._see(self._part.did(kind, -units))

    def see(self, **fields: Any) -> None:
        """Fields of the board's part that is at work, as they are now."""
        self._see(self._part._replace(**fields))
        paces = ((kind, self.forecast.pace_s(kind)) for kind in (COMPILE, TRAIN, FINISH))
        paces_s = {kind: pace for kind, pace in paces if pace is not None}
        self._show(self.board._replace(paces_s=paces_s))

    def tell(self, note: str, **fields: Any) -> None:
        """Moves the sweep's bar to where the forecast is; ``fields`` as of :meth:`see`."""
        self.see(**fields)
        units = max(0.0, self.total * self.forecast.share - self._told)
        self._told += units
        if processes.is_first():
            self.progress.advance(units, note, left_s=self.forecast.left_s)

    def wrote(self, new: Iterable[Row]) -> None:
        """Rows are on disk; those of configurations belong to the cohort at work."""
        new = [row for row in new if row["config_id"] not in self._rows]
        self._rows |= {row["config_id"] for row in new}
        n = sum(not is_reference(row) for row in new)
        self._see(self._part._replace(rows=self._part.rows + n))
        self._show(self.board._replace(standing=self.board.standing.with_rows(new)))

    def lost(self, diverged: Iterable[tuple[Configuration, int]]) -> None:
        """Configurations that diverged at a step, before they have their rows."""
        found = [Diverged(label(c.columns()), c.config_id, step) for c, step in diverged]
        self._show(self.board._replace(standing=self.board.standing.with_diverged(found)))

    @property
    def _part(self) -> Part:
        """The cohort at work; before the first, one that is nobody's."""
        return self.board.parts[self.at] if self.at >= 0 else Part("", 0, 0, 0)

    def _see(self, part: Part) -> None:
        if self.at >= 0:
            parts = list(self.board.parts)
            parts[self.at] = part
            self.board = self.board._replace(parts=tuple(parts))

    def _show(self, board: Board) -> None:
        self.board = board
        if processes.is_first():
            self.progress.show(board)

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
