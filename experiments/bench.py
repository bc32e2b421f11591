"""Measure throughput, beside another library where one is installed, and say what bounds it.

The suite `signal` goes from random bits to exact LLRs with a fresh channel per frame: flat Rician
blocks, and OFDM over TDL-D in the frequency domain. The suite `train` takes the training step of
`experiments.pretrain`, whose flags it reads, beside the same in PyTorch. Each prints two tables and
leaves SUITE.json in --workdir. Some minutes on two cores; run it when nothing else does.

  python -m experiments.bench --suite=signal
  python -m experiments.bench --suite=signal --batch=4096 --workdir=runs/bench-gpu
  python -m experiments.bench --suite=train --model=nano
"""

import dataclasses
import json
import pathlib
import sys
from typing import Any

from absl import flags
from rich.console import Console

from experiments import launch, teacher_flags
from experiments.benchmarks import signal_suite, signal_tables, train_suite, train_tables
from wfm_jax.results import atomic
from wfm_jax.results.progress import Bar, Progress

for _module in (launch, teacher_flags):
    flags.adopt_module_key_flags(_module)
_SUITE = flags.DEFINE_enum("suite", "signal", ["signal", "train"], "What to measure.")
_ORDERS = flags.DEFINE_list("bits_per_symbol", ["4", "6", "8"], "Constellations of 2^m points.")
_BATCH_SIZE = flags.DEFINE_integer(
    "batch", None, "Frames in a run: 128 of signals, --teacher_batch_size of training.", 1
)
_BLOCK_LENGTH = flags.DEFINE_integer("block_length", 1024, "Symbols of a block.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Paired runs; medians are shown.", lower_bound=1)
_PEER = flags.DEFINE_bool("peer", True, "Run the other library too.")


def _signal(progress: Progress) -> dict[str, Any]:
    if not all(order.strip().isdigit() for order in _ORDERS.value):
        raise ValueError(f"--bits_per_symbol={','.join(_ORDERS.value)}: whole numbers, like 4,6,8")
    settings = signal_suite.Settings(
        bits_per_symbol=tuple(int(order) for order in _ORDERS.value),
        batch_size=_BATCH_SIZE.value or 128,
        block_length=_BLOCK_LENGTH.value,
        rounds=_ROUNDS.value,
        peer=_PEER.value,
    )
    return signal_suite.run(settings, progress)


def _train(progress: Progress) -> dict[str, Any]:
    teacher = teacher_flags.teacher_settings()
    teacher = dataclasses.replace(teacher, batch_size=_BATCH_SIZE.value or teacher.batch_size)
    model, rounds, peer = teacher_flags.model(), _ROUNDS.value, _PEER.value
    return train_suite.run(train_suite.Settings(model, teacher, rounds, peer=peer), progress)


def main() -> None:
    signal, train = (_signal, signal_tables.tables), (_train, train_tables.tables)
    run, tables = {"signal": signal, "train": train}[_SUITE.value]
    progress = Bar()
    try:
        result = run(progress)
    finally:
        progress.close()
    path = pathlib.Path(launch.WORKDIR.value) / f"{_SUITE.value}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(path, json.dumps(result, indent=2).encode())
    console = Console(width=None if sys.stdout.isatty() else 100)
    for table in tables(result):
        console.print(table)
    print(f"Everything is in {path.resolve()}.")


if __name__ == "__main__":
    flags.set_default(launch.WORKDIR, "runs/bench")
    launch.launch(main)
