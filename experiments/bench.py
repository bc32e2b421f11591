"""Measure throughput, beside another library where one is installed, and say what bounds it.

The suite `signal` goes from random bits to exact LLRs with a fresh channel per frame: flat Rician
blocks, and OFDM over TDL-D in the frequency domain. Prints two tables and leaves SUITE.json in
--workdir. Two minutes on two cores; run it when nothing else does.

  python -m experiments.bench --suite=signal
  python -m experiments.bench --suite=signal --batch=4096 --workdir=runs/bench-gpu
"""

import json
import pathlib
import sys

from absl import flags
from rich.console import Console

from experiments import launch
from experiments.benchmarks import signal_suite, signal_tables
from wfm_jax.results import atomic
from wfm_jax.results.progress import Bar

flags.adopt_module_key_flags(launch)
_SUITE = flags.DEFINE_enum("suite", "signal", ["signal"], "What to measure.")
_ORDERS = flags.DEFINE_list("bits_per_symbol", ["4", "6", "8"], "Constellations of 2^m points.")
_BATCH_SIZE = flags.DEFINE_integer("batch", 128, "Frames in a run.", lower_bound=1)
_BLOCK_LENGTH = flags.DEFINE_integer("block_length", 1024, "Symbols of a block.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Paired runs; medians are shown.", lower_bound=1)
_PEER = flags.DEFINE_bool("peer", True, "Run the other library too.")


def main() -> None:
    if not all(order.strip().isdigit() for order in _ORDERS.value):
        raise ValueError(f"--bits_per_symbol={','.join(_ORDERS.value)}: whole numbers, like 4,6,8")
    settings = signal_suite.Settings(
        bits_per_symbol=tuple(int(order) for order in _ORDERS.value),
        batch_size=_BATCH_SIZE.value,
        block_length=_BLOCK_LENGTH.value,
        rounds=_ROUNDS.value,
        peer=_PEER.value,
    )
    progress = Bar()
    try:
        result = signal_suite.run(settings, progress)
    finally:
        progress.close()
    path = pathlib.Path(launch.WORKDIR.value) / f"{_SUITE.value}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(path, json.dumps(result, indent=2).encode())
    console = Console(width=None if sys.stdout.isatty() else 100)
    for table in signal_tables.tables(result):
        console.print(table)
    print(f"Everything is in {path.resolve()}.")


if __name__ == "__main__":
    flags.set_default(launch.WORKDIR, "runs/bench")
    launch.launch(main)
