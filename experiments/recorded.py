"""An evaluation on a recording, from flags to files; `experiments.evaluate` runs it."""

import pathlib

from experiments import checkpoint_flag, launch, recording_flags
from wfm_jax.evaluate.recording_files import write_heard
from wfm_jax.evaluate.recording_plan import plan_hearing
from wfm_jax.evaluate.recording_study import hear
from wfm_jax.results.manifest import Manifest, foresee, open_run
from wfm_jax.results.plan import Plan, folder_fact
from wfm_jax.results.sigmf_file import open_recording
from wfm_jax.sweep.study import devices, versions


def run(path: str) -> None:
    """Runs the model of --checkpoint on a recording; nothing is left where that fails."""
    study, recording = recording_flags.study(), open_recording(path)
    config, params, teacher_hash = checkpoint_flag.teacher()
    heard = hear(study, recording, config, params, teacher_hash=teacher_hash)
    workdir = launch.WORKDIR.value
    with open_run(workdir, _manifest(), overwrite=launch.OVERWRITE.value) as folder:
        text = write_heard(heard, recording.path.name, folder.path)
    print(f"\n{text}\nEverything is in {pathlib.Path(workdir).resolve()}; open recording.png.")


def plan(path: str) -> Plan:
    """What :func:`run` would do."""
    study, recording = recording_flags.study(), open_recording(path)
    workdir = launch.WORKDIR.value
    folder = folder_fact(foresee(workdir, _manifest(), overwrite=launch.OVERWRITE.value))
    return plan_hearing(study, recording, checkpoint_flag.teacher().config, folder, workdir)


def _manifest() -> Manifest:
    values = launch.flag_values(checkpoint_flag, recording_flags)
    return Manifest(values, versions(), devices())
