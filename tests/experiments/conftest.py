"""What the mains of a trained model are given."""

import os
import subprocess
import sys

import jax
import pytest

from tests import small
from tests.experiments import sweep_process
from wfm_jax.model import build, preset
from wfm_jax.train.model_files import save_teacher


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A pico model on the tiny link, all its parameters away from their start."""
    path = tmp_path_factory.mktemp("model") / "pico.safetensors"
    config = preset("pico", small.LINK)
    save_teacher(path, config, small.moved(build(config, jax.random.key(0))[1], 0.1), {})
    return path


@pytest.fixture(scope="session")
def untrained(tmp_path_factory):
    """Flags of a teacher that need not be trained."""
    path = tmp_path_factory.mktemp("teacher") / "pico.safetensors"
    config = preset("pico")
    save_teacher(path, config, small.moved(build(config, jax.random.key(0))[1], 0.05), {})
    return (f"--teacher={path}",)


@pytest.fixture(scope="session")
def start(untrained, tmp_path_factory):
    """Starts the main in a process of its own; all share compiled programs through a cache."""
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.getbasetemp().parent / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "PYTHONUNBUFFERED": "1",
    }

    def run(workdir, *extra, teacher=untrained):
        flags = (*sweep_process.FLAGS, f"--workdir={workdir}")
        command = [sys.executable, "-m", "experiments.sweep", *flags]
        return subprocess.Popen(
            [*command, *teacher, *extra],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return run


@pytest.fixture(scope="session")
def finished(start, tmp_path_factory):
    """A run that nothing disturbed: its folder and what it printed."""
    workdir = tmp_path_factory.mktemp("runs") / "undisturbed"
    process = start(workdir)
    out, _ = process.communicate(timeout=500)
    assert process.returncode == 0, out
    return workdir, out
