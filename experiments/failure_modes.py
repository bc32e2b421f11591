"""Failure modes that the literature tells of, on a trained model, each in a small table.

  calibration        activation ranges, GPTQ and Wanda by frames of the wrong distribution
  student_size       where along a student's size distillation stops beating fine-tuning
  sensitive_tensors  naive bits on the tensors that stand them least

Leaves in --workdir: rows in STUDY.jsonl and the table in STUDY.txt, beside the whole sweep for
student_size. Differences are paired on frozen test frames, with 95 % intervals. Type the same
command again after an interrupt: finished parts are not run again.

  python -m experiments.failure_modes --study=sensitive_tensors --workdir=runs/sensitive_tensors
  python -m experiments.failure_modes --study=student_size --cut_shares=0.5,0.95 --workdir=DIR
"""

import pathlib

from absl import flags

from experiments import checkpoint_flag, failure_modes_flags, launch
from wfm_jax.evaluate import failure_files as files
from wfm_jax.evaluate import study_parts
from wfm_jax.evaluate.measuring_plan import plan_measuring
from wfm_jax.results import failure_tables
from wfm_jax.results.failure_rows import SIZE_COLUMNS
from wfm_jax.results.manifest import Manifest, foresee, open_run
from wfm_jax.results.plan import Plan, folder_fact
from wfm_jax.results.progress import Bar
from wfm_jax.sweep.references import null_of
from wfm_jax.sweep.student_size import StudentSizes, run_in_folder
from wfm_jax.sweep.study import devices, versions
from wfm_jax.sweep.study_plan import plan_study
from wfm_jax.train.frame_loss import frame_loss
from wfm_jax.train.interrupt import StopRequest

for _module in (launch, checkpoint_flag, failure_modes_flags):
    flags.adopt_module_key_flags(_module)


def main() -> None:
    name, teacher, study, kept = failure_modes_flags.asked()
    workdir, manifest = pathlib.Path(launch.WORKDIR.value), Manifest(kept, versions(), devices())
    path, shown = workdir / f"{name}.jsonl", {"overwrite": launch.OVERWRITE.value}
    if isinstance(study, StudentSizes):
        sweep = failure_modes_flags.sweep(study, teacher)
        rows = run_in_folder(study, sweep, workdir, flags=kept, progress=Bar(), **shown)
        files.write_rows(SIZE_COLUMNS, path, rows)
    else:
        model = files.Model(*teacher[:2], null_of(teacher.params), teacher.hash, frame_loss)
        progress = Bar()
        with open_run(workdir, manifest, growable=(), **shown), StopRequest() as stop:
            try:
                rows = files.measure_in_folder(
                    study, model, path, progress=progress, check=stop.raise_if_asked
                )
            finally:
                progress.close()
    text = files.table_text(failure_tables.TABLES[name], rows)
    files.write_table(text, workdir / f"{name}.txt")
    print(f"\n{text}")
    print(f"Everything is in {workdir.resolve()}.")


def plan() -> Plan:
    """What it would do."""
    name, teacher, study, kept = failure_modes_flags.asked()
    workdir, overwrite = launch.WORKDIR.value, launch.OVERWRITE.value
    if isinstance(study, StudentSizes):
        sweep = failure_modes_flags.sweep(study, teacher)
        return plan_study(sweep, workdir, kept, overwrite=overwrite)
    manifest = Manifest(kept, versions(), devices())
    outlook = foresee(workdir, manifest, growable=(), overwrite=overwrite)
    path = pathlib.Path(workdir, f"{name}.jsonl") if outlook.goes_on else None
    parts, folder = study_parts.of_failure_mode(study, teacher.params, path), folder_fact(outlook)
    return plan_measuring(name, folder, parts, teacher.config, workdir, n_rows=100, n_pictures=0)


if __name__ == "__main__":
    launch.launch(main, plan)
