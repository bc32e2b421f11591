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

from absl import flags

from experiments import checkpoint_flag, launch, robustness_flags
from wfm_jax.evaluate import robustness_files as files
from wfm_jax.results.manifest import Manifest, open_run
from wfm_jax.results.progress import Bar
from wfm_jax.sweep.references import null_of
from wfm_jax.sweep.study import devices, versions
from wfm_jax.train.interrupt import StopRequest

for _module in (launch, checkpoint_flag, robustness_flags):
    flags.adopt_module_key_flags(_module)


def main() -> None:
    wanted, (config, params, teacher_hash) = robustness_flags.studies(), checkpoint_flag.teacher()
    conditions = robustness_flags.condition_study(config) if "conditions" in wanted else None
    views = robustness_flags.view_study(config) if "views" in wanted else None
    subject = files.Subject(config, params, null_of(params), teacher_hash)
    values = launch.flag_values(robustness_flags) | {"checkpoint": teacher_hash}
    manifest = Manifest(values, versions(), devices())
    workdir, progress = launch.WORKDIR.value, Bar()
    opened = open_run(workdir, manifest, growable=("studies",), overwrite=launch.OVERWRITE.value)
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


if __name__ == "__main__":
    launch.launch(main)
