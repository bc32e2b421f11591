"""Progress as a value with a silent default, driven from the host between chunks."""

import time
from typing import Any, Protocol

from wfm_jax.results.forecast import in_words
from wfm_jax.results.status import Board, Status


class Progress(Protocol):
    """What a long loop tells of itself."""

    def start(self, title: str, total: int, done: int = 0) -> None:
        """Begins a stretch of ``total`` units, ``done`` of them before."""
        ...

    def advance(self, units: float, note: str = "", *, left_s: float | None = None) -> None:
        """``units`` more are done; ``left_s`` is the time left where the teller knows better than
        from the pace of units."""
        ...

    def say(self, text: str) -> None:
        """One line that stays."""
        ...

    def show(self, board: Board) -> None:
        """What a sweep tells of itself, whenever it has changed."""
        ...

    def close(self) -> None:
        """Ends the display."""
        ...


class Silent:
    """Says nothing."""

    def start(self, title: str, total: int, done: int = 0) -> None: ...

    def advance(self, units: float, note: str = "", *, left_s: float | None = None) -> None: ...

    def say(self, text: str) -> None: ...

    def show(self, board: Board) -> None: ...

    def close(self) -> None: ...


class Both:
    """Tells two of everything."""

    def __init__(self, first: Progress, second: Progress):
        self._both = (first, second)

    def start(self, title: str, total: int, done: int = 0) -> None:
        for one in self._both:
            one.start(title, total, done)

    def advance(self, units: float, note: str = "", *, left_s: float | None = None) -> None:
        for one in self._both:
            one.advance(units, note, left_s=left_s)

    def say(self, text: str) -> None:
        for one in self._both:
            one.say(text)

    def show(self, board: Board) -> None:
        for one in self._both:
            one.show(board)

    def close(self) -> None:
        for one in self._both:
            one.close()


class Follower:
    """Follows a run in a :class:`Status`; those that show it somewhere are made of it.

    Attributes:
        status: where the run is.
    """

    def __init__(self) -> None:
        self.status = Status(began=time.time(), told=time.time())
        self._before, self._stretch_began = 0.0, time.monotonic()

    def start(self, title: str, total: int, done: int = 0) -> None:
        self._before, self._stretch_began = float(done), time.monotonic()
        self._move(title=title, total=total, done=float(done), note="", left_s=None)

    def advance(self, units: float, note: str = "", *, left_s: float | None = None) -> None:
        done = self.status.done + units
        left_s = self._left_s(done) if left_s is None else left_s
        self._move(done=done, note=note, left_s=left_s)

    def say(self, text: str) -> None: ...

    def show(self, board: Board) -> None:
        self._move(board=board)

    def close(self) -> None: ...

    def changed(self) -> None:
        """Called when the status is another."""

    def _move(self, **fields: Any) -> None:
        self.status = self.status._replace(**fields, told=time.time())
        self.changed()

    def _left_s(self, done: float) -> float | None:
        """From the pace of units in this stretch; nothing at its end."""
        so_far, left = done - self._before, self.status.total - done
        if so_far <= 0 or left <= 0:
            return None
        return (time.monotonic() - self._stretch_began) * left / so_far


class Bar:
    """A rich progress bar with the time left; plain lines where there is no terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Rich

        self._console = Console()
        self._bar: Any = None
        self._total = self._told = 0
        self._done = self._began = self._before = 0.0
        self._title = ""
        if self._console.is_terminal:
            self._bar = Rich(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[left]}", style="cyan"),
                TextColumn("{task.fields[note]}", style="dim"),
                console=self._console,
            )
            self._bar.start()
        self._task: Any = None

    def start(self, title: str, total: int, done: int = 0) -> None:
        self._title, self._total, self._told = title, total, -1
        self._done, self._before, self._began = float(done), done, time.monotonic()
        if self._bar is None:
            self.say(f"{title}: {total - done} to do")
        else:
            if self._task is not None:
                self._bar.stop_task(self._task)
            self._task = self._bar.add_task(title, total=total, completed=done, note="", left="")

    def advance(self, units: float, note: str = "", *, left_s: float | None = None) -> None:
        self._done += units
        left = in_words(self._left_s() if left_s is None else left_s)
        if self._bar is not None:
            self._bar.update(self._task, advance=units, note=note, left=left)
        elif self._total and (tenth := int(10 * self._done / self._total + 1e-6)) > self._told:
            self._told = tenth
            words = ", ".join(part for part in (note, left) if part)
            self.say(f"{self._title}: {int(self._done + 1e-6)}/{self._total} {words}".rstrip())

    def _left_s(self) -> float | None:
        """From the pace of units in this stretch; nothing at its end."""
        done, left = self._done - self._before, self._total - self._done
        if done <= 0 or left <= 0:
            return None
        return (time.monotonic() - self._began) * left / done

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def show(self, board: Board) -> None: ...

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
