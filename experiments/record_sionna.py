"""Record frames of another simulator, Sionna's TDL-D, as a SigMF recording with exact labels.

The frames have the format of a model's link; constellation, OFDM signal and the channel from sample
to sample are Sionna 2's. The same bits, fading and noise stand at every SNR. Leaves in --workdir:
sionna_tdl_d.sigmf-meta and sionna_tdl_d.sigmf-data, for `experiments.evaluate --recording` and
`experiments.generalisation --recordings`. Sionna comes with `make test-oracles`.

  python -m experiments.record_sionna --workdir=runs/sionna
  python -m experiments.generalisation --packed=small.wfm \\
      --recordings=runs/sionna/sionna_tdl_d.sigmf-meta --workdir=runs/elsewhere
"""

from absl import flags

from experiments import checkpoint_flag, launch, record_sionna_flags, sionna_frames
from wfm_jax.evaluate.frame_recording import FrameRecording
from wfm_jax.evaluate.recording_plan import plan_recording
from wfm_jax.results.manifest import Manifest, foresee, open_run
from wfm_jax.results.plan import Plan, folder_fact
from wfm_jax.sweep.study import devices, versions

for _module in (launch, checkpoint_flag, record_sionna_flags):
    flags.adopt_module_key_flags(_module)


def main() -> None:
    wanted = record_sionna_flags.wanted(checkpoint_flag.teacher().config.link)
    with open_run(launch.WORKDIR.value, _manifest(), overwrite=launch.OVERWRITE.value) as run:
        path = sionna_frames.record(wanted, run.path)
        n_bytes = path.with_suffix(".sigmf-data").stat().st_size
    n_frames = wanted.n_frames * len(wanted.snrs_db) * len(wanted.link.bits_per_symbol)
    print(f"{n_frames} frames, {n_bytes} bytes: {path.resolve()}")


def plan() -> Plan:
    """What it would do."""
    wanted = record_sionna_flags.wanted(checkpoint_flag.teacher().config.link)
    workdir = launch.WORKDIR.value
    outlook = foresee(workdir, _manifest(), overwrite=launch.OVERWRITE.value)
    n_frames = wanted.n_frames * len(wanted.snrs_db) * len(wanted.link.bits_per_symbol)
    return plan_recording(FrameRecording(wanted.link, n_frames), folder_fact(outlook), workdir)


def _manifest() -> Manifest:
    values = launch.flag_values(checkpoint_flag, record_sionna_flags)
    return Manifest(values, versions(), devices())


if __name__ == "__main__":
    launch.launch(main, plan)
