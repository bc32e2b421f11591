"""An evaluation on a recording, from flags to files; `experiments.evaluate` runs it."""

import pathlib

from experiments import checkpoint_flag, launch, recording_flags
from wfm_jax.evaluate.recording_files import write_heard
from wfm_jax.evaluate.recording_study import hear
from wfm_jax.results.manifest import Manifest, open_run
from wfm_jax.results.sigmf_file import open_recording
from wfm_jax.sweep.study import devices, versions


def run(path: str) -> None:
    """Runs the model of --checkpoint on a recording; nothing is left where that fails."""
    study, recording = recording_flags.study(), open_recording(path)
    config, params, teacher_hash = checkpoint_flag.teacher()
    heard = hear(study, recording, config, params, teacher_hash=teacher_hash)
    values = launch.flag_values(checkpoint_flag, recording_flags)
    manifest, workdir = Manifest(values, versions(), devices()), launch.WORKDIR.value
    with open_run(workdir, manifest, overwrite=launch.OVERWRITE.value) as folder:
        text = write_heard(heard, recording.path.name, folder.path)
    print(f"\n{text}\nEverything is in {pathlib.Path(workdir).resolve()}; open recording.png.")
