"""The benchmark's tables and file, on the smallest run; its arithmetic; bad input."""

import dataclasses
import json
import math
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import flagsaver
from rich.console import Console

from experiments import bench, teacher_flags
from experiments.benchmarks import (
    machine,
    shrink_suite,
    signal,
    signal_sionna,
    timing,
    train,
    train_suite,
    train_tables,
)
from experiments.launch import launch
from tests import small
from wfm_jax.model import build, preset, sample_batch
from wfm_jax.signal import theory
from wfm_jax.train import teacher
from wfm_jax.train.teacher import TeacherSettings

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
    monkeypatch.setattr(machine, "matrix_operations", lambda: 1e11)
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
        ("--shrink_share=1", "shrink_share"),
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


TINY = dataclasses.replace(
    preset("pico", small.LINK), heads=(2,), mlp_widths=(16,), views=("grid", "csi")
)


@pytest.mark.endurance
def test_a_tiny_training_run_writes_what_is_promised(monkeypatch, capsys, tmp_path, quick):
    monkeypatch.setattr(teacher_flags, "model", lambda: TINY)
    monkeypatch.setattr(train_suite, "is_installed", lambda: False)
    assert not run(monkeypatch, tmp_path, "--suite=train", "--batch=2", "--rounds=2")
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines()[:-1])) <= 100
    assert train_suite.HOW_TO_GET_IT in shown
    result = json.loads((tmp_path / "train.json").read_text())
    assert result["suite"] == "train"
    assert result["frames_per_step"] == 2
    assert result["settings"]["training"]["batch_size"] == 2
    assert result["compile_s"]["ours"] > 0
    # Parameters, two moments of each, Adam's and our count of steps.
    assert result["state_bytes"] == 4 * (3 * result["parameters"] + 2)
    assert result["temporary_bytes"] > 0
    assert list(result["parts_ms"]) == [
        "frames",
        "views",
        "forward",
        "forward, losses, backward",
        "optimizer",
    ]
    assert all(part_ms > 0 for part_ms in result["parts_ms"].values())
    assert list(result["implementations"]) == [train_suite.DRAWING, train_suite.GIVEN]
    for measured in result["implementations"].values():
        assert len(measured["seconds"]) == 2
        rate = measured["frames_per_second"] * measured["ms_per_step"] / 1e3
        assert rate == pytest.approx(result["frames_per_step"])
        share = result["bound_ms"] / measured["ms_per_step"]
        assert measured["share_of_peak"] == pytest.approx(share)


@pytest.mark.slow
def test_steps_on_given_frames_are_those_that_draw_them():
    """The same training twice, its own batches drawn inside or before: losses and updates."""
    work = train.begin(TINY, TeacherSettings(batch_size=2, steps=10))
    inside = train.drawing(work, 3).call()
    given = train.on_given(work, train.drawn(work, 3))()
    assert inside.keys() == given.keys()
    for task, loss in inside.items():
        assert given[task] == pytest.approx(float(loss), rel=1e-4), task


def test_the_step_is_that_of_pretraining():
    """Letter by letter: the program of the benchmark's loss is that of the teacher's."""
    work = train.begin(TINY, TeacherSettings(batch_size=2))
    key = jax.random.key(0)
    theirs = teacher._task_loss(work.config, work.apply, work.settings)
    ours = jax.make_jaxpr(lambda params, key: train.loss(work, params, train.draw(work, key)))
    assert str(ours(work.params, key)) == str(jax.make_jaxpr(theirs)(work.params, key))


def test_operations_are_those_of_the_gradients_products():
    """Three products for each one of a forward pass: what no gradient asks for (the views') and
    what the losses add (the demapper's sums) is a few percent."""

    def macs(jaxpr):
        total = 0
        for equation in jaxpr.eqns:
            if equation.primitive.name == "dot_general":
                (contracted, _), _ = equation.params["dimension_numbers"]
                out, left = equation.outvars[0].aval, equation.invars[0].aval
                each = math.prod(left.shape[i] for i in contracted) * math.prod(out.shape)
                total += each * (4 if jnp.iscomplexobj(out) else 1)
            inner = (getattr(value, "jaxpr", value) for value in equation.params.values())
            total += sum(macs(value) for value in inner if hasattr(value, "eqns"))
        return total

    work = train.begin(TINY, TeacherSettings(batch_size=2))
    batch = jax.eval_shape(lambda key: train.draw(work, key), jax.random.key(0))
    gradient = jax.grad(lambda params, batch: train.loss(work, params, batch)[0])
    exact = 2.0 * macs(jax.make_jaxpr(gradient)(work.params, batch).jaxpr)
    assert train.operations_per_step(work) == pytest.approx(exact, rel=0.1)


def test_training_tables_fit_and_say_what_did_not_run(capsys):
    ratio = {"median": 12.34, "least": 11.11, "most": 13.57}
    one = {
        "frames_per_second": 12345.6,
        "ms_per_step": 1234.5,
        "operations_per_second": 1.234e12,
        "share_of_peak": 0.123,
        "ratio": ratio,
    }
    result = {
        "parameters": 85_000_000,
        "frames_per_step": 1024,
        "matrix_operations_per_second": {"ours": 1e12, "PyTorch": 2e12},
        "matrix_operations_per_step": 1.5e12,
        "bound_ms": 750.0,
        "memory_ms": 700.0,
        "state_bytes": 2**30,
        "temporary_bytes": 2**34,
        "compile_s": {"ours": 123.4, train_suite.COMPILED: 321.0},
        "failures": {train_suite.COMPILED: "no compiler"},
        "implementations": dict.fromkeys(["ours", train_suite.GIVEN, train_suite.EAGER], one),
        "parts_ms": {"forward, losses, backward": 617.25},
    }
    console = Console(width=100)
    for table in train_tables.tables(result):
        console.print(table)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 100
    words = " ".join(shown.split())
    assert "2000 G a second, PyTorch's float32 matrix product" in words
    assert "does not run here" in words
    assert "50%" in shown  # 617.25 of 1234.5 ms


@pytest.mark.parametrize("argument", ["--compute=bfloat16", "--accumulate=2", "--remat"])
def test_what_the_peer_cannot_train_is_one_line_and_code_2(monkeypatch, capsys, tmp_path, argument):
    assert run(monkeypatch, tmp_path / "run", "--suite=train", argument) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert argument.split("=")[0] in lines[0]
    assert "--nopeer" in lines[0]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["rounds", "steps"])
def test_a_training_suite_of_nothing_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        train_suite.run(train_suite.Settings()._replace(**{name: 0}))


@pytest.mark.slow
def test_what_is_cut_out_computes_what_is_masked_with_fewer_operations():
    config = preset("pico")
    found = shrink_suite.variants(config, 0.5)
    inputs = sample_batch(config, key=jax.random.key(0), batch_size=2).inputs
    answers = {
        name: jax.jit(build(of.config, jax.random.key(0))[0])(of.params, inputs)
        for name, of in found.items()
    }
    masked, shrunk = answers[shrink_suite.MASKED], answers[shrink_suite.SHRUNK]
    chex.assert_trees_all_close(shrunk, masked, rtol=1e-4, atol=1e-5)
    assert not np.allclose(shrunk.channel, answers[shrink_suite.DENSE].channel)


@pytest.mark.endurance
def test_a_tiny_shrinking_run_writes_what_is_promised(monkeypatch, tmp_path, capsys):
    assert not run(monkeypatch, tmp_path, "--suite=shrink", "--shrink_models=pico", "--rounds=2")
    result = json.loads((tmp_path / "shrink.json").read_text())
    assert [case["batch_size"] for case in result["cases"]] == [1, 32]
    for case in result["cases"]:
        dense, masked, shrunk = case["variants"].values()
        assert dense["parameters"] == masked["parameters"] > shrunk["parameters"]
        assert dense["macs_per_frame"] == masked["macs_per_frame"] > shrunk["macs_per_frame"]
        assert dense["times_faster"] == {"median": 1.0, "least": 1.0, "most": 1.0}
    assert max(map(len, capsys.readouterr().out.splitlines()[:-1])) <= 100


@pytest.mark.endurance
def test_one_program_and_programs_of_their_own_find_the_same(monkeypatch, tmp_path, capsys):
    few = ("--cells_one_by_one=2", "--cell_frames_per_stratum=2")
    assert not run(monkeypatch, tmp_path, "--suite=sensitivity", *few)
    result = json.loads((tmp_path / "sensitivity.json").read_text())
    assert result["compiles"] == 1
    assert result["cells"] == 5 * result["tensors"] == 155
    assert result["largest_difference"] < 1e-3
    assert len(result["seconds_each"]) == 2
    assert max(map(len, capsys.readouterr().out.splitlines()[:-1])) <= 100
