"""Rows of a finished sweep, run again by the commands that their report shows."""

import json
import shutil
import subprocess
import sys

import pytest

MAIN = (sys.executable, "-m", "experiments.repeat")


def repeat(*flags):
    return subprocess.run([*MAIN, *flags], capture_output=True, text=True, check=False)


@pytest.mark.endurance
def test_a_row_comes_out_again_and_another_one_is_noticed(finished, tmp_path):
    run, workdir = tmp_path / "run", tmp_path / "again"
    shutil.copytree(finished[0], run)
    flags = (f"--run={run}", "--repeat_rows=1", f"--workdir={workdir}")
    first = repeat(*flags)
    assert first.returncode == 0, first.stderr
    stored = [json.loads(line) for line in (workdir / "repeated.jsonl").read_text().splitlines()]
    assert len({score["config_id"] for score in stored}) == 1
    assert all(score["within"] for score in stored)
    assert {"retention", "channel_nmse_db", "size_bytes"} <= {score["column"] for score in stored}

    name = stored[0]["config_id"]
    rows = [json.loads(line) for line in (run / "results.jsonl").read_text().splitlines()]
    for row in rows:
        if row["config_id"] == name:
            row["channel_nmse_db"] -= 3.0
    (run / "results.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    second = repeat(*flags)
    assert second.returncode == 1
    assert "channel_nmse_db" in (workdir / "summary.txt").read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "--run must be given"),
        (("--run=nowhere",), "is no folder"),
        (("--run=experiments/results/laptop", "--repeat_ids=zz"), "--repeat_ids=zz: 0 config"),
        (("--run=experiments/results/laptop", "--repeat_rows=0"), "repeat_rows"),
    ],
)
def test_bad_input_is_one_line(flags, message, tmp_path):
    done = repeat(*flags, f"--workdir={tmp_path / 'again'}")
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "again").exists()
