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
from wfm_jax.results import failure_tables
from wfm_jax.results.failure_rows import SIZE_COLUMNS
from wfm_jax.results.manifest import Manifest, open_run
from wfm_jax.results.progress import Bar
from wfm_jax.sweep import student_size
from wfm_jax.sweep.references import null_of
from wfm_jax.sweep.settings import SweepSettings
from wfm_jax.sweep.study import Study, devices, versions
from wfm_jax.train.frame_loss import frame_loss
from wfm_jax.train.interrupt import StopRequest
from wfm_jax.train.model_files import Teacher

for _module in (launch, checkpoint_flag, failure_modes_flags):
    flags.adopt_module_key_flags(_module)


def main() -> None:
    name, workdir = failure_modes_flags.study_name(), pathlib.Path(launch.WORKDIR.value)
    teacher = checkpoint_flag.teacher()
    study, path = failure_modes_flags.study(teacher.config), workdir / f"{name}.jsonl"
    values = launch.flag_values(failure_modes_flags) | {"checkpoint": teacher.hash}
    shown = {"overwrite": launch.OVERWRITE.value}
    if isinstance(study, student_size.StudentSizes):
        rows = student_size.run_in_folder(
            study, _sweep(teacher), workdir, flags=values, progress=Bar(), **shown
        )
        files.write_rows(SIZE_COLUMNS, path, rows)
    else:
        model = files.Model(*teacher[:2], null_of(teacher.params), teacher.hash, frame_loss)
        manifest, progress = Manifest(values, versions(), devices()), Bar()
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


def _sweep(teacher: Teacher) -> Study:
    return Study(
        configurations=(),
        model=teacher.config,
        teacher=checkpoint_flag.CHECKPOINT.value,
        settings=SweepSettings(),
        test_set=failure_modes_flags.test_set(teacher.config),
    )


if __name__ == "__main__":
    launch.launch(main)
