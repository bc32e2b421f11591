"""Evaluate a model on every task over SNR and K, beside classical receivers on the same frames.

Beside the model stand LS, LMMSE that knows the hall's statistics, LMMSE that knows the frame's own
delay profile, an iterative data-aided receiver, a genie that knows the channel; for modulations
the likelihood classifier behind LMMSE and behind the genie (the ceiling); for the link state the
best constant answer. Prints how far the model is behind, with paired 95 % intervals. Leaves in
--workdir: evaluation.jsonl and .parquet (a number a row: receiver, metric, SNR, constellation, K
bin), calibration.parquet, summary.txt, ber.png, accuracy.png, confusion.png, nmse.png,
calibration.png, link_state.png. Typed again it measures again: a nano model takes a minute or two
on two CPU cores.

  python -m experiments.evaluate --workdir=runs/evaluation
  python -m experiments.evaluate --checkpoint=runs/micro/teacher --snrs_db=5:25:5 --workdir=DIR
  python -m experiments.evaluate --classifiers=runs/baselines/baselines.jsonl --workdir=DIR

With --recording, on a SigMF recording instead: what the model says of each segment and, where
frames are labelled (`experiments.record`), scores. Leaves segments.jsonl and .parquet,
scores.jsonl, summary.txt, recording.png.

  python -m experiments.evaluate --recording=FILE.sigmf-meta --recording_cut=prefix --workdir=DIR
"""

import pathlib

from absl import flags

from experiments import checkpoint_flag, evaluate_flags, launch, recorded, recording_flags
from wfm_jax.evaluate import study_parts
from wfm_jax.evaluate.evaluation_files import read_out, run_in_folder
from wfm_jax.evaluate.measuring_plan import plan_measuring
from wfm_jax.results.manifest import Manifest, foresee, open_run
from wfm_jax.results.plan import Plan, folder_fact
from wfm_jax.results.progress import Bar
from wfm_jax.sweep.study import devices, versions
from wfm_jax.train.interrupt import StopRequest

for _module in (launch, checkpoint_flag, evaluate_flags, recording_flags):
    flags.adopt_module_key_flags(_module)


def main() -> None:
    if (recording := recording_flags.RECORDING.value) is not None:
        return recorded.run(recording)
    teacher = checkpoint_flag.teacher()
    study, classifiers = evaluate_flags.study(teacher.config.link), evaluate_flags.classifiers()
    workdir, progress = launch.WORKDIR.value, Bar()
    with (
        open_run(workdir, _manifest(), overwrite=launch.OVERWRITE.value) as run,
        StopRequest() as stop,
    ):
        try:
            rows = run_in_folder(
                study,
                teacher.config,
                teacher.params,
                run.path,
                teacher_hash=teacher.hash,
                classifiers=classifiers,
                progress=progress,
                check=stop.raise_if_asked,
            )
        finally:
            progress.close()
    print(f"\n{read_out(rows)}")
    print(f"Everything is in {pathlib.Path(workdir).resolve()}; open ber.png.")


def plan() -> Plan:
    """What it would do."""
    if (recording := recording_flags.RECORDING.value) is not None:
        return recorded.plan(recording)
    config, workdir = checkpoint_flag.teacher().config, launch.WORKDIR.value
    study, _ = evaluate_flags.study(config.link), evaluate_flags.classifiers()
    outlook = foresee(workdir, _manifest(), overwrite=launch.OVERWRITE.value)
    parts, folder = study_parts.of_evaluation(study), folder_fact(outlook)
    n_rows = 40 * len(study.snrs_db)
    return plan_measuring("evaluation", folder, parts, config, workdir, n_rows=n_rows, n_pictures=6)


def _manifest() -> Manifest:
    values = launch.flag_values(checkpoint_flag, evaluate_flags)
    return Manifest(values, versions(), devices(), ignored=evaluate_flags.NOT_RESULTS)


if __name__ == "__main__":
    launch.launch(main, plan)
