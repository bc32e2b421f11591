"""One process per folder: an advisory lock that dies with its holder."""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import socket
from typing import ClassVar


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


def _holder(handle: int) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        note = json.loads(os.pread(handle, 4096, 0))
        return f"process {note['pid']} on {note['host']}"
    return "another process"
