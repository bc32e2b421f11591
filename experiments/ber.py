"""Error-rate curves over SNR: bits, symbols, GMI of chosen constellations, scenarios and receivers.

Each point runs until enough frames are wrong; its interval resamples frames. Theory is drawn beside
simulation. Leaves in --workdir: ber.jsonl (the truth, one row a point and receiver), ber.parquet,
ber.png, summary.txt. Type the same command again after an interrupt: only what is missing runs.

  python -m experiments.ber --flagfile=experiments/presets/ber.flags --workdir=runs/ber
  python -m experiments.ber --scenarios=tdl_d --k_db=7 --modulations=16 --snr_db=0:30:2 \\
      --workdir=DIR
"""

import pathlib
from typing import Any

from absl import flags

from experiments import ber_flags, launch
from wfm_jax.evaluate.ber_files import read_out, rows_of_runs, run_in_folder
from wfm_jax.evaluate.ber_plan import plan_curves
from wfm_jax.results.manifest import Manifest, foresee, open_run
from wfm_jax.results.plan import Plan, folder_fact
from wfm_jax.results.progress import Bar
from wfm_jax.sweep.study import devices, versions
from wfm_jax.train.interrupt import StopRequest

for _module in (launch, ber_flags):
    flags.adopt_module_key_flags(_module)


def main() -> None:
    study, added = ber_flags.study(), rows_of_runs(ber_flags.ADD.value)
    workdir, progress = launch.WORKDIR.value, Bar()
    opened = open_run(workdir, _manifest(), **_kept())
    with opened as run, StopRequest() as stop:
        try:
            rows = run_in_folder(
                study,
                run.path,
                scores=ber_flags.PANELS.value,
                added=added,
                progress=progress,
                check=stop.raise_if_asked,
            )
        finally:
            progress.close()
    print(f"\n{read_out(rows)}")
    print(f"Everything is in {pathlib.Path(workdir).resolve()}; open ber.png.")


def plan() -> Plan:
    """What it would do."""
    workdir = launch.WORKDIR.value
    outlook = foresee(workdir, _manifest(), **_kept())
    folder = folder_fact(outlook)
    return plan_curves(ber_flags.study(), folder, workdir, goes_on=outlook.goes_on)


def _manifest() -> Manifest:
    values = ber_flags.recorded(launch.flag_values(ber_flags))
    return Manifest(values, versions(), devices(), ignored=ber_flags.NOT_RESULTS)


def _kept() -> dict[str, Any]:
    return {"growable": ber_flags.GROWABLE, "overwrite": launch.OVERWRITE.value}


if __name__ == "__main__":
    launch.launch(main, plan)
