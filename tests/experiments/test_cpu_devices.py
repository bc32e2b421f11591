"""A CPU as several devices: how many, and who chose."""

import os
import subprocess
import sys
import types

import jax
import pytest

from experiments import cpu_devices

COUNT = """
import sys
from absl import flags
from experiments import cpu_devices
flags.FLAGS(sys.argv)
cpu_devices.use(alone={alone})
import jax
print(jax.device_count())
"""


def counted(*arguments, alone=True, **environment):
    """The devices of a fresh process, after it chose."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "JAX_PLATFORMS")}
    done = subprocess.run(
        [sys.executable, "-c", COUNT.format(alone=alone), *arguments],
        env=inherited | {"JAX_PLATFORMS": "cpu"} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def test_a_core_is_a_device():
    assert counted() == min(len(os.sched_getaffinity(0)), 16)


@pytest.mark.parametrize(
    ("arguments", "how", "n"),
    [
        (["--cpu_devices=3"], {}, 3),
        (["--cpu_devices=3"], {"XLA_FLAGS": "--xla_force_host_platform_device_count=5"}, 3),
        ([], {"XLA_FLAGS": "--xla_force_host_platform_device_count=5"}, 5),
        ([], {"JAX_NUM_CPU_DEVICES": "4"}, 4),
        ([], {"alone": False}, 1),
    ],
)
def test_the_flag_counts_before_the_environment(arguments, how, n):
    assert counted(*arguments, **how) == n


def test_devices_in_use_stay_as_they_are(monkeypatch):
    before = jax.devices()
    monkeypatch.setattr(cpu_devices, "_CPU_DEVICES", types.SimpleNamespace(value=7))
    cpu_devices.use()
    assert jax.devices() == before
