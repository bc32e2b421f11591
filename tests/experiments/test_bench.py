"""The benchmark's tables and file, on the smallest run; its arithmetic; bad input."""

import json
import sys

import jax
import numpy as np
import pytest
from absl.testing import flagsaver

from experiments import bench
from experiments.benchmarks import machine, signal, signal_sionna, timing
from experiments.launch import launch
from wfm_jax.signal import theory

STAGES = ["bits", "modulation", "channel", "noise", "demapping", "demapping, generic", "all"]


def run(monkeypatch, workdir, *arguments):
    monkeypatch.setattr(sys, "argv", ["bench.py", f"--workdir={workdir}", *arguments])
    with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
        launch(bench.main)
    return ended.value.code


@pytest.fixture
def quick(monkeypatch):
    """Yardsticks without measuring them, and calls timed once."""
    monkeypatch.setattr(machine, "measure", lambda: machine.Machine(1e11, 1e9, 1e10))
    monkeypatch.setattr(timing.seconds, "__defaults__", (0.0,))
    monkeypatch.setattr(signal_sionna, "is_installed", lambda: False)


@pytest.mark.slow
def test_a_tiny_run_writes_what_is_promised(monkeypatch, capsys, tmp_path, quick):
    arguments = ("--bits_per_symbol=4", "--batch=2", "--block_length=8", "--rounds=2")
    assert not run(monkeypatch, tmp_path / "new" / "folder", "--suite=signal", *arguments)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines()[:-1])) <= 100
    assert signal_sionna.HOW_TO_GET_IT in shown
    result = json.loads((tmp_path / "new" / "folder" / "signal.json").read_text())
    assert result["suite"] == "signal"
    assert {"jax", "python"} <= set(result["versions"])
    assert result["cores"] >= 1
    assert result["devices"]
    assert result["settings"]["rounds"] == 2
    assert set(result["machine_per_second"]) == {"operations", "exponentials", "memory_bytes"}
    assert list(result["cases"]) == ["flat Rician 8, 16-QAM", "OFDM TDL-D 14x64, 16-QAM"]
    for case in result["cases"].values():
        assert len(case["seconds"]["ours"]) == 2
        assert case["megasymbols_per_second"]["ours"] > 0
        assert 0 <= case["bit_error_rate"]["ours"] < 0.5
        assert list(case["stages"]) == STAGES
        for cost in case["stages"].values():
            assert cost["ns_per_symbol"] > 0
            assert cost["bytes_per_symbol"] > 0
            assert cost["output_bytes_per_frame"] > 0
            assert {"arithmetic_share", "bandwidth_share", "temporary_bytes_per_frame"} <= set(cost)
    # 8 symbols of 4 int8 bits and 4 float32 LLRs.
    flat = result["cases"]["flat Rician 8, 16-QAM"]["stages"]
    assert flat["bits"]["output_bytes_per_frame"] == 8 * 4
    assert flat["demapping"]["output_bytes_per_frame"] == 8 * 4 * 4


def test_cases_are_those_that_speed_is_asked_of():
    asked = {case.name: case.target for case in signal.cases([4, 6, 8], 128, 1024)}
    assert asked == {
        "flat Rician 1024, 16-QAM": 8.0,
        "flat Rician 1024, 64-QAM": 25.0,
        "flat Rician 1024, 256-QAM": 60.0,
        "OFDM TDL-D 14x64, 16-QAM": 4.0,
        "OFDM TDL-D 14x64, 64-QAM": 4.0,
    }


@pytest.mark.parametrize(
    "channel, frame, k_db", [("flat", (4,), 10 * np.log10(5)), ("ofdm", (2, 16), 8.98)]
)
def test_whole_case_has_the_bit_errors_of_the_closed_form(channel, frame, k_db):
    """A z-score over frames, whose bits fade together."""
    case = signal.Case(channel, 6, 20_000, frame, None)
    bits, llr = jax.jit(signal.whole(case))(jax.random.key(3))
    wrong = np.asarray((llr > 0) != (bits == 1)).reshape(case.batch_size, -1)
    errors = wrong.mean(axis=1)
    ebn0_db = -10 * np.log10(signal.N0 * case.bits_per_symbol)
    z = (errors.mean() - theory.ber_rician(6, ebn0_db, k_db)) / (errors.std() / errors.size**0.5)
    assert abs(z) < 5


def test_calls_alternate_and_never_overlap():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    times = timing.in_turns(calls, rounds=3, shortest_s=0.0)
    assert order == ["a", "b"] * 4  # once to warm up
    assert {name: len(t) for name, t in times.items()} == {"a": 3, "b": 3}


def test_ratios_pair_rounds():
    """A round in which both are slow counts like any other."""
    assert timing.ratios([2.0, 40.0, 3.0], [1.0, 10.0, 1.0]) == {
        "median": 3.0,
        "least": 2.0,
        "most": 4.0,
    }


def test_yardsticks_are_positive():
    assert all(rate > 0 for rate in machine.measure(big_bytes=2**16, n_values=2**8))


@pytest.mark.parametrize(
    "argument, part",
    [
        ("--suite=speed", "suite"),
        ("--rounds=0", "rounds"),
        ("--bits_per_symbol=3", "bits_per_symbol"),
        ("--bits_per_symbol=four", "bits_per_symbol"),
        ("--batch=-1", "batch"),
    ],
)
def test_bad_input_is_one_line_and_code_2(monkeypatch, capsys, tmp_path, argument, part):
    assert run(monkeypatch, tmp_path / "run", argument) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert part in lines[0]
    assert not (tmp_path / "run").exists()
