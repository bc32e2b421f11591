import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import wfm_jax.compress

MODULES = ["wfm_jax.compress"] + [
    module.name for module in pkgutil.iter_modules(wfm_jax.compress.__path__, "wfm_jax.compress.")
]


def test_needs_no_layer_library_no_backend_and_no_other_room():
    script = """
import sys
import wfm_jax.compress
from jax._src import xla_bridge
print([name for name in ("flax", "scipy.stats", "orbax") if name in sys.modules])
print([name for name in sys.modules if name.startswith("wfm_jax.") and "compress" not in name])
print(xla_bridge.backends_are_initialized())
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split("\n")[:3] == ["[]", "[]", "False"]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name):
    module = sys.modules.get(name) or importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


def test_all_public_functions_are_documented():
    public = [getattr(wfm_jax.compress, name) for name in wfm_jax.compress.__all__]
    assert [f.__name__ for f in public if inspect.isfunction(f) and not f.__doc__] == []
