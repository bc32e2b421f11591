"""Evaluations from the shell: what they leave, what they say, and bad input."""

import json
import subprocess
import sys

import jax
import numpy as np
import pyarrow.parquet
import pytest
from absl.testing import flagsaver

from experiments import evaluate
from experiments.launch import launch
from tests import evaluated, small
from wfm_jax.evaluate import evaluation_files
from wfm_jax.evaluate.frames import TestSet as Frames
from wfm_jax.evaluate.frames import frames_hash
from wfm_jax.model import param_shapes, preset
from wfm_jax.train.model_files import save_teacher

FILES = {
    "manifest.json", "evaluation.jsonl", "evaluation.parquet", "calibration.parquet", "summary.txt",
    "ber.png", "accuracy.png", "confusion.png", "nmse.png", "calibration.png", "link_state.png",
}  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A pico model of random parameters, of a link whose frames take milliseconds."""
    path = tmp_path_factory.mktemp("models") / "pico.safetensors"
    config = preset("pico", small.LINK)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape), param_shapes(config))
    save_teacher(path, config, small.moved(zeros, 0.1), {"steps": 0})
    return path


@pytest.fixture
def call(monkeypatch, capsys, tmp_path, checkpoint):
    """Runs the main in this process; returns its exit code, output and errors."""

    def run(*arguments, workdir=tmp_path / "run"):
        flags = [f"--workdir={workdir}", f"--checkpoint={checkpoint}", "--evaluation_frames=3"]
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *flags, *arguments])
        code = 0
        with flagsaver.flagsaver():
            try:
                launch(evaluate.main)
            except SystemExit as ended:
                code = ended.code
        said = capsys.readouterr()
        return code or 0, said.out, said.err

    return run


@pytest.fixture
def by_hand(monkeypatch):
    """Nothing is simulated: receivers are made by hand; keeps the study."""
    studies = []

    def measure(study, config, params, *, progress, check):
        studies.append(study)
        return evaluated.everybody(study)

    monkeypatch.setattr(evaluation_files, "measure", measure)
    return studies


def rows(folder):
    return [json.loads(line) for line in (folder / "evaluation.jsonl").read_text().splitlines()]


def check_run(folder, out, snrs_db):
    """The files, their schema, and what was printed."""
    assert {path.name for path in folder.iterdir()} - {".lock"} == FILES
    found = rows(folder)
    assert {row["snr_db"] for row in found} == set(snrs_db)
    assert {len(row["test_frames_hash"]) for row in found} == {16}
    assert len({row["teacher_hash"] for row in found}) == 1
    assert pyarrow.parquet.read_table(folder / "evaluation.parquet").to_pylist() == found
    bins = pyarrow.parquet.read_table(folder / "calibration.parquet").to_pylist()
    assert {row["receiver"] for row in bins} == {"model", "lmmse", "genie"}
    summary = (folder / "summary.txt").read_text()
    assert summary.strip() in out
    assert max(map(len, summary.splitlines())) <= 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where this module's run lies."""
    return tmp_path_factory.mktemp("runs") / "run"


@pytest.fixture
def finished(call, by_hand, folder):
    """That run's folder; it is run once."""
    if not folder.exists():
        code, out, error = call("--snrs_db=20,10", workdir=folder)
        assert code == 0, error
        check_run(folder, out, (10.0, 20.0))
        assert by_hand.pop().snrs_db == (10.0, 20.0)
    return folder


def test_again_with_other_classifiers_only_one_picture_is_another(call, finished, tmp_path):
    point = {"receiver": "mlp", "params": 20_900, "snr_db": 10.0, "accuracy": 0.6, "ci95": 0.02}
    (tmp_path / "baselines.jsonl").write_text(f"{json.dumps(point)}\n")
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    classifiers = f"--classifiers={tmp_path / 'baselines.jsonl'}"
    code, _, error = call("--snrs_db=20,10", classifiers, workdir=finished)
    assert code == 0, error
    after = {path.name: path.read_bytes() for path in finished.iterdir()}
    assert {name for name in after if after[name] != before[name]} - {".lock"} == {"accuracy.png"}


def test_the_models_own_link_is_measured(finished):
    """The hash of the frames is that of the checkpoint's link."""
    test_set = Frames(small.LINK, seed=1, frames_per_stratum=3)
    assert {row["test_frames_hash"] for row in rows(finished)} == {frames_hash(test_set)}


def test_other_flags_are_refused_and_named(call, by_hand, finished):
    code, _, error = call("--snrs_db=10", workdir=finished)
    assert code == 2
    assert "--snrs_db" in error
    assert "--overwrite" in error
    assert not by_hand


@pytest.mark.parametrize(
    "argument, parts",
    [
        ("--checkpoint=/nowhere/teacher", ["/nowhere/teacher"]),
        ("--snrs_db=low", ["--snrs_db=low", "first:last:step"]),
        ("--snrs_db=", ["--snrs_db", "at least one number"]),
        ("--snrs_db=10:0:5", ["--snrs_db=10:0:5", "first <= last"]),
        ("--evaluation_frames=1", ["evaluation_frames", "1"]),
        ("--evaluation_seed=-1", ["evaluation_seed", "-1"]),
        ("--classifiers=/nowhere.jsonl", ["--classifiers=/nowhere.jsonl"]),
        ("--snrs_decibel=10", ["snrs_decibel"]),
        ("nano", ["'nano'"]),
    ],
)
def test_bad_input_is_a_line_and_ends_with_two(call, by_hand, tmp_path, argument, parts):
    code, _, error = call(argument)
    assert code == 2
    lines = error.strip().splitlines()
    assert len(lines) == 1, lines
    assert all(part in lines[0] for part in parts), lines[0]
    assert not (tmp_path / "run").exists()
    assert not by_hand


@pytest.mark.parametrize("text", ["", "no json", "[1]", '{"receiver": "mlp", "snr_db": 3}'])
def test_a_file_of_no_classifiers_is_refused(call, by_hand, tmp_path, text):
    (tmp_path / "points").write_text(text)
    code, _, error = call(f"--classifiers={tmp_path / 'points'}")
    assert code == 2
    assert "--classifiers=" in error
    assert "receiver, snr_db and accuracy" in error


def test_help_teaches():
    command = [sys.executable, "-m", "experiments.evaluate", "--help"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    for word in ("python -m experiments.evaluate", "--checkpoint", "--snrs_db", "pretrained"):
        assert word in ended.stdout
    assert max(map(len, ended.stdout.splitlines())) <= 100


@pytest.mark.slow
def test_from_the_checkpoint_to_the_pictures(call, tmp_path):
    """Nothing made by hand."""
    code, out, error = call("--snrs_db=10,20")
    assert code == 0, error
    check_run(tmp_path / "run", out, (10.0, 20.0))
