"""What a trained model loses where a receiver has to be robust, and without some of its views.

Two studies: `conditions` (timing, carrier, K and delay spread beyond what it was trained on, beside
LMMSE receivers' own losses) and `views` (which task can be done without which view, and how much of
it is kept). Leaves in --workdir: robustness.jsonl, conditions.png, views.jsonl, views.png,
summary.txt. Type the same command again after an interrupt: finished studies are not run again.

  python -m experiments.robustness --workdir=runs/robustness
  python -m experiments.robustness --checkpoint=runs/micro/teacher --studies=views \\
      --view_subsets=grid+csi,csi+iq --workdir=DIR
"""

import pathlib
from typing import Any

from absl import flags

from experiments import checkpoint_flag, launch, robustness_flags
from wfm_jax.evaluate import robustness_files as files
from wfm_jax.evaluate import study_parts
from wfm_jax.evaluate.measuring_plan import plan_measuring
from wfm_jax.results.manifest import Manifest, foresee, open_run
from wfm_jax.results.plan import Plan, folder_fact
from wfm_jax.results.progress import Bar
from wfm_jax.sweep.references import null_of
from wfm_jax.sweep.study import devices, versions
from wfm_jax.train.interrupt import StopRequest
from wfm_jax.train.model_files import Teacher

for _module in (launch, checkpoint_flag, robustness_flags):
    flags.adopt_module_key_flags(_module)


def main() -> None:
    (config, params, teacher_hash), manifest, kept = _asked()
    conditions, views = robustness_flags.wanted(config)
    subject = files.Subject(config, params, null_of(params), teacher_hash)
    workdir, progress = launch.WORKDIR.value, Bar()
    opened = open_run(workdir, manifest, **kept)
    with opened as run, StopRequest() as stop:
        shown = {"progress": progress, "check": stop.raise_if_asked}
        try:
            of_conditions = conditions and files.conditions_in_folder(
                conditions, subject, run.path, **shown
            )
            of_views = views and files.views_in_folder(*views, subject, run.path, **shown)
        finally:
            progress.close()
        text = files.read_out(of_conditions or [], of_views or [])
        files.write_summary(text, run.path)
    print(f"\n{text}")
    print(f"Everything is in {pathlib.Path(workdir).resolve()}; open conditions.png, views.png.")


def plan() -> Plan:
    """What it would do."""
    teacher, manifest, kept = _asked()
    asked, workdir = robustness_flags.wanted(teacher.config), launch.WORKDIR.value
    outlook = foresee(workdir, manifest, **kept)
    parts = study_parts.of_robustness(*asked, workdir if outlook.goes_on else None)
    folder = folder_fact(outlook)
    return plan_measuring("robustness", folder, parts, teacher.config, workdir, n_rows=300)


def _asked() -> tuple[Teacher, Manifest, dict[str, Any]]:
    teacher = checkpoint_flag.teacher()
    values = launch.flag_values(robustness_flags) | {"checkpoint": teacher.hash}
    kept = {"growable": ("studies",), "overwrite": launch.OVERWRITE.value}
    return teacher, Manifest(values, versions(), devices()), kept


if __name__ == "__main__":
    launch.launch(main, plan)
