"""SIGKILL at random moments: no row is lost, none is doubled, and every number is the same.

A hundred kills: ``make kills``; two are among the slow tests.
"""

import os
import random
import signal
import subprocess
import time

import pytest

from tests.experiments import sweep_process

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("KILLS", "2"))
SEED = int(os.environ.get("KILLS_SEED", "0"))
EVERY_CHUNK = "--save_every_s=0"


@pytest.fixture(scope="module")
def undisturbed(finished, start, tmp_path_factory):
    """Rows of a run that nobody kills, and the seconds it takes once everything is compiled."""
    workdir, began = tmp_path_factory.mktemp("runs") / "compiled", time.monotonic()
    process = start(workdir, EVERY_CHUNK)
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0, out
    duration_s = time.monotonic() - began
    expected = sweep_process.rows(finished[0])
    sweep_process.same_rows(sweep_process.rows(workdir), expected)
    return expected, duration_s


def killed_after(process, seconds):
    """Whether it was still there to be killed."""
    try:
        process.communicate(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return True


@pytest.mark.timeout(60 * (KILLS + 5))
def test_a_killed_sweep_ends_as_if_undisturbed(undisturbed, start, tmp_path):
    """Moments are uniform over a run's time, so that starts, checkpoints and rows are all hit."""
    expected, duration_s = undisturbed
    draw, kills, sweeps = random.Random(SEED), 0, 0
    while kills < KILLS:
        workdir, sweeps = tmp_path / str(sweeps), sweeps + 1
        # A sweep that is killed at its start again and again would never end: three times each.
        for _ in range(min(3, KILLS - kills)):
            process = start(workdir, EVERY_CHUNK)
            if not killed_after(process, draw.uniform(0.5, duration_s)):
                assert process.returncode == 0
                break
            kills += 1
        process = start(workdir, EVERY_CHUNK)
        out, _ = process.communicate(timeout=600)
        assert process.returncode == 0, out
        sweep_process.same_rows(sweep_process.rows(workdir), expected)
        assert not (workdir / "cohort").exists()
        print(f"{kills} kills, {sweeps} sweeps")
