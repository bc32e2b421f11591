"""What all tests share: programs that are compiled once, and the order of the files."""

import gc
import os
import pathlib
import time

LONGEST = ("sweep", "experiments", "train")
ONE_DEVICE = "--xla_force_host_platform_device_count"
_WEEK_S = 7 * 24 * 3600.0


def pytest_configure():
    """Programs are kept between runs and shared by processes: most of the time is compiling them.

    They are found by what they compute and by the compiler's flags, so a test of changed code
    compiles anew. A folder of one's own in JAX_COMPILATION_CACHE_DIR counts first.
    """
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    folder = pathlib.Path(base) / "wfm_jax" / "tests"
    for file in folder.glob("*"):
        if file.stat().st_mtime < time.time() - _WEEK_S:
            file.unlink(missing_ok=True)
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
    if ONE_DEVICE not in os.environ.get("XLA_FLAGS", ""):  # or the first main of a process decides
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {ONE_DEVICE}=1".strip()


def pytest_collection_modifyitems(items):
    """The rooms whose files take longest go first, so that no worker waits."""
    items.sort(key=lambda item: item.path.parent.name not in LONGEST)
    # Tracing makes so many objects that looking for garbage takes a twentieth of the time.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
