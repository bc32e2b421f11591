"""What an import costs: next to nothing for the package, about JAX for its room of transforms."""

import os
import subprocess
import sys

import pytest

from tests.documents import ROOT

ROUNDS = 5
MODULES = ("jax", "wfm_jax", "wfm_jax.compress")


def cpu_s(module):
    """CPU seconds of a fresh interpreter that imports a module: waiting for others is not in it."""
    before = os.times()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True, env=environment)
    after = os.times()
    return sum(getattr(after, of) - getattr(before, of)
               for of in ("children_user", "children_system"))  # fmt: skip


@pytest.fixture(scope="module")
def least_s():
    """The least of several, all modules in turns, so that none has the warmer caches."""
    rounds = [[cpu_s(module) for module in MODULES] for _ in range(ROUNDS)]
    return dict(zip(MODULES, map(min, zip(*rounds, strict=True)), strict=True))


@pytest.mark.parametrize("module", MODULES[1:])
def test_an_import_takes_less_than_one_and_a_half_of_that_of_jax(module, least_s):
    assert least_s[module] < 1.5 * least_s["jax"], least_s
