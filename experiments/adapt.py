"""Adapt a trained model to a factory that its training left out, from few labelled frames.

By three methods: a linear probe (the heads alone), LoRA (low-rank updates of chosen kernels) and
full fine-tuning, all from the same labelled sets; a part of each is held back to choose when to
stop. Prints what each gains on frozen test frames, with paired 95 % intervals, and its share of
full fine-tuning's gain. Leaves in --workdir: adapt.jsonl (a row a target, method and score),
adapt.png, summary.txt, models/ (ordinary models, LoRA merged, and its updates beside). Type the
same command again after an interrupt: finished targets are not run again.

  python -m experiments.adapt --workdir=runs/adapt
  python -m experiments.adapt --targets=nuremberg --labelled_frames=100,300,1000,3000 --workdir=DIR
  python -m experiments.adapt --targets= --replay=measured.csv --workdir=DIR
"""

import pathlib
from typing import Any

from absl import flags

from experiments import adapt_flags, checkpoint_flag, launch
from wfm_jax.results.manifest import Manifest, foresee, open_run
from wfm_jax.results.plan import Plan, folder_fact
from wfm_jax.results.progress import Bar
from wfm_jax.sweep.study import devices, versions
from wfm_jax.train.adapt_files import read_out, run_in_folder
from wfm_jax.train.adapt_plan import plan_adaptation
from wfm_jax.train.adapt_study import AdaptStudy
from wfm_jax.train.interrupt import StopRequest
from wfm_jax.train.model_files import Teacher

for _module in (launch, checkpoint_flag, adapt_flags):
    flags.adopt_module_key_flags(_module)


def main() -> None:
    teacher, study, manifest = _asked()
    workdir, progress = launch.WORKDIR.value, Bar()
    opened = open_run(workdir, manifest, **_kept())
    with opened as run, StopRequest() as stop:
        try:
            rows = run_in_folder(
                study, teacher, run.path, progress=progress, check=stop.raise_if_asked
            )
        finally:
            progress.close()
    print(f"\n{read_out(rows)}")
    print(f"Everything is in {pathlib.Path(workdir).resolve()}; open adapt.png.")


def plan() -> Plan:
    """What it would do."""
    teacher, study, manifest = _asked()
    outlook = foresee(launch.WORKDIR.value, manifest, **_kept())
    folder, workdir = folder_fact(outlook), launch.WORKDIR.value
    return plan_adaptation(study, teacher.config, folder, workdir, goes_on=outlook.goes_on)


def _asked() -> tuple[Teacher, AdaptStudy, Manifest]:
    teacher = checkpoint_flag.teacher()
    values = launch.flag_values(adapt_flags) | {"checkpoint": teacher.hash}
    manifest = Manifest(values, versions(), devices())
    return teacher, adapt_flags.study(teacher.config), manifest


def _kept() -> dict[str, Any]:
    return {"growable": adapt_flags.GROWABLE, "overwrite": launch.OVERWRITE.value}


if __name__ == "__main__":
    launch.launch(main, plan)
