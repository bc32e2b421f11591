"""How fast, how large and how hungry the forms of a model are, and which meet your targets.

Float32 and int8 by ONNX Runtime, whole and with half of the heads and neurons cut out, the compiled
program in float32, and a frame symbol by symbol with a cache, in turns on the same frames: p50 and
p95 at every batch size, throughput, memory, bytes, beside how long a frame is on the air and what
the classical LMMSE receiver takes. With --sweep, its configurations are held against --max_bytes,
--max_p95_ms and --max_ber_loss. Leaves profile.json, profile.png, summary.txt and the files in
--workdir; some minutes on two cores, when nothing else runs.

  python -m experiments.profile --workdir=runs/profile
  python -m experiments.profile --untrained=small --workdir=runs/profile-small
  python -m experiments.profile --sweep=runs/laptop --max_bytes=100e3 --max_p95_ms=1 \\
      --max_ber_loss=0.1 --workdir=runs/profile
"""

import io
import json
import pathlib
import sys

from absl import flags
from rich.console import Console

from experiments import checkpoint_flag, launch, profile_flags
from experiments.profiling import study, tables, targets
from experiments.profiling.picture import profile_picture
from experiments.profiling.profile_plan import plan_profile
from wfm_jax.results import atomic
from wfm_jax.results.plan import Plan
from wfm_jax.results.progress import Bar
from wfm_jax.sweep.study import devices, versions

for _module in (launch, checkpoint_flag, profile_flags):
    flags.adopt_module_key_flags(_module)


def main() -> None:
    settings, asked, progress = profile_flags.settings(), profile_flags.targets(), Bar()
    config, params, name = profile_flags.model()
    rows_of_sweep = profile_flags.sweep()
    workdir = pathlib.Path(launch.WORKDIR.value)
    files = workdir / "files"
    files.mkdir(parents=True, exist_ok=True)
    try:
        rows, verdict = study.run(config, params, settings, files, progress), None
        if rows_of_sweep:
            verdict = targets.hold_against(asked, rows_of_sweep, settings, files, progress)
    finally:
        progress.close()
    title, slot_ms = f"{name}, {', '.join(devices())}", study.slot_ms(config.link)
    told = {"title": title, "slot_ms": slot_ms, "versions": versions(), "rows": rows}
    told |= {"settings": settings._asdict(), "candidates": verdict.timed if verdict else []}
    atomic.write_bytes(workdir / "profile.json", json.dumps(told, indent=2).encode())
    profile_picture(rows, slot_ms, title, workdir / "profile.png")
    summary, width = io.StringIO(), None if sys.stdout.isatty() else 100
    for console in (Console(file=summary, width=100), Console(width=width)):
        tables.print_profile(rows, title, slot_ms, console)
        if verdict:
            targets.print_verdict(verdict, asked, console)
    atomic.write_bytes(workdir / "summary.txt", summary.getvalue().encode())
    print(f"Everything is in {workdir.resolve()}; open profile.png.")


def plan() -> Plan:
    """What it would do."""
    settings, asked = profile_flags.settings(), profile_flags.targets()
    config, sweep = profile_flags.model()[0], profile_flags.sweep()
    n_of_sweep, workdir = sweep and len(sweep.rows), pathlib.Path(launch.WORKDIR.value)
    return plan_profile(config, settings, asked, n_of_sweep, workdir)


if __name__ == "__main__":
    launch.launch(main, plan)
