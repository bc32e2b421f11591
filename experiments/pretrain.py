"""Train a wireless model on simulated factory signals, on four tasks at once.

Modulation classification, bit detection, channel estimation and link state (K-factor, SNR, line of
sight). Leaves in --workdir: teacher/ (the checkpoint that `experiments.sweep --teacher` takes),
losses.jsonl and training/ (what a stopped run goes on from). Type the same command again to resume.

  python -m experiments.pretrain --workdir=runs/nano
  python -m experiments.pretrain --model=micro --teacher_steps=40000 --workdir=runs/micro
"""

import jax
from absl import flags

from experiments import launch, teacher_flags
from wfm_jax.results.manifest import Manifest, open_run
from wfm_jax.results.progress import Bar
from wfm_jax.sweep.study import devices, versions
from wfm_jax.train.interrupt import StopRequest
from wfm_jax.train.teacher import train_teacher

for _module in (launch, teacher_flags):
    flags.adopt_module_key_flags(_module)


def main() -> None:
    manifest = Manifest(launch.flag_values(teacher_flags), versions(), devices())
    progress = Bar()
    opened = open_run(launch.WORKDIR.value, manifest, overwrite=launch.OVERWRITE.value)
    with opened as run, StopRequest() as stop:
        try:
            teacher = train_teacher(
                teacher_flags.model(),
                teacher_flags.teacher_settings(),
                run.path,
                progress=progress,
                stop=stop,
            )
        finally:
            progress.close()
    n_params = sum(leaf.size for leaf in jax.tree.leaves(teacher.params))
    print(f"teacher {teacher.hash}, {n_params} parameters, is in {run.path / 'teacher'}")


if __name__ == "__main__":
    launch.launch(main)
