"""What a sweep asks of whoever measures: rows of references, of the finished, of the dropped."""

import pathlib
from typing import Any, Protocol

from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.handover import Deployed
from wfm_jax.train.problem import Problem

Row = dict[str, Any]
FILES, SCORES = "files", "scores"


class Examiner(Protocol):
    """Measures everything of one sweep on the same frozen examples.

    Attributes:
        pace_s: seconds that a configuration should take.
    """

    pace_s: float

    def references(self, known: set[str]) -> list[Row]:
        """Rows of what the sweep is compared with that are not ``known`` by their id."""
        ...

    def examine(
        self, problem: Problem, configuration: Configuration, deployed: Deployed, wall_s: float
    ) -> Row:
        """The row of a finished configuration; its files are then on disk.

        Args:
            problem: the student's.
            configuration: what was asked.
            deployed: what came out, of this configuration alone.
            wall_s: its share of the wall time.
        """
        ...

    def left_behind(self, configuration: Configuration, step: int, loss: float) -> Row:
        """The row of a configuration that dropped out on the way.

        Args:
            configuration: what was asked.
            step: optimizer steps it had done.
            loss: task loss on the examples that decided it.
        """
        ...

    def take_files(self, identity: str) -> dict[str, bytes]:
        """The files of a row that was examined, by their names in the run folder; they are gone
        from this one."""
        ...


def finished_row(configuration: Configuration, deployed: Deployed, wall_s: float) -> Row:
    """What a row says of a configuration before it is measured; all there is if it diverged.

    Args:
        configuration: what was asked.
        deployed: what came out.
        wall_s: its share of the wall time.
    """
    at = deployed.diverged_at
    row = {
        "config_id": configuration.config_id,
        "kind": "configuration",
        "status": "ok" if at < 0 else "diverged",
        "wall_s": wall_s,
        **configuration.canonical(),
    }
    return row if at < 0 else row | {"stopped_at": at}


def dropped_row(configuration: Configuration, step: int, loss: float) -> Row:
    """The row of a configuration that dropped out; arguments of :meth:`Examiner.left_behind`."""
    return {
        "config_id": configuration.config_id,
        "kind": "configuration",
        "status": "dropped",
        "stopped_at": step,
        "validation_loss": loss,
        **configuration.canonical(),
    }


def folders(folder: pathlib.Path) -> None:
    """Makes the folders of packed files and scores in a run folder."""
    for name in (FILES, SCORES):
        (folder / name).mkdir(parents=True, exist_ok=True)


def file_of(folder: pathlib.Path, identity: str) -> pathlib.Path:
    """Where the packed file of a row is."""
    return folder / FILES / f"{identity}.wfm"


def scores_of(folder: pathlib.Path, identity: str) -> pathlib.Path:
    """Where the scores behind a row are."""
    return folder / SCORES / f"{identity}.npz"


def taken_files(folder: pathlib.Path, identity: str) -> dict[str, bytes]:
    """The files of a row by their names in the run folder; they are gone from there."""
    found = {}
    for path in (file_of(folder, identity), scores_of(folder, identity)):
        if path.exists():
            found[str(path.relative_to(folder))] = path.read_bytes()
            path.unlink()
    return found
