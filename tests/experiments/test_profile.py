"""The main that profiles: rows, a picture, who meets the targets, and bad input."""

import json
import sys

import pytest
from absl.testing import flagsaver

from experiments import profile
from experiments.launch import launch
from experiments.profiling import study
from tests import small
from tests.experiments import small_run


@pytest.fixture
def run(monkeypatch):
    """Runs the main in a folder."""

    def run(workdir, *arguments):
        monkeypatch.setattr(sys, "argv", ["profile.py", f"--workdir={workdir}", *arguments])
        with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
            launch(profile.main)
        return ended.value.code

    return run


def test_a_slot_is_the_time_on_the_air():
    """Four symbols of 16 samples and a prefix of 8, at 10 MHz."""
    assert study.slot_ms(small.LINK) == pytest.approx(4 * 24 / 10e6 * 1e3)


@pytest.mark.slow
def test_forms_side_by_side_and_targets(run, checkpoint, tmp_path, capsys):
    sweep = small_run.make(tmp_path / "sweep")
    workdir = tmp_path / "profile"
    few = ("--profile_calls=20", "--profile_batch_sizes=1,4", f"--checkpoint={checkpoint}")
    asked = ("--max_ber_loss=0.1", "--max_p95_ms=1000", f"--sweep={sweep}")
    assert run(workdir, *few, *asked) is None
    told = json.loads((workdir / "profile.json").read_text())
    forms = {row["form"] for row in told["rows"]}
    assert {"JAX float32", "ONNX float32", "ONNX int8", "LMMSE receiver (JAX)"} <= forms
    assert len(told["rows"]) == 2 * len(forms)
    for row in told["rows"]:
        assert 0 < row["p50_ms"] <= row["p95_ms"]
        assert row["memory_bytes"] > 0
        assert row["n_calls"] >= 20
    sizes = {row["form"]: row["size_bytes"] for row in told["rows"]}
    assert sizes["ONNX int8, 50% cut out"] < sizes["ONNX int8"] < sizes["ONNX float32"]
    # Bit errors of the other one grow by half.
    assert [row["config_id"] for row in told["candidates"]] == ["int8"]
    assert told["candidates"][0]["meets"]
    assert (workdir / "profile.png").stat().st_size > 10_000
    shown = capsys.readouterr().out
    assert "1 of" not in shown.splitlines()[0]
    assert "Of 2 configurations 2 have any size, 1 of these bit errors within 10%" in shown
    assert max(map(len, (workdir / "summary.txt").read_text().splitlines())) <= 100


@pytest.mark.parametrize(
    "arguments, parts",
    [
        (("--profile_batch_sizes=1,x",), ["--profile_batch_sizes", "'x'"]),
        (("--profile_batch_sizes=0",), ["--profile_batch_sizes", "'0'", "1 to 65536"]),
        (("--profile_batch_sizes=1,1",), ["--profile_batch_sizes", "different"]),
        (("--profile_batch_sizes=",), ["--profile_batch_sizes"]),
        (("--profile_calls=3",), ["profile_calls", "20"]),
        (("--cut_out=1",), ["cut_out", "0.95"]),
        (("--max_bytes=1000",), ["--sweep"]),
        (("--max_bytes=0",), ["max_bytes"]),
        (("--untrained=huge",), ["untrained", "small"]),
        (("--checkpoint=/nonexistent/model",), ["/nonexistent/model"]),
        (("--sweep=/nonexistent", "--max_bytes=9"), ["/nonexistent", "no sweep"]),
    ],
)
def test_bad_input_is_named(run, tmp_path, capsys, arguments, parts):
    assert run(tmp_path / "run", *arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert all(part in lines[0] for part in parts), lines
    assert not (tmp_path / "run").exists()
