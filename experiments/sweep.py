"""Sweep compression configurations of a wireless model, many in one compiled program.

Starts from the pretrained teacher (or trains one), runs every pipeline of pruning,
quantization and distillation at every operating point, measures each on frozen test frames, and
leaves in --workdir: results.jsonl (the truth, one row a configuration), results.parquet,
report.html, pareto.png, contrasts.jsonl, summary.txt, files/ (packed models) and scores/ (per
frame).
Type the same command again after an interrupt: only what is missing runs.

  python -m experiments.sweep --flagfile=experiments/presets/laptop.flags --workdir=runs/laptop
  python -m experiments.sweep --pipelines=P-Q-KD,Q-P-KD --operating_points=4:0.75 --workdir=DIR
"""

import pathlib
import sys

from absl import flags
from rich.console import Console

from experiments import (
    axis_flags,
    compile_cache,
    distributed_flags,
    launch,
    report_page,
    sweep_flags,
    sweep_study,
    teacher_flags,
)
from wfm_jax.results.live import on_screen
from wfm_jax.results.plan import Plan
from wfm_jax.results.progress import Silent
from wfm_jax.sweep.processes import is_first
from wfm_jax.sweep.study import run_study
from wfm_jax.sweep.study_plan import plan_study

for _module in (launch, sweep_study, axis_flags, sweep_flags, teacher_flags, distributed_flags):
    flags.adopt_module_key_flags(_module)


def main() -> None:
    distributed_flags.initialize()
    workdir = launch.WORKDIR.value
    run_study(
        sweep_study.study(),
        workdir,
        **sweep_study.kept(),
        references_in=compile_cache.folder(),
        progress=on_screen() if is_first() else Silent(),
        console=Console(width=None if sys.stdout.isatty() else 100),
    )
    if is_first():
        _tell(launch.WORKDIR.value)


def _tell(workdir: str) -> None:
    """Writes the report page, where plotly is there to draw it, and says what to open."""
    name = "pareto.png"
    if report_page.can_be_drawn():
        name = report_page.write([workdir])[0].name
    print(f"\nEverything is in {pathlib.Path(workdir).resolve()}; open {name}.")
    print(f"The page again: python -m experiments.report --workdir={workdir}")


def plan() -> Plan:
    """What it would do."""
    return plan_study(sweep_study.study(), launch.WORKDIR.value, **sweep_study.kept())


if __name__ == "__main__":
    launch.launch(main, plan)
