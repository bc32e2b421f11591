"""The main that adapts: bad input in one line; a run, killed and typed again."""

import json
import sys

import jax
import numpy as np
import pytest
from absl.testing import flagsaver

from experiments import adapt
from experiments.launch import launch
from wfm_jax.model import build, preset
from wfm_jax.results.adapt_rows import read_rows
from wfm_jax.results.progress import Silent
from wfm_jax.train.model_files import load_teacher, save_teacher

SMALL = (
    "--targets=low_k,as_trained",
    "--labelled_frames=40",
    "--labelled_sets=1",
    "--adapt_steps=4",
    "--adapt_looks=2",
    "--adapt_batch_size=8",
    "--adapt_test_frames=20",
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("pico") / "pico.safetensors"
    config = preset("pico")
    save_teacher(path, config, build(config, jax.random.key(0))[1], {})
    return path


@pytest.fixture
def call(monkeypatch, capsys, tmp_path, checkpoint):
    """Runs the main; returns its exit code and the lines on stderr."""

    def run(*arguments):
        command = ["adapt.py", f"--workdir={tmp_path / 'run'}", f"--checkpoint={checkpoint}"]
        monkeypatch.setattr(sys, "argv", [*command, *arguments])
        with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
            launch(adapt.main)
        return ended.value.code or 0, capsys.readouterr().err.strip().splitlines()

    return run


@pytest.mark.parametrize(
    ("argument", "parts"),
    [
        ("--targets=mars", ["--targets=mars", "nuremberg"]),
        ("--targets=", ["--targets", "empty list"]),
        ("--methods=probe,distil", ["--methods=distil", "lora"]),
        ("--labelled_frames=1", ["--labelled_frames=1", "2"]),
        ("--labelled_frames=many", ["--labelled_frames=many", "2"]),
        ("--labelled_sets=0", ["labelled_sets", "0"]),
        ("--lora_pattern=block_*/kernel", ["--lora_pattern", "block_*/kernel:2"]),
        ("--lora_pattern=block_*/kernel:0", ["--lora_pattern", "at least 1", "0"]),
        ("--lora_pattern=block_*/kernel:99", ["--lora_pattern", "1 to 16", "99"]),
        ("--lora_pattern=blocks/*:1", ["--lora_pattern", "blocks/*", "block_0/"]),
        ("--lora_scale=-1", ["lora_scale", "-1"]),
        ("--probe_pattern=tail_*", ["--probe_pattern", "tail_*"]),
        ("--held_back=1", ["held_back", "1"]),
        ("--adapt_looks=9999", ["--adapt_looks", "9999"]),
        ("--lora_learning_rate=0", ["lora_learning_rate", "0"]),
        ("--replay=/nonexistent.csv", ["--replay=/nonexistent.csv"]),
        ("--checkpoint=/nonexistent", ["/nonexistent"]),
    ],
)
def test_a_bad_flag_is_named_with_what_is_allowed(call, tmp_path, argument, parts):
    code, lines = call(argument)
    assert code == 2
    assert len(lines) == 1, lines
    assert all(part in lines[0] for part in parts), lines
    assert not (tmp_path / "run").exists()


def test_a_damaged_file_of_responses_is_named_with_its_line(call, tmp_path):
    (tmp_path / "csi.csv").write_text("CSI_DATA,AP,[1 2 3]\n")
    code, lines = call(f"--replay={tmp_path / 'csi.csv'}")
    assert code == 2
    assert len(lines) == 1
    assert f"--replay={tmp_path / 'csi.csv'}" in lines[0]
    assert "line 1" in lines[0]


@pytest.mark.endurance
def test_a_run_that_was_stopped_goes_on_where_it_was(call, tmp_path, monkeypatch, checkpoint):
    code, _ = call(*SMALL, "--targets=low_k")
    assert code == 0
    folder = tmp_path / "run"
    first = (folder / "adapt.jsonl").read_text()
    told = []
    monkeypatch.setattr(adapt, "Bar", lambda: Told(told))
    code, _ = call(*SMALL)
    assert code == 0
    assert told == [3]  # three methods on the other target, one set each
    assert (folder / "adapt.jsonl").read_text().startswith(first)
    rows, _ = read_rows(folder / "adapt.jsonl")
    assert {row["target"] for row in rows} == {"low_k", "as_trained"}
    assert {row["method"] for row in rows} == {"probe", "lora", "full"}
    assert (folder / "adapt.png").read_bytes().startswith(b"\x89PNG")
    assert "low_k: 1 labelled set of 40 frames" in (folder / "summary.txt").read_text()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["flags"]["checkpoint"] == load_teacher(checkpoint).hash
    for method in ("probe", "lora", "full"):
        adapted = load_teacher(folder / "models" / "low_k_40" / method)
        assert adapted.config.link.scenario.k_db_range == (-12.0, 0.0)
    row = next(r for r in rows if (r["target"], r["method"], r["score"]) ==
               ("low_k", "probe", "gmi_fraction"))  # fmt: skip
    assert np.isclose(row["gain"], row["after"] - row["before"], atol=1e-6)


class Told(Silent):
    """Notes how much there was to do."""

    def __init__(self, told):
        self.told = told

    def start(self, title, total, done=0):
        self.told.append(total)
