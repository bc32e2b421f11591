"""The main of the failure modes: bad input, and whole runs on a tiny model, typed again."""

import json
import sys

import pytest
from absl.testing import flagsaver

from experiments import failure_modes, failure_modes_flags
from experiments.launch import launch
from tests import small
from wfm_jax.evaluate import failure_files, sensitive_tensors, wrong_calibration
from wfm_jax.results.failure_text import WIDTH


@pytest.fixture
def run(monkeypatch):
    """Runs the main in a folder."""

    def run(study, workdir, *arguments):
        given = ["failure_modes.py", f"--workdir={workdir}", f"--study={study}", *arguments]
        monkeypatch.setattr(sys, "argv", given)
        with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
            launch(failure_modes.main)
        return ended.value.code

    return run


@pytest.mark.parametrize(
    "study, argument, parts",
    [
        ("width", "--draws=1", ["study", "width", "student_size"]),
        ("calibration", "--activation_bits=8,x", ["--activation_bits=8,x", "whole numbers"]),
        ("calibration", "--activation_bits=16", ["--activation_bits=16", "2 to 8"]),
        ("calibration", "--activation_bits=", ["--activation_bits", "one or more"]),
        ("calibration", "--weight_bits=1", ["weight_bits", "1"]),
        ("calibration", "--draws=0", ["draws", "0"]),
        ("calibration", "--fitting_seed=1", ["fitting_seed", "1"]),
        ("calibration", "--test_frames_per_stratum=1", ["test_frames_per_stratum", "1"]),
        ("sensitive_tensors", "--counts=0,1", ["--counts=0,1", "1 to 1000"]),
        ("sensitive_tensors", "--counts=4,2", ["counts", "rising"]),
        ("sensitive_tensors", "--weight_bits=8", ["weight_bits", "8"]),
        ("student_size", "--cut_shares=0.5,1", ["--cut_shares=1", "below 1"]),
        ("student_size", "--cut_shares=half", ["--cut_shares=half"]),
        ("student_size", "--cut_shares=nan", ["--cut_shares=nan"]),
        ("student_size", "--student_steps=0", ["steps", "0"]),
        ("student_size", "--student_long_steps=-1", ["long_steps", "-1"]),
        ("student_size", "--student_seeds=-1", ["--student_seeds=-1", "0 to"]),
        ("student_size", "--checkpoint=/nonexistent/model", ["/nonexistent/model"]),
    ],
)
def test_a_bad_flag_is_named_with_what_is_allowed(run, tmp_path, capsys, study, argument, parts):
    assert run(study, tmp_path / "run", argument) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert all(part in lines[0] for part in parts), lines
    assert not (tmp_path / "run").exists()


def rows_of(folder, study):
    return [json.loads(line) for line in (folder / f"{study}.jsonl").read_text().splitlines()]


def check_table(folder, study, printed):
    text = (folder / f"{study}.txt").read_text()
    assert text in printed
    assert max(map(len, text.splitlines())) <= WIDTH


@pytest.mark.slow
def test_sensitive_tensors_resumes_and_another_run_is_refused(
    run, checkpoint, tmp_path, capsys, monkeypatch
):
    few = (f"--checkpoint={checkpoint}", "--test_frames_per_stratum=2", "--counts=1,2",
           "--ranking_frames_per_stratum=2", "--draws=1")  # fmt: skip
    folder = tmp_path / "run"
    assert not run("sensitive_tensors", folder, *few)
    rows = rows_of(folder, "sensitive_tensors")
    assert len(rows) == 4 + 2 * 2 * 3
    check_table(folder, "sensitive_tensors", capsys.readouterr().out)
    monkeypatch.setattr(sensitive_tensors, "measure", lambda *_, **__: 1 / 0)
    assert not run("sensitive_tensors", folder, *few)
    assert rows_of(folder, "sensitive_tensors") == rows
    capsys.readouterr()
    assert run("sensitive_tensors", folder, *few, "--weight_bits=3") == 2
    assert "--weight_bits" in capsys.readouterr().err
    assert run("calibration", folder, *few) == 2
    assert "--study" in capsys.readouterr().err


@pytest.mark.endurance
def test_calibration_goes_on_with_the_part_that_is_missing(
    run, checkpoint, tmp_path, capsys, monkeypatch
):
    few = (
        f"--checkpoint={checkpoint}",
        "--test_frames_per_stratum=2",
        "--draws=1",
        "--activation_bits=4",
    )
    folder = tmp_path / "run"
    sources = wrong_calibration.standard_sources(small.LINK)
    some = {name: sources[name] for name in (wrong_calibration.MATCHED, "snr_0")}
    monkeypatch.setattr(failure_modes_flags, "standard_sources", lambda _: some)
    with monkeypatch.context() as broken:
        broken.setitem(failure_files.PARTS, "weights", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run("calibration", folder, *few)
    first = rows_of(folder, "calibration")
    assert {row["part"] for row in first} == {"activations"}
    assert not (folder / "calibration.txt").exists()
    monkeypatch.setitem(failure_files.PARTS, "activations", lambda *_, **__: 1 / 0)
    assert not run("calibration", folder, *few)
    rows = rows_of(folder, "calibration")
    assert rows[: len(first)] == first
    assert {row["part"] for row in rows[len(first) :]} == {"weights"}
    check_table(folder, "calibration", capsys.readouterr().out)


@pytest.mark.endurance
def test_student_size_runs_a_sweep_and_compares(run, checkpoint, tmp_path, capsys):
    few = (f"--checkpoint={checkpoint}", "--test_frames_per_stratum=2", "--cut_shares=0.5",
           "--student_seeds=0,1", "--student_steps=2", "--student_long_steps=3")  # fmt: skip
    folder = tmp_path / "run"
    assert not run("student_size", folder, *few)
    rows = rows_of(folder, "student_size")
    assert len(rows) == 5
    assert {row["params_total"] for row in rows} == {rows[0]["params_total"]}
    check_table(folder, "student_size", capsys.readouterr().out)
    swept = (folder / "results.jsonl").read_text()
    assert not run("student_size", folder, *few)
    assert (folder / "results.jsonl").read_text() == swept
    assert rows_of(folder, "student_size") == rows
