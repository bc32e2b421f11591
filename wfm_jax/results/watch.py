"""A look at a sweep from outside: read-only, from another terminal or another machine."""

import os
import pathlib
import time
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.text import Text

from wfm_jax.results.lock import holder_of
from wfm_jax.results.manifest import MANIFEST
from wfm_jax.results.rows import rows_so_far
from wfm_jax.results.standing import Standing
from wfm_jax.results.status import Board, Status
from wfm_jax.results.status_file import read_status
from wfm_jax.results.status_view import HEIGHT, status_view

ROWS = "results.jsonl"
_SILENT_S = 120.0
RUNNING, STOPPED, FINISHED = "running", "stopped", "finished"


class Look(NamedTuple):
    """What can be seen of a sweep.

    Attributes:
        state: ``running``, ``stopped`` or ``finished``.
        words: the same with who holds the folder, or when it was last heard of.
        status: what the sweep told last; the rows count by the file.
        troubles: files that could not be read, a line each.
    """

    state: str
    words: str
    status: Status
    troubles: tuple[str, ...] = ()


def look(folder: str | os.PathLike, now: float | None = None) -> Look:
    """Looks at a sweep's folder, and writes nothing.

    Args:
        folder: of a sweep, running or not, also of one that ended half-way.
        now: Unix time; another one for tests.

    Raises:
        ValueError: no such folder, or nothing of a sweep in it; one line.
    """
    folder, now = pathlib.Path(folder), time.time() if now is None else now
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder")
    if not any((folder / name).exists() for name in (MANIFEST, ROWS)):
        raise ValueError(f"{folder} holds no {MANIFEST} and no {ROWS}: not a sweep's folder")
    status, standing, troubles = Status(told=now), Standing(), []
    try:
        status = read_status(folder) or status
    except ValueError as error:
        troubles.append(str(error))
    try:
        standing = standing.with_rows(rows_so_far(folder / ROWS))
    except (ValueError, OSError) as error:
        troubles.append(str(error))
    finished = status.board is not None and standing.rows >= status.board.asked
    state, words = _state(folder, status, finished, now)
    board = status.board or Board(standing.rows)
    known = standing.with_diverged(board.standing.diverged)
    status = status._replace(board=board._replace(standing=known))
    if state != RUNNING:
        status = status._replace(left_s=None)
    return Look(state, words, status, tuple(troubles))


def look_view(look: Look, *, now: float, height: int = HEIGHT) -> RenderableType:
    """What :func:`look` saw, in at most ``height`` lines."""
    lines = [Text(look.words), *(Text(trouble, style="red") for trouble in look.troubles)]
    view = status_view(look.status, now=now, height=height - len(lines), state=look.state)
    return Group(view, *lines)


def _state(folder: pathlib.Path, status: Status, finished: bool, now: float) -> tuple[str, str]:
    """The state in a word and in words."""
    holder, told = holder_of(folder), status.board is not None and status.began > 0.0
    quiet_s = now - status.told
    heard = f"last heard of {_ago(quiet_s)} ago" if told else "it has told nothing yet"
    if holder.is_here:
        return (RUNNING, f"{holder.words} runs it") if holder.holds else _ended(finished, heard)
    if finished or holder.words is None:
        return _ended(finished, heard)
    if told and quiet_s < _SILENT_S:
        return RUNNING, f"{holder.words} runs it, {heard}"
    return STOPPED, f"{holder.words} ran it, {heard}: whether it still runs is not to be seen here"


def _ended(finished: bool, heard: str) -> tuple[str, str]:
    if finished:
        return FINISHED, "every configuration has its row"
    return STOPPED, f"nobody runs it, {heard}; the same command again goes on"


def _ago(seconds: float) -> str:
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
