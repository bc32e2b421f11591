"""The status of a run in its folder, for those who look from another terminal or machine."""

import contextlib
import os
import pathlib
import time

from wfm_jax.results import atomic
from wfm_jax.results.progress import Follower
from wfm_jax.results.status import Status

NAME = "progress.json"
_EVERY_S = 2.0


class StatusFile(Follower):
    """Keeps ``progress.json``, written whole, at most every two seconds.

    A disk that is full or gone does not end the run: the file then stays as it was.

    Args:
        folder: of a run that this process holds.
    """

    def __init__(self, folder: str | os.PathLike):
        super().__init__()
        self._path = pathlib.Path(folder) / NAME
        self._written = -_EVERY_S

    def changed(self) -> None:
        """Writes what there is now, unless it was written a moment ago."""
        if time.monotonic() - self._written >= _EVERY_S:
            self._write()

    def close(self) -> None:
        self._write()

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            atomic.write_bytes(self._path, self.status.to_json().encode())
        self._written = time.monotonic()


def read_status(folder: str | os.PathLike) -> Status | None:
    """The status that a run left in its folder; None where there is none.

    Raises:
        ValueError: a file that is none; one line.
    """
    path = pathlib.Path(folder) / NAME
    try:
        return Status.from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: {error}") from None
