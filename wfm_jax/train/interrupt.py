"""SIGINT and SIGTERM as a request that a host loop reads between chunks."""

import signal
from types import FrameType

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 75}


class Stopped(Exception):
    """Raised by a loop that was asked to stop, after it has saved; ``exit_code`` for the shell."""

    def __init__(self, signum: int):
        super().__init__(f"stopped by {signal.Signals(signum).name}; run it again to go on")
        self.exit_code = EXIT_CODES[signal.Signals(signum)]


class StopRequest:
    """Catches SIGINT and SIGTERM inside a ``with`` block.

    The first signal is noted, so that the loop can finish its chunk and save; a second one has
    its usual effect at once.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        for signum in EXIT_CODES:
            self._previous[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def raise_if_asked(self) -> None:
        """Raises :class:`Stopped` where a signal has come."""
        if self.signum is not None:
            raise Stopped(self.signum)

    def _note(self, signum: int, _: FrameType | None) -> None:
        self.signum = signum
        self._restore()

    def _restore(self) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)  # type: ignore[arg-type]
        self._previous.clear()
