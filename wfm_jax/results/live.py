"""A running sweep on the screen: a panel that keeps its place on a terminal, lines elsewhere."""

import time
from typing import Any

from rich.console import Console

from wfm_jax.results.progress import Bar, Follower
from wfm_jax.results.standing import Standing
from wfm_jax.results.status import Board
from wfm_jax.results.status_view import WIDTH, best_words, diverged_words, status_view

_PER_SECOND = 2.0
_MARGIN = 2  # lines below the panel, so that the line with the cursor stays on the screen


class Live(Follower):
    """The board of a sweep, drawn anew twice a second, and what is said above it.

    Args:
        console: a terminal of any size.
    """

    def __init__(self, console: Console):
        from rich.live import Live as Rich

        super().__init__()
        self._console = console
        self._live: Any = Rich(
            get_renderable=self._view,
            console=console,
            refresh_per_second=_PER_SECOND,
            vertical_overflow="crop",
        )
        self._live.start()

    def _view(self) -> Any:
        if not self.status.title and self.status.board is None:
            return ""
        return status_view(self.status, now=time.time(), height=self._console.size.height - _MARGIN)

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


class Lines(Bar):
    """Plain lines: one a tenth of the way, one for each best so far, one for each that diverged."""

    def __init__(self) -> None:
        super().__init__()
        self._standing = Standing()

    def show(self, board: Board) -> None:
        before, now = self._standing, board.standing
        self._standing = now
        if now.best is not None and now.best != before.best:
            self.say(f"best so far: {best_words(now.best)}")
        if new := now.diverged[len(before.diverged) :]:
            self.say(f"diverged: {diverged_words(Standing(diverged=new), len(new))}")


def on_screen() -> Live | Lines:
    """The panel on a terminal, lines where there is none."""
    console = Console()
    if not console.is_terminal:
        return Lines()
    return Live(Console(width=min(console.width, WIDTH)))
