"""Flags of a run on several devices, in one process or in many, on one machine or on many."""

import jax
from absl import flags

from experiments import cpu_devices

flags.adopt_module_key_flags(cpu_devices)

_DISTRIBUTED = flags.DEFINE_string(
    "distributed",
    "off",
    "Several processes, started with the same flags: auto (SLURM, MPI, Cloud TPU), or HOST:PORT of "
    "the first one, with --num_processes and --process_id. The first one writes --workdir.",
)
_NUM = flags.DEFINE_integer("num_processes", None, "Processes of --distributed.", lower_bound=1)
_ID = flags.DEFINE_integer("process_id", None, "Which of them this is, from 0.", lower_bound=0)


def initialize() -> None:
    """Says what devices there are, and joins the other processes, before any device is used.

    Raises:
        ValidationError: flags that do not go together, or no other process is found; one line.
    """
    where, n, own = _DISTRIBUTED.value, _NUM.value, _ID.value
    if where in ("off", "auto") and (n, own) != (None, None):
        raise flags.ValidationError(
            f"--num_processes and --process_id go with --distributed=HOST:PORT, not with {where}"
        )
    cpu_devices.use(alone=where == "off")
    if where == "off":
        return
    if where != "auto":
        host, _, port = where.rpartition(":")
        if not (host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise flags.ValidationError(f"--distributed={where}: off, auto or HOST:PORT")
        if n is None or own is None or own >= n:
            raise flags.ValidationError(
                f"--distributed={where} needs --num_processes and a --process_id below it, "
                f"got {n} and {own}"
            )
    try:
        if where == "auto":
            jax.distributed.initialize()
        else:
            jax.distributed.initialize(where, n, own)
    except (RuntimeError, ValueError) as error:
        line = str(error).strip().splitlines()[0]
        raise flags.ValidationError(f"--distributed={where}: {line}") from None
