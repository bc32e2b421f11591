"""Every flag has a name of its own: the mains can be imported side by side."""

import importlib
import pathlib
import subprocess
import sys

import experiments


def test_all_mains_can_be_imported_together():
    folder = pathlib.Path(experiments.__path__[0])
    names = sorted(path.stem for path in folder.glob("*.py"))
    assert {"sweep", "sensitivity", "failure_modes", "bench"} <= set(names)
    for name in names:
        importlib.import_module(f"experiments.{name}")


def test_a_main_without_what_it_needs_says_so_alone(tmp_path):
    """And no other main asks for it: what is required is checked by the main that reads it."""
    command = [sys.executable, "-m", "experiments.failure_modes", f"--workdir={tmp_path / 'run'}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 2
    assert "--study must be given" in ended.stderr
    assert not (tmp_path / "run").exists()
