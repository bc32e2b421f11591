"""The main of robustness: a whole run on a tiny model, and bad input."""

import json
import sys

import pytest
from absl.testing import flagsaver

from experiments import evaluate, robustness
from experiments.launch import launch


@pytest.fixture
def run(monkeypatch):
    """Runs the main in a folder."""

    def run(workdir, *arguments):
        monkeypatch.setattr(sys, "argv", ["robustness.py", f"--workdir={workdir}", *arguments])
        with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
            launch(robustness.main)
        return ended.value.code

    return run


@pytest.mark.parametrize(
    "argument, parts",
    [
        ("--studies=rooms", ["--studies=rooms", "conditions, views"]),
        ("--studies=", ["--studies", "empty list"]),
        ("--conditions=rain", ["--conditions=rain", "carrier", "k_low"]),
        ("--condition_snrs_db=10,x", ["--condition_snrs_db", "x"]),
        ("--condition_snrs_db=100", ["--condition_snrs_db", "-20 to 60"]),
        ("--constellation_frames=30", ["--constellation_frames=30", "multiple of 20"]),
        ("--constellation_frames=0", ["constellation_frames", "0"]),
        ("--view_subsets=csi+radar", ["--view_subsets=csi+radar", "grid, csi, spectrogram, iq"]),
        ("--robustness_seed=-1", ["robustness_seed", "-1"]),
        ("--checkpoint=/nonexistent/model", ["/nonexistent/model"]),
    ],
)
def test_a_bad_flag_is_named_with_what_is_allowed(run, tmp_path, capsys, argument, parts):
    assert run(tmp_path / "run", argument) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert all(part in lines[0] for part in parts), lines
    assert not (tmp_path / "run").exists()


def test_mains_share_the_flag_of_the_checkpoint():
    assert evaluate.checkpoint_flag.CHECKPOINT is robustness.checkpoint_flag.CHECKPOINT


@pytest.mark.endurance
def test_a_run_resumes_and_grows(run, checkpoint, tmp_path, capsys):
    few = (
        f"--checkpoint={checkpoint}",
        "--constellation_frames=20",
        "--conditions=timing_end,carrier",
        "--view_subsets=csi+iq",
    )
    at_12 = (*few, "--condition_snrs_db=12")
    folder = tmp_path / "run"
    assert not run(folder, *at_12, "--studies=views")
    views = (folder / "views.jsonl").read_text()
    rows = [json.loads(line) for line in views.splitlines()]
    assert len(rows) == 10 * 7
    assert rows[-1]["views"] == "csi+iq"
    assert {row["test_frames_hash"] for row in rows} == {rows[0]["test_frames_hash"]}
    assert not (folder / "robustness.jsonl").exists()

    assert not run(folder, *at_12, "--studies=views,conditions")
    assert (folder / "views.jsonl").read_text() == views
    rows = [json.loads(line) for line in (folder / "robustness.jsonl").read_text().splitlines()]
    assert [*dict.fromkeys(row["condition"] for row in rows)] == [
        "baseline",
        "timing_end",
        "carrier",
    ]
    assert len(rows) == 3 * 6 * 5
    text = capsys.readouterr().out
    assert "12 dB, 64-QAM" in text
    assert (folder / "summary.txt").read_text() in text
    for picture in ("conditions.png", "views.png"):
        assert (folder / picture).stat().st_size > 10_000

    other = (*few, "--condition_snrs_db=15", "--studies=views,conditions")
    assert run(folder, *other) == 2
    assert "--condition_snrs_db" in capsys.readouterr().err
