"""On a CPU, a device for each core: configurations are spread over them like over any devices.

A core that takes its own configurations through a step waits for nobody; all cores together on one
configuration wait for each other at every small operation. Measured in docs/engine.md.
"""

import os

import jax
from absl import flags

_MOST = 16
_CPU_DEVICES = flags.DEFINE_integer(
    "cpu_devices",
    None,
    f"Devices that a CPU is taken for; default: one a core, up to {_MOST}, or what JAX's "
    "environment variables say; 1 in a run of several processes.",
    lower_bound=1,
    upper_bound=256,
)
_XLA_FLAG = "xla_force_host_platform_device_count"


def use(*, alone: bool = True) -> None:
    """Takes the CPU for so many devices, if none of them has been used yet.

    Args:
        alone: whether no other process of the run may be on this machine.
    """
    asked = _CPU_DEVICES.value
    if asked is None and (not alone or _chosen_already()):
        return
    try:
        jax.config.update("jax_num_cpu_devices", asked or min(_cores(), _MOST))
    except RuntimeError:  # devices are in use: a program that calls this main has chosen
        return


def _chosen_already() -> bool:
    """Whether the environment says how many there are."""
    in_config = jax.config.values["jax_num_cpu_devices"] >= 0
    return in_config or _XLA_FLAG in os.environ.get("XLA_FLAGS", "")


def _cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
