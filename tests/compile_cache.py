"""Compiled programs kept on disk for a while: equal programs of several tests compile once."""

import contextlib

import jax
from jax.experimental.compilation_cache import compilation_cache

_OPTIONS = {
    "jax_compilation_cache_dir": None,
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}


@contextlib.contextmanager
def kept_in(folder):
    """Keeps what is compiled within the block in a folder."""
    before = {name: getattr(jax.config, name) for name in _OPTIONS}
    for name, value in (_OPTIONS | {"jax_compilation_cache_dir": str(folder)}).items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
