"""Whether a disk has room for what a run will write, asked before it begins."""

import os
import shutil

_UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def check_room(folder: str | os.PathLike, needed_bytes: float) -> None:
    """Raises ValueError, one line, where less is free than will be needed.

    Args:
        folder: on the disk in question.
        needed_bytes: about how much will be written.
    """
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise ValueError(
            f"{folder} is on a disk with {in_units(free)} free, and about "
            f"{in_units(needed_bytes)} will be written: free some, or give another --workdir"
        )


def in_units(n_bytes: float) -> str:
    """``1.5 GiB``."""
    for unit, name in _UNITS:
        if n_bytes >= unit:
            return f"{n_bytes / unit:.1f} {name}"
    return f"{n_bytes:.0f} bytes"
