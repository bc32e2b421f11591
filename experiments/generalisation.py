"""What compressed models lose at places that no training saw, beside what their teacher loses.

Packed files, named one by one or the Pareto front of a sweep, stand beside --checkpoint on the same
frames: of other halls and links, and of labelled recordings, such as those of another simulator
(`experiments.record_sionna`). Every loss is a paired difference with a 95 % interval. Leaves in
--workdir: generalisation.jsonl (a row a place, model and metric), generalisation.png, summary.txt.
Type the same command again after an interrupt: finished places are not measured again.

  python -m experiments.generalisation --packed=small.wfm,smaller.wfm --workdir=runs/elsewhere
  python -m experiments.generalisation --checkpoint=pretrained-micro --front_of=runs/order \\
      --front_keeps=0.95 --recordings=runs/sionna/sionna_tdl_d.sigmf-meta --workdir=DIR
"""

import pathlib
from typing import Any

from absl import flags

from experiments import checkpoint_flag, generalisation_flags, launch
from wfm_jax.evaluate import generalisation_files as files
from wfm_jax.evaluate import study_parts
from wfm_jax.evaluate.generalisation import GeneralisationStudy, Teacher
from wfm_jax.evaluate.measuring_plan import plan_measuring
from wfm_jax.results.manifest import Manifest, foresee, open_run
from wfm_jax.results.plan import Plan, folder_fact
from wfm_jax.results.progress import Bar
from wfm_jax.sweep.study import devices, versions
from wfm_jax.train.interrupt import StopRequest

for _module in (launch, checkpoint_flag, generalisation_flags):
    flags.adopt_module_key_flags(_module)


def main() -> None:
    teacher, study, manifest = _asked()
    workdir, progress = launch.WORKDIR.value, Bar()
    with open_run(workdir, manifest, **_kept()) as run, StopRequest() as stop:
        try:
            rows = files.generalise_in_folder(
                study, teacher, run.path, progress=progress, check=stop.raise_if_asked
            )
        finally:
            progress.close()
        text = files.read_out(rows)
        files.write_summary(text, run.path)
    print(f"\n{text}")
    print(f"Everything is in {pathlib.Path(workdir).resolve()}; open {files.PICTURE}.")


def plan() -> Plan:
    """What it would do."""
    teacher, study, manifest = _asked()
    workdir = launch.WORKDIR.value
    outlook = foresee(workdir, manifest, **_kept())
    parts = study_parts.of_generalisation(study, workdir if outlook.goes_on else None)
    n_rows = 7 * len(study.places) * (1 + len(study.packed))
    folder = folder_fact(outlook)
    return plan_measuring("generalisation", folder, parts, teacher.config, workdir, n_rows=n_rows)


def _asked() -> tuple[Teacher, GeneralisationStudy, Manifest]:
    teacher = Teacher(*checkpoint_flag.teacher())
    study = generalisation_flags.study(teacher)
    # Files by what they hold: one that was replaced is another run.
    held = {
        "checkpoint": teacher.hash,
        "packed": [one.hash for one in study.packed],
        "places": [place.name for place in study.places],
        "recordings": [place.identity for place in study.places if place.identity != place.name],
    }
    values = launch.flag_values(generalisation_flags) | held
    return teacher, study, Manifest(values, versions(), devices())


def _kept() -> dict[str, Any]:
    return {"growable": generalisation_flags.GROWABLE, "overwrite": launch.OVERWRITE.value}


if __name__ == "__main__":
    launch.launch(main, plan)
