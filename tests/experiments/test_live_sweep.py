"""A sweep on a terminal, and the same seen from outside."""

import os
import pty
import re
import subprocess
import sys

import pytest

from tests.experiments import sweep_process
from wfm_jax.results.watch import look

pytestmark = pytest.mark.endurance
COLUMNS, LINES = 80, 24


@pytest.fixture
def on_terminal(tmp_path_factory):
    """Runs a command on a terminal of its own, with the programs that the other sweeps compiled;
    returns its exit code and all that it wrote."""
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.getbasetemp().parent / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    screen = {"COLUMNS": str(COLUMNS), "LINES": str(LINES), "TERM": "xterm"}

    def run(command):
        ours, theirs = pty.openpty()
        environment = os.environ | cache | screen
        process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        try:
            out = _all(ours)
            return process.wait(timeout=60), out
        finally:
            process.kill()
            process.wait()
            os.close(ours)

    return run


def _all(handle):
    """What is written to a terminal until nobody writes any more."""
    parts = []
    while True:
        try:
            part = os.read(handle, 65536)
        except OSError:  # of a terminal that nobody holds
            part = b""
        if not part:
            return b"".join(parts).decode()
        parts.append(part)


def plain(text):
    """Without what steers the terminal."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "")


def test_the_board_is_drawn_and_the_last_one_stays(on_terminal, tmp_path, untrained, finished):
    workdir = tmp_path / "run"
    flags = (*sweep_process.FLAGS, *untrained, f"--workdir={workdir}")
    code, out = on_terminal([sys.executable, "-m", "experiments.sweep", *flags])
    text = plain(out)
    assert code == 0, text
    assert "Traceback" not in text
    for words in ("measuring", "best so far", "diverged", "rows done", "left"):
        assert words in text
    before, after = text.rsplit("╯", 1)
    last = before.rsplit("╭", 1)[1]
    assert "7 of 7 configurations" in last
    assert "100%" in last
    assert "Everything is in" in after  # tables and all else come below it
    assert max(len(line) for line in last.splitlines()) <= COLUMNS
    assert out.rfind("\x1b[?25h") > out.rfind("\x1b[?25l")  # the cursor is back
    found = look(workdir)
    assert (found.state, found.troubles) == ("finished", ())
    assert found.status.board.paces_s.keys() >= {"train", "finish"}
    sweep_process.same_rows(sweep_process.rows(workdir), sweep_process.rows(finished[0]))


def test_a_watch_ends_with_the_sweep(on_terminal, finished):
    command = [sys.executable, "-m", "experiments.watch", f"--workdir={finished[0]}"]
    for more in ([], ["--once"]):
        code, out = on_terminal([*command, *more])
        assert code == 0, out
        assert "every configuration has its row" in plain(out)
        assert "7 of 7 configurations finished" in plain(out)


def test_without_a_terminal_it_says_little(finished):
    """A line a tenth of the way at most, beside the best so far."""
    lines = finished[1].splitlines()
    assert 2 <= sum(line.startswith("sweep: ") for line in lines) <= 12
    assert any(line.startswith("best so far: ") for line in lines)
    assert not any("╭" in line for line in lines)
