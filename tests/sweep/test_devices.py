"""Every strategy on one device and on two, in one process and in two: the same step."""

import os
import socket
import subprocess
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests import quick_flags
from tests.sweep.one_step import STRATEGIES

pytestmark = pytest.mark.slow

TOLERANCE = 1e-5  # of the largest gradient
NOTICEABLE = 1e-2  # of it; Adam's first step is as long for less, and its sign is chance near zero


class Step(NamedTuple):
    """What a step left, stacked over configurations."""

    params: Any
    moments: Any
    loss: np.ndarray


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def step(out, n_devices, n_processes, cache):
    """Runs one step under every strategy; returns parameters and losses by strategy."""
    environment = {
        **os.environ,
        "XLA_FLAGS": " ".join(quick_flags.FLAGS),
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
    }
    command = [sys.executable, "-m", "tests.sweep.one_step", str(out), str(n_devices)]
    where = [f"127.0.0.1:{free_port()}", str(n_processes)]
    started = [
        subprocess.Popen(
            [*command, *([*where, str(own)] if n_processes > 1 else [])],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for own in range(n_processes)
    ]
    said = [process.communicate(timeout=400)[0] for process in started]
    assert [process.returncode for process in started] == [0] * n_processes, "\n".join(said)
    return {
        strategy: Step(
            np.load(f"{out}-{strategy}-params.npz"),
            np.load(f"{out}-{strategy}-moments.npz"),
            np.load(f"{out}-{strategy}-loss.npy"),
        )
        for strategy in STRATEGIES
    }


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    return step(folder / "one", 1, 1, folder / "cache"), folder / "cache"


def same(one, two):
    """Losses, gradients (of which first moments are a tenth), and what Adam made of them."""
    np.testing.assert_allclose(two.loss, one.loss, rtol=1e-5)
    assert set(one.params.files) == set(two.params.files)
    largest = max(np.abs(one.moments[name]).max() for name in one.moments.files)
    for name in one.params.files:
        gradient = one.moments[name]
        np.testing.assert_allclose(two.moments[name], gradient, atol=TOLERANCE * largest)
        noticed = np.abs(gradient) > NOTICEABLE * largest
        np.testing.assert_allclose(
            two.params[name][noticed], one.params[name][noticed], rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies_take_the_same_step(alone, strategy):
    same(alone[0]["map"], alone[0][strategy])


@pytest.mark.parametrize(
    ("n_devices", "n_processes"),
    [
        (2, 1),
        pytest.param(1, 2, marks=pytest.mark.endurance),
        pytest.param(2, 2, marks=pytest.mark.endurance),
    ],
)
def test_devices_and_processes_take_the_same_step(alone, tmp_path, n_devices, n_processes):
    found = step(tmp_path / "many", n_devices, n_processes, alone[1])
    for strategy in STRATEGIES:
        same(alone[0]["map"], found[strategy])
