"""Which tensor of a trained model suffers from what, and mixed precision allocated by it.

Every tensor alone at every number of bits and every sparsity, measured by one compiled program on
calibration frames, beside the Fisher estimate; then bits for each tensor by integer programming, at
the bytes of uniform bits, compared on other frames with paired 95 % intervals. Nothing is trained.
Leaves in --workdir: sensitivity.jsonl and .parquet, heat_map.png, allocation.jsonl, files/ (packed
models), summary.txt. Type the same command again after an interrupt: finished parts are not run
again.

  python -m experiments.sensitivity --workdir=runs/sensitivity
  python -m experiments.sensitivity --checkpoint=runs/micro/teacher --bits=2,4,8 --sparsities= \\
      --budget_bits=3 --workdir=DIR
"""

import pathlib

from absl import flags

from experiments import checkpoint_flag, launch, sensitivity_flags
from wfm_jax.evaluate import sensitivity_files as files
from wfm_jax.evaluate import study_parts
from wfm_jax.evaluate.measuring_plan import plan_measuring
from wfm_jax.evaluate.sensitivity_study import SensitivityStudy, Subject
from wfm_jax.results.manifest import Manifest, foresee, open_run
from wfm_jax.results.plan import Plan, folder_fact
from wfm_jax.results.progress import Bar
from wfm_jax.sweep.study import devices, versions
from wfm_jax.train.frame_loss import frame_loss
from wfm_jax.train.interrupt import StopRequest
from wfm_jax.train.model_files import Teacher

for _module in (launch, checkpoint_flag, sensitivity_flags):
    flags.adopt_module_key_flags(_module)


def main() -> None:
    (config, params, teacher_hash), study, manifest = _asked()
    subject = Subject(config, params, frame_loss, teacher_hash, study.strategy)
    workdir, progress = launch.WORKDIR.value, Bar()
    opened = open_run(workdir, manifest, growable=(), overwrite=launch.OVERWRITE.value)
    with opened as run, StopRequest() as stop:
        try:
            cells, given = files.run_in_folder(
                study, subject, run.path, progress=progress, check=stop.raise_if_asked
            )
        finally:
            progress.close()
        text = files.read_out(cells, given)
        files.write_summary(text, run.path)
    print(f"\n{text}")
    print(f"Everything is in {pathlib.Path(workdir).resolve()}; open heat_map.png.")


def plan() -> Plan:
    """What it would do."""
    (config, params, _), study, manifest = _asked()
    workdir, overwrite = launch.WORKDIR.value, launch.OVERWRITE.value
    outlook = foresee(workdir, manifest, growable=(), overwrite=overwrite)
    parts = study_parts.of_sensitivity(study, params, workdir if outlook.goes_on else None)
    n_rows = sum(part.models for part in parts)
    folder = folder_fact(outlook)
    return plan_measuring("sensitivity", folder, parts, config, workdir, n_rows=n_rows)


def _asked() -> tuple[Teacher, SensitivityStudy, Manifest]:
    teacher = checkpoint_flag.teacher()
    study = sensitivity_flags.study(teacher.config)
    values = launch.flag_values(sensitivity_flags) | {"checkpoint": teacher.hash}
    ignored = ("workdir", "overwrite", "cell_strategy")
    return teacher, study, Manifest(values, versions(), devices(), ignored=ignored)


if __name__ == "__main__":
    launch.launch(main, plan)
