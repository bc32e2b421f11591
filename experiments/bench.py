"""Measure throughput, beside another library where one is installed, and say what bounds it.

The suite `signal` goes from random bits to exact LLRs with a fresh channel per frame: flat Rician
blocks, and OFDM over TDL-D in the frequency domain. The suite `train` takes the training step of
`experiments.pretrain`, whose flags it reads, beside the same in PyTorch. The suite `shrink` times a
forward pass whose heads and neurons are masked, and cut out. The suite `engine` takes the sweep's
training program over the number of configurations that train together, beside PyTorch, which
trains one after the other. The suite `sensitivity` measures every tensor of the pretrained model at
every number of bits in one program, and some of them one by one. Each prints its tables and leaves
SUITE.json in --workdir. Some minutes on two cores; run it when nothing else does.

  python -m experiments.bench --suite=signal
  python -m experiments.bench --suite=signal --batch=4096 --workdir=runs/bench-gpu
  python -m experiments.bench --suite=train --model=nano
  python -m experiments.bench --suite=shrink --shrink_models=nano,micro
  python -m experiments.bench --suite=engine --engine_configurations=1,16,128,1024
  python -m experiments.bench --suite=sensitivity
"""

import json
import pathlib
import sys

from absl import flags
from rich.console import Console

from experiments import bench_flags, compile_cache, cpu_devices, launch, teacher_flags
from experiments.benchmarks import (
    engine_suite,
    engine_tables,
    sensitivity_suite,
    sensitivity_tables,
    shrink_suite,
    shrink_tables,
    signal_suite,
    signal_tables,
    suite_plans,
    train_suite,
    train_tables,
)
from wfm_jax.results import atomic
from wfm_jax.results.plan import Plan
from wfm_jax.results.progress import Bar

for _module in (launch, bench_flags, teacher_flags, cpu_devices):
    flags.adopt_module_key_flags(_module)

RUNS = {
    "signal": (signal_suite.run, signal_tables.tables),
    "train": (train_suite.run, train_tables.tables),
    "shrink": (shrink_suite.run, shrink_tables.tables),
    "engine": (engine_suite.run, engine_tables.tables),
    "sensitivity": (sensitivity_suite.run, sensitivity_tables.tables),
}


def main() -> None:
    if bench_flags.SUITE.value == "engine":
        cpu_devices.use()
    (run, tables), path = RUNS[bench_flags.SUITE.value], _path()
    settings, progress = bench_flags.settings(), Bar()
    try:
        result = run(settings, progress)
    finally:
        progress.close()
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(path, json.dumps(result, indent=2).encode())
    console = Console(width=None if sys.stdout.isatty() else 100)
    for table in tables(result):
        console.print(table)
    print(f"Everything is in {path.resolve()}.")


def plan() -> Plan:
    """What it would do."""
    return suite_plans.plan(bench_flags.SUITE.value, bench_flags.settings(), _path())


def _path() -> pathlib.Path:
    return pathlib.Path(launch.WORKDIR.value) / f"{bench_flags.SUITE.value}.json"


if __name__ == "__main__":
    flags.set_default(launch.WORKDIR, "runs/bench")
    flags.set_default(compile_cache.CACHE, "off")  # seconds to compile are measured
    launch.launch(main, plan)
