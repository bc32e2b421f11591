"""Record frames of the link as a SigMF recording with exact labels.

Draws frames as a model's link does, one behind the other, and leaves in --workdir:
frames.sigmf-meta (one annotation a frame: modulation, bits, channel, SNR, K, LOS, delay spread,
timing) and frames.sigmf-data. Any reader of SigMF opens it; `experiments.evaluate --recording`
scores a model on it.

  python -m experiments.record --frames=200 --workdir=runs/recording
  python -m experiments.evaluate --recording=runs/recording/frames.sigmf-meta --workdir=runs/heard
  python -m experiments.record --frame_datatype=ci16_le --frame_rate_hz=25e6 --workdir=DIR
"""

import pathlib

from absl import flags

from experiments import checkpoint_flag, launch, record_flags
from wfm_jax.evaluate.frame_recording import record_frames
from wfm_jax.evaluate.recording_plan import plan_recording
from wfm_jax.results.manifest import Manifest, foresee, open_run
from wfm_jax.results.plan import Plan, folder_fact
from wfm_jax.sweep.study import devices, versions

for _module in (launch, checkpoint_flag, record_flags):
    flags.adopt_module_key_flags(_module)


def main() -> None:
    wanted = record_flags.wanted(checkpoint_flag.teacher().config.link)
    with open_run(launch.WORKDIR.value, _manifest(), overwrite=launch.OVERWRITE.value) as run:
        path = record_frames(wanted, run.path)
        n_bytes = path.with_suffix(".sigmf-data").stat().st_size
    print(f"{wanted.n_frames} frames, {n_bytes} bytes of {wanted.datatype}: {path.resolve()}")
    print(f"python -m experiments.evaluate --recording={_short(path)} --workdir=DIR")


def plan() -> Plan:
    """What it would do."""
    wanted = record_flags.wanted(checkpoint_flag.teacher().config.link)
    workdir = launch.WORKDIR.value
    outlook = foresee(workdir, _manifest(), overwrite=launch.OVERWRITE.value)
    return plan_recording(wanted, folder_fact(outlook), workdir)


def _manifest() -> Manifest:
    values = launch.flag_values(checkpoint_flag, record_flags)
    return Manifest(values, versions(), devices())


def _short(path: pathlib.Path) -> pathlib.Path:
    """As it is typed from here."""
    here = pathlib.Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


if __name__ == "__main__":
    launch.launch(main, plan)
