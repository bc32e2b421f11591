"""Pretrain a wireless foundation model on simulated factory signals.

First masked modelling across the views (hidden tokens of iq, grid, csi and spectrogram are
predicted from what is left), then all tasks at once: modulation classification, bit detection,
channel estimation and link state (K-factor, SNR, line of sight, delay spread, Doppler). Leaves in
--workdir: teacher.safetensors (one file: weights, this command, scores; what `--teacher` and
`--checkpoint` of the other programs take), teacher/ (the same as a checkpoint), losses.jsonl, and
masked/ and training/ (what a stopped run goes on from). Type the same command again to resume.

  python -m experiments.pretrain --flagfile=experiments/presets/pretrain.flags --workdir=runs/nano
  python -m experiments.pretrain --model=micro --teacher_batch_size=256 --compute=bfloat16 \\
      --teacher_steps=40000 --workdir=runs/micro
"""

import shlex
import sys

import jax
from absl import flags

from experiments import launch, teacher_flags
from wfm_jax.evaluate.frames import TestSet
from wfm_jax.results.manifest import Manifest, foresee, open_run
from wfm_jax.results.plan import Plan, folder_fact
from wfm_jax.results.progress import Bar
from wfm_jax.sweep.study import devices, versions
from wfm_jax.train.interrupt import StopRequest
from wfm_jax.train.publish import publish
from wfm_jax.train.teacher import train_teacher
from wfm_jax.train.training_plan import plan_teacher

for _module in (launch, teacher_flags):
    flags.adopt_module_key_flags(_module)

TEST_SEED = 1


def main() -> None:
    progress, settings = Bar(), teacher_flags.teacher_settings()
    opened = open_run(launch.WORKDIR.value, _manifest(), overwrite=launch.OVERWRITE.value)
    with opened as run, StopRequest() as stop:
        try:
            model = teacher_flags.model()
            teacher = train_teacher(model, settings, run.path, progress=progress, stop=stop)
            progress.say("scoring it on the frozen test frames")
            file = run.path / "teacher.safetensors"
            test_set = TestSet(model.link, seed=TEST_SEED)
            told = publish(teacher, file, settings, command=_command(), test_set=test_set)
        finally:
            progress.close()
    n_params = sum(leaf.size for leaf in jax.tree.leaves(teacher.params))
    print(f"teacher {teacher.hash}, {n_params} parameters, is in {file}")
    for name in ("amc_accuracy", "gmi_fraction", "channel_nmse_db", "k_mae_db", "los_accuracy"):
        print(f"  {name} {told['scores'][name]:.3f} +- {told['scores'][f'{name}_ci95']:.3f}")


def plan() -> Plan:
    """What it would do."""
    workdir, settings = launch.WORKDIR.value, teacher_flags.teacher_settings()
    outlook = foresee(workdir, _manifest(), overwrite=launch.OVERWRITE.value)
    model, folder = teacher_flags.model(), folder_fact(outlook)
    return plan_teacher(model, settings, folder, workdir, goes_on=outlook.goes_on)


def _manifest() -> Manifest:
    return Manifest(launch.flag_values(teacher_flags), versions(), devices())


def _command() -> str:
    """What was typed, without the run folder."""
    told = [flag for flag in sys.argv[1:] if not flag.lstrip("-").startswith("workdir")]
    return shlex.join(["python", "-m", "experiments.pretrain", *told])


if __name__ == "__main__":
    launch.launch(main, plan)
