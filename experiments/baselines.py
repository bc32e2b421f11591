"""Small baselines of blind modulation classification (4/16/64/256-QAM): an MLP and a conv network.

Trained on as many frames as the nano teacher, then scored on the frozen test frames beside the
likelihood classifier behind LMMSE, cumulants behind LMMSE, and the likelihood classifier that knows
the channel (the ceiling). Leaves in --workdir: baselines.jsonl (accuracy over SNR with 95 %
intervals that resample frames), mlp/ and conv/ (losses and checkpoints). Type the same command
again to resume.

  python -m experiments.baselines --workdir=runs/baselines
  python -m experiments.baselines --baseline_batch_size=128 --baseline_steps=10000 --workdir=DIR
"""

from absl import flags

from experiments import baselines_flags, launch
from wfm_jax.evaluate.accuracy import accuracy_table
from wfm_jax.evaluate.frames import TestSet
from wfm_jax.results.manifest import Manifest, foresee, open_run
from wfm_jax.results.plan import Plan, folder_fact
from wfm_jax.results.progress import Bar
from wfm_jax.signal.link import LinkConfig
from wfm_jax.sweep.study import devices, versions
from wfm_jax.train.baselines import baselines_in_folder
from wfm_jax.train.baselines_plan import plan_baselines
from wfm_jax.train.classifier import ClassifierSettings
from wfm_jax.train.interrupt import StopRequest

for _module in (launch, baselines_flags):
    flags.adopt_module_key_flags(_module)

TEST_SEED = 1
SNRS_DB = tuple(2.5 * step for step in range(13))


def main() -> None:
    settings, test_set, manifest = _asked()
    progress = Bar()
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


def plan() -> Plan:
    """What it would do."""
    settings, test_set, manifest = _asked()
    workdir, overwrite = launch.WORKDIR.value, launch.OVERWRITE.value
    outlook = foresee(workdir, manifest, overwrite=overwrite)
    folder = folder_fact(outlook)
    return plan_baselines(test_set, settings, folder, workdir, goes_on=outlook.goes_on)


def _asked() -> tuple[ClassifierSettings, TestSet, Manifest]:
    manifest = Manifest(launch.flag_values(baselines_flags), versions(), devices())
    return baselines_flags.settings(), TestSet(LinkConfig(), seed=TEST_SEED), manifest


if __name__ == "__main__":
    launch.launch(main, plan)
