"""Small baselines of blind modulation classification (4/16/64/256-QAM): an MLP and a conv network.

Trained on as many frames as the nano teacher, then scored on the frozen test frames beside the
likelihood classifier behind LMMSE, cumulants behind LMMSE, and the likelihood classifier that knows
the channel (the ceiling). Leaves in --workdir: baselines.jsonl (accuracy over SNR with 95 %
intervals that resample frames), mlp/ and conv/ (losses and checkpoints). Type the same command
again to resume.

  python -m experiments.baselines --workdir=runs/baselines
  python -m experiments.baselines --baseline_batch_size=128 --baseline_steps=10000 --workdir=DIR
"""

import sys

from absl import flags

from experiments import launch
from wfm_jax.evaluate.accuracy import accuracy_table
from wfm_jax.evaluate.frames import TestSet
from wfm_jax.results.manifest import Manifest, open_run
from wfm_jax.results.progress import Bar
from wfm_jax.signal.link import LinkConfig
from wfm_jax.sweep.study import devices, versions
from wfm_jax.train.baselines import baselines_in_folder
from wfm_jax.train.classifier import ClassifierSettings
from wfm_jax.train.interrupt import StopRequest

flags.adopt_module_key_flags(launch)

_DEFAULT = ClassifierSettings()
_STEPS = flags.DEFINE_integer(
    "baseline_steps", _DEFAULT.steps, "Optimizer steps of each network.", lower_bound=1
)
_BATCH = flags.DEFINE_integer(
    "baseline_batch_size", _DEFAULT.batch_size, "Frames a step.", lower_bound=1
)
_RATE = flags.DEFINE_float(
    "baseline_learning_rate", _DEFAULT.learning_rate, "Peak learning rate.", lower_bound=1e-9
)
_SEED = flags.DEFINE_integer(
    "baseline_seed", _DEFAULT.seed, "Initial parameters and data.", lower_bound=0
)

TEST_SEED = 1
SNRS_DB = tuple(2.5 * step for step in range(13))


def main() -> None:
    settings = ClassifierSettings(
        steps=_STEPS.value,
        batch_size=_BATCH.value,
        learning_rate=_RATE.value,
        seed=_SEED.value,
    )
    manifest = Manifest(launch.flag_values(sys.modules[__name__]), versions(), devices())
    test_set, progress = TestSet(LinkConfig(), seed=TEST_SEED), Bar()
    opened = open_run(launch.WORKDIR.value, manifest, overwrite=launch.OVERWRITE.value)
    with opened as run, StopRequest() as stop:
        try:
            rows = baselines_in_folder(
                test_set, SNRS_DB, settings, run.path, progress=progress, stop=stop
            )
        finally:
            progress.close()
    print(
        f"\nAccuracy in % on {test_set.n_frames} frames, with the half-width of its 95 % interval"
    )
    print(accuracy_table(rows))
    print("Classical classifiers know the noise variance, likelihood_genie the channel too.")


if __name__ == "__main__":
    launch.launch(main)
