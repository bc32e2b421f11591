"""The main that exports: which configuration, which files, and that they say the same."""

import json
import sys

import pytest
from absl.testing import flagsaver

from experiments import export
from experiments.launch import launch
from tests.experiments import small_run
from wfm_jax.export import forms


@pytest.fixture
def run(monkeypatch):
    """Runs the main in a folder."""

    def run(workdir, *arguments):
        monkeypatch.setattr(sys, "argv", ["export.py", f"--workdir={workdir}", *arguments])
        with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
            launch(export.main)
        return ended.value.code

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_run.make(tmp_path_factory.mktemp("sweep") / "run")


@pytest.mark.slow
def test_all_forms_of_the_best_one(run, folder, capsys):
    """Weights come back bit for bit, programs say the same, int8 products but for ties."""
    assert run(folder, "--under_bytes=1e6") is None
    out = folder / "export" / "int8"
    told = json.loads((out / "export.json").read_text())
    assert set(told["files"]) == set(forms.FILES.values())
    shown = capsys.readouterr().out
    for name, size in told["files"].items():
        assert (out / name).stat().st_size == size
        assert name in shown
    differ = {name: value["bits"] for name, value in told["differ"].items()}
    assert told["differ"]["model.wfm"]["channel_db"] == float("-inf")
    assert differ["model.stablehlo"] < 1e-3
    assert differ["model.onnx"] < 0.01
    assert told["differ"]["model.onnx"]["channel_db"] < -40.0
    assert not list(out.glob(".partial*"))
    line = told["trtexec"]
    assert f"--onnx={out / 'model_tensorrt.onnx'} " in line
    assert "--minShapes=modulation:1,grid:1x8x4x16," in line
    assert "--maxShapes=modulation:32,grid:32x8x4x16," in line


def test_the_forms_asked_for_of_the_one_asked_for(run, folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(folder, "--row=int4", "--forms=packed,onnx", f"--out={out}") is None
    assert sorted(p.name for p in out.iterdir()) == ["export.json", "model.onnx", "model.wfm"]
    shown = capsys.readouterr().out
    assert "Q 4b" in shown
    assert "model.onnx" in shown
    assert (out / "model.wfm").read_bytes() == (folder / "files" / "int4.wfm").read_bytes()


@pytest.mark.parametrize(
    "arguments, parts",
    [
        ((), ["--row", "--under_bytes", "--within"]),
        (("--row=int8", "--within=0.1"), ["one of --row"]),
        (("--row=int",), ["--row", "2 configurations"]),
        (("--under_bytes=10",), ["--under_bytes", "at most 10 bytes"]),
        (("--within=0.001",), ["--within", "keeps 99.9%"]),
        (("--within=2",), ["within"]),
        (("--row=int8", "--forms=tflite"), ["--forms", "'tflite'", "stablehlo"]),
        (("--row=int8", "--forms="), ["--forms"]),
    ],
)
def test_bad_input_is_named(run, folder, tmp_path, capsys, arguments, parts):
    assert run(folder, *arguments, f"--out={tmp_path / 'out'}") == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert all(part in lines[0] for part in parts), lines
    assert not (tmp_path / "out").exists()


def test_a_damaged_packed_file_leaves_nothing(run, folder, tmp_path, capsys):
    damaged = small_run.make(tmp_path / "damaged")
    path = damaged / "files" / "int4.wfm"
    path.write_bytes(path.read_bytes()[:-1])
    assert run(damaged, "--row=int4", "--forms=packed,onnx") == 2
    assert "int4.wfm: size" in capsys.readouterr().err
    assert not (damaged / "export").exists()
