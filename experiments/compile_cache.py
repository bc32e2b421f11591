"""Compiled programs kept between runs: the second start of a main takes seconds."""

import hashlib
import os
import pathlib
import platform
import time

import jax
from absl import flags

CACHE = flags.DEFINE_string(
    "compile_cache",
    "auto",
    "Folder of compiled programs, and of scores that every sweep of a teacher needs; auto: that of "
    "JAX_COMPILATION_CACHE_DIR, or one of the user's cache; off: none.",
)
_KEEP_S = 30 * 24 * 3600.0
_MIN_COMPILE_S = 0.2
_OURS = ("*-cache", "*-atime", "*-references.safetensors")  # the first two are JAX's


def use() -> None:
    """Lets JAX keep its programs, as --compile_cache says; old ones are removed."""
    if CACHE.value == "off":
        jax.config.update("jax_enable_compilation_cache", False)
        return
    if CACHE.value == "auto" and "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = _users_own() if CACHE.value == "auto" else pathlib.Path(CACHE.value)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in (file for name in _OURS for file in folder.glob(name)):  # nobody else's
            if file.stat().st_mtime < time.time() - _KEEP_S:
                file.unlink()
    except OSError as error:
        if CACHE.value == "auto":  # a home that cannot be written is no reason not to run
            return
        raise flags.ValidationError(
            f"--compile_cache={CACHE.value}: {error.strerror or error}"
        ) from None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _MIN_COMPILE_S)


def folder() -> pathlib.Path | None:
    """Where :func:`use` lets things be kept, or None."""
    used = None if CACHE.value == "off" else jax.config.values["jax_compilation_cache_dir"]
    return pathlib.Path(used) if used else None


def _users_own() -> pathlib.Path:
    """One for each kind of processor: what was compiled for another need not run on this one."""
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "wfm_jax" / f"compiled-{_processor()}"


def _processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        told = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        told = platform.processor()
    return f"{platform.machine()}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"
