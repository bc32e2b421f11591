"""The sweep's main in two processes: the rows of one, and a resume on other devices."""

import os
import re
import socket
import subprocess
import sys

import pytest

from tests.experiments import sweep_process

pytestmark = pytest.mark.endurance


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def within_intervals(found, expected):
    """The same configurations, and every score within its interval."""
    assert set(found) == set(expected)
    for identity, row in expected.items():
        other = found[identity]
        assert other["status"] == row["status"]
        for name in row:
            width = row.get(f"{name}_ci95")
            if width is not None and row[name] is not None:
                assert abs(other[name] - row[name]) <= max(width, 1e-6), name


@pytest.fixture
def two(start, tmp_path):
    """Starts the main twice, as two processes of one run; returns exit codes and output."""

    def run(*extra):
        where = (f"--distributed=127.0.0.1:{free_port()}", "--num_processes=2")
        started = [start(tmp_path / "run", *where, f"--process_id={i}", *extra) for i in (0, 1)]
        said = [process.communicate(timeout=600)[0] for process in started]
        return [process.returncode for process in started], said

    return run


def test_two_processes_leave_the_rows_of_one(finished, two, tmp_path):
    codes, said = two()
    assert codes == [0, 0], "\n".join(said)
    expected = sweep_process.rows(finished[0])
    within_intervals(sweep_process.rows(tmp_path / "run"), expected)
    files = {file.name for file in (finished[0] / "files").iterdir()}
    assert {file.name for file in (tmp_path / "run" / "files").iterdir()} == files
    assert "everything is in" not in said[1].lower()


def test_a_stopped_run_goes_on_on_two_devices(finished, start, tmp_path):
    from tests.experiments.test_sweep_run import stop_when

    process = start(tmp_path / "run", "--save_every_s=0")
    code, out = stop_when(process, "pruning and quantizing", 15)
    assert code == 75, out
    again = subprocess.run(
        [sys.executable, "-m", "experiments.sweep", *process.args[3:], "--devices=2"],
        env={**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    within_intervals(sweep_process.rows(tmp_path / "run"), sweep_process.rows(finished[0]))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--distributed=nowhere",), "off, auto or HOST:PORT"),
        (("--num_processes=2",), "go with --distributed"),
        (("--distributed=127.0.0.1:1", "--num_processes=2", "--process_id=2"), "below it"),
        (("--devices=64",), "devices must be from 1 to"),
    ],
)
def test_what_cannot_be_is_one_line(start, tmp_path, flags, told):
    process = start(tmp_path / "run", *flags)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert len(re.findall(r"\S.*\n?", out)) <= 2
    assert told in out


def test_more_processes_than_configurations_is_one_line(two):
    codes, said = two("--pipelines=none")
    assert codes == [2, 2]
    assert all("2 processes for 1 configuration: start at most 1" in text for text in said)
