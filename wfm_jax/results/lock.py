"""One process per folder: an advisory lock that dies with its holder."""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import socket
from typing import ClassVar, NamedTuple


class FolderLockedError(Exception):
    """Another process holds the folder; the message says which."""


@dataclasses.dataclass
class FolderLock:
    """A held ``flock`` on the file ``.lock`` of a folder; the kernel frees it when we die."""

    NAME: ClassVar[str] = ".lock"
    handle: int

    @classmethod
    def acquire(cls, folder: pathlib.Path) -> "FolderLock":
        """Raises FolderLockedError, naming process and host, if the folder is held."""
        file = folder / cls.NAME
        lock = cls(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))
        try:
            fcntl.flock(lock.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not file.exists() or os.stat(file).st_ino != os.fstat(lock.handle).st_ino:
                raise FolderLockedError(f"{folder} was just moved aside by another process")
            os.ftruncate(lock.handle, 0)
            os.pwrite(
                lock.handle,
                json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(),
                0,
            )
        except BlockingIOError:
            holder = _holder(lock.handle)
            lock.release()
            raise FolderLockedError(f"{folder} is in use by {holder}") from None
        except BaseException:
            lock.release()
            raise
        return lock

    def release(self) -> None:
        """Frees the folder. Harmless when repeated."""
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1


class Holder(NamedTuple):
    """Who held a folder last, as seen from this machine.

    Attributes:
        words: ``process 12 on host``; None where nobody ever did.
        is_here: whether it ran on this machine, so that ``holds`` can be known.
        holds: whether it holds the folder now.
    """

    words: str | None
    is_here: bool
    holds: bool


def holder_of(folder: str | os.PathLike) -> Holder:
    """Looks who holds a folder, without taking it: nobody is kept from it, nothing is written.

    A lock that may be held is asked for shared and let go at once, which a process that dies
    leaves free; where the note's process is gone, not even that.
    """
    try:
        handle = os.open(pathlib.Path(folder) / FolderLock.NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return Holder(None, True, False)
    try:
        note = json.loads(os.pread(handle, 4096, 0))
        process, host = int(note["pid"]), str(note["host"])
        words, is_here = _holder(handle), host == socket.gethostname()
        return Holder(words, is_here, is_here and _lives(process) and _is_taken(handle))
    except (ValueError, KeyError, TypeError):
        return Holder(None, True, False)
    finally:
        os.close(handle)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _is_taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def _holder(handle: int) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        note = json.loads(os.pread(handle, 4096, 0))
        return f"process {note['pid']} on {note['host']}"
    return "another process"
