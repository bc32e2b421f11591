"""Progress as a value with a silent default, driven from the host between chunks."""

from typing import Any, Protocol


class Progress(Protocol):
    """What a long loop tells of itself."""

    def start(self, title: str, total: int, done: int = 0) -> None:
        """Begins a stretch of ``total`` units, ``done`` of them before."""
        ...

    def advance(self, units: int, note: str = "") -> None:
        """``units`` more are done."""
        ...

    def say(self, text: str) -> None:
        """One line that stays."""
        ...

    def close(self) -> None:
        """Ends the display."""
        ...


class Silent:
    """Says nothing."""

    def start(self, title: str, total: int, done: int = 0) -> None: ...

    def advance(self, units: int, note: str = "") -> None: ...

    def say(self, text: str) -> None: ...

    def close(self) -> None: ...


class Bar:
    """A rich progress bar with the time left; plain lines where there is no terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Rich

        self._console = Console()
        self._bar: Any = None
        self._total = self._done = self._told = 0
        self._title = ""
        if self._console.is_terminal:
            self._bar = Rich(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", style="dim"),
                console=self._console,
            )
            self._bar.start()
        self._task: Any = None

    def start(self, title: str, total: int, done: int = 0) -> None:
        self._title, self._total, self._done, self._told = title, total, done, -1
        if self._bar is None:
            self.say(f"{title}: {total - done} to do")
        else:
            self._task = self._bar.add_task(title, total=total, completed=done, note="")

    def advance(self, units: int, note: str = "") -> None:
        self._done += units
        if self._bar is not None:
            self._bar.update(self._task, advance=units, note=note)
        elif self._total and (tenth := 10 * self._done // self._total) > self._told:
            self._told = tenth
            self.say(f"{self._title}: {self._done}/{self._total} {note}".rstrip())

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
