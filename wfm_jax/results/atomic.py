"""Files that are either old or new, never half: written beside, synced, renamed."""

import contextlib
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a path beside ``path`` to write to; on a clean exit it takes ``path``'s place.

    Until then readers see the old file; if the body or the rename fails, the old file stays and
    what was written is removed. The name beside carries the process id, so writers do not collide.
    """
    path = pathlib.Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield beside
        sync(beside)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Puts ``data`` at ``path`` in one step."""
    with replacing(path) as beside:
        beside.write_bytes(data)


def sync(path: str | os.PathLike) -> None:
    """Asks the operating system to put a file or folder on disk (fsync)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def unused_name(path: pathlib.Path) -> pathlib.Path:
    """``path``, or with the first number behind it that nothing has."""
    free, number = path, 1
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free
