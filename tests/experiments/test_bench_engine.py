"""The suite `engine`: what its programs train, its arithmetic, its file."""

import dataclasses
import json
import pathlib
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import flagsaver

from experiments import bench, bench_flags
from experiments.benchmarks import (
    engine,
    engine_beside,
    engine_bound,
    engine_cells,
    engine_parts,
    engine_peer,
    engine_suite,
    machine,
    timing,
)
from experiments.benchmarks.engine_cells import Cell, Clock
from experiments.launch import launch
from tests import small
from wfm_jax import compress
from wfm_jax.model import preset
from wfm_jax.results.progress import Silent

TINY = dataclasses.replace(
    preset("pico", small.LINK), heads=(2,), mlp_widths=(16,), views=("grid", "csi")
)


ONE = engine.devices_of(engine.MAP)


@pytest.fixture(scope="module")
def work():
    return engine.begin(TINY, batch_size=2)


@pytest.fixture(scope="module")
def stack(work):
    return engine.students(work, 4)


def test_configurations_differ_and_do_not_depend_on_how_many_there_are(work, stack):
    students, recipes = stack
    chex.assert_trees_all_equal(engine_cells.take(engine.students(work, 3), 2),
                                engine_cells.take(stack, 2))  # fmt: skip
    keep, bits = students.compression[0].keep, students.compression[1].bits
    removed = jax.vmap(compress.sparsity_achieved)(keep)
    assert np.allclose(removed, 0.9 * ((np.arange(4) * engine._GOLDEN) % 1.0), atol=1e-3)
    assert all(np.array_equal(of, [2, 3, 4, 5]) for of in bits.values())
    assert all(len(set(of.tolist())) == 4 for of in recipes[:3])


@pytest.mark.endurance
def test_strategies_take_the_same_step(work, stack):
    """One step of all from the same state: rounding apart, and all of them moved."""
    key, first = jax.random.key(1), np.int32(0)
    moved = [
        jax.jit(engine.chunk(work, strategy, 1))(*stack, work.teacher, key, first)
        for strategy in ("map", "vmap", "3", "spread")
    ]
    for other in moved[1:]:
        chex.assert_trees_all_close(moved[0].loss, other.loss, rtol=1e-4)
        chex.assert_trees_all_close(moved[0].params, other.params, atol=3e-6)
    assert np.all(moved[0].step == 1)
    assert np.all(moved[0].loss > 0)


@pytest.mark.endurance
def test_given_lessons_are_those_of_the_stream(work, stack):
    """Two steps of the first configuration, frames drawn inside or before."""
    inside = jax.jit(engine.chunk(work, "map", 2))
    one = engine_cells.take(stack, 1)
    ours = inside(*one, work.teacher, jax.random.key(1), np.int32(0))
    student, recipe = jax.tree.map(lambda x: x[0], one)
    given = engine.stacked(engine.lessons(work, 2))
    for answers in (True, False):
        steps = jax.jit(engine.on_given(work, 2, answers=answers))
        theirs = steps(student, recipe, work.teacher, given)
        chex.assert_trees_all_close(ours.loss[0], theirs.loss, rtol=1e-4)


@pytest.mark.slow
def test_programs_tell_their_memory_and_run(work, stack):
    program = engine.compile_later(work, "map", stack, 2)()
    assert (program.width, program.n_steps) == (4, 2)
    state = sum(x.nbytes for x in jax.tree.leaves((stack, work.teacher)))
    assert program.argument_bytes == pytest.approx(state, rel=0.01)
    assert program.temporary_bytes > 0
    running = engine.Running(work, program, stack)
    running()
    running()
    assert running.n_diverged == 0
    assert np.all(running._students.step == 4)
    parts = engine_parts.parts(program.compiled, running)
    assert sum(part.share for part in parts) == pytest.approx(1.0)
    named = {(part.phase, part.file) for part in parts if part.seconds > 0.0}
    assert {(phase, "model/dense.py") for phase in engine_parts.PHASES} <= named
    assert (engine_parts.ONCE, "signal/ofdm.py") in named
    assert sum(part.share for part in parts if part.file) > 0.8


PROGRAM = """HloModule jit_chunk

FileNames
1 "/home/wfm_jax/experiments/loop.py"
2 "PACKAGE/model/dense.py"
3 "/elsewhere/jax/lax.py"

FunctionNames
1 "f"

FileLocations
1 {file_name_id=1 function_name_id=1 line=7}
2 {file_name_id=2 function_name_id=1 line=8}
3 {file_name_id=3 function_name_id=1 line=9}

StackFrames
1 {file_location_id=1 parent_frame_id=1}
2 {file_location_id=2 parent_frame_id=2}
3 {file_location_id=3 parent_frame_id=3}

%body {
  %dot.1 = f32[2] dot(%a), metadata={op_name="jit(f)/while/body/dot" stack_frame_id=3}
  %dot.2 = f32[2] dot(%a), metadata={op_name="jit(f)/while/body/while/body/dot" stack_frame_id=1}
  ROOT %add = f32[2] add(%a), metadata={op_name="jit(f)/while/body/transpose(f)" stack_frame_id=2}
  %copy = f32[2] copy(%a)
}
"""


@pytest.mark.parametrize("checkout", [engine_parts.PACKAGE, "/another/checkout/wfm_jax"])
def test_operations_are_those_of_the_innermost_file_of_the_package(checkout):
    """Of whichever checkout: JAX keeps programs with the paths they were compiled from."""
    program = PROGRAM.replace("PACKAGE", str(checkout))
    assert engine_parts.origins(program) == {
        "dot.1": (engine_parts.ONCE, "model/dense.py"),
        "dot.2": (engine_parts.FORWARD, ""),
        "add": (engine_parts.BACKWARD, "model/dense.py"),
        "copy": ("", ""),
    }


@pytest.mark.slow
def test_a_larger_teacher_is_asked_and_counted():
    larger = dataclasses.replace(TINY, heads=(2, 2), mlp_widths=(16, 16))
    work = engine.begin(TINY, batch_size=2, teacher=larger)
    assert engine.teacher_operations(work) > 1.15 * engine.forward_operations(work)
    (lesson,) = engine.lessons(work, 1)
    answer = work.trainer.problem.apply(work.params, lesson.inputs)
    chex.assert_trees_all_equal_shapes(lesson.teacher, answer)


def test_cost_counts_passes_over_parameters():
    """8 passes: read and write parameters and two moments, write and read the gradient."""
    compression = {"keep": np.ones((3, 4), bool), "scale": np.ones((1, 4), np.float32)}
    cost = engine_bound.cost(7.0, 14.0, 100, compression, 1000)
    assert cost == engine_bound.Cost(21.0, 14.0, 8 * 400 + 12 + 16, 2000.0)
    assert cost.arithmetic_s(2, 10.0) == pytest.approx(2.8)
    assert cost.memory_s(4.0) == pytest.approx((3228 + 2000) / 4)


def test_precision_is_told_from_the_error():
    def rounded(bits):
        def product(a, b):
            a, b = (_mantissa(x, bits).astype(np.float64) for x in (a, b))
            return a @ b

        return engine_bound.precision(product)["computed_in"]

    assert [rounded(23), rounded(10), rounded(7)] == ["float32", "TF32", "bfloat16"]
    ours = engine_bound.precision(jax.jit(jnp.matmul))
    assert ours["computed_in"] in ("float32", "TF32", "bfloat16")
    assert 0 < ours["error"] < 0.01


def _mantissa(x, bits):
    """Rounded to so many bits after the leading one."""
    shift = 23 - bits
    raw = x.view(np.uint32)
    raw = raw + np.uint32((1 << shift) >> 1)
    return (raw & ~np.uint32((1 << shift) - 1)).view(np.float32)


def test_plan_is_in_rising_order_and_has_no_chunk_of_everything():
    cells = engine_cells.plan(["a"], ["float32"], ["map", "vmap", "4"], [16, 1, 4])
    assert [cell.width for cell in cells] == sorted(cell.width for cell in cells)
    assert [cell.width for cell in cells if cell.strategy == "4"] == [16]
    assert [cell.width for cell in cells if cell.strategy == "map"] == [1, 4, 16]
    assert {c.strategy: c.at_a_time for c in cells if c.width == 16} == {
        "map": 1,
        "vmap": 16,
        "4": 4,
    }


def test_calls_have_fewer_steps_where_there_are_many_configurations():
    assert [engine_cells.steps_of(width, 10) for width in (1, 16, 32, 64, 1024)] == [
        10, 10, 5, 2, 1,
    ]  # fmt: skip


def test_memory_is_expected_in_proportion():
    narrow = engine.Program(None, 2, 1, 0.0, 100, 1000, ONE)
    expected = {
        strategy: engine_cells._expected_bytes(narrow, Cell("a", "float32", strategy, 8))
        for strategy in ("map", "vmap", "2")
    }
    assert expected == {"map": 400 + 1000, "vmap": 400 + 4000, "2": 400 + 1000}


@pytest.mark.parametrize("limit, compiled", [(1, 1), (10**12, 2)])
def test_what_does_not_fit_is_not_compiled(monkeypatch, work, stack, limit, compiled):
    jobs = []

    def later(work, strategy, stack, steps):
        jobs.append(strategy)
        width = stack[0].step.shape[0]
        return lambda: engine.Program(None, width, steps, 0.0, 100 * width, 1000 * width, ONE)

    monkeypatch.setattr(engine, "compile_later", later)
    monkeypatch.setattr(engine_cells, "memory_limit", lambda: limit * 1500)
    cells = engine_cells.plan(["a"], ["float32"], ["vmap"], [1, 4])
    works, stacks = {("a", "float32"): work}, {"a": stack}
    found = engine_cells.compile_cells(works, stacks, cells, 1, Clock(1e6), Silent())
    assert len(jobs) == compiled
    assert isinstance(found[cells[0]], engine.Program)
    if compiled == 1:
        assert "GiB" in found[cells[1]]


def test_without_time_nothing_is_compiled(monkeypatch, work, stack):
    cells = engine_cells.plan(["a"], ["float32"], ["vmap"], [1])
    args = ({("a", "float32"): work}, {"a": stack}, cells, 1, Clock(0.0), Silent())
    assert engine_cells.compile_cells(*args) == {cells[0]: engine_cells.NO_TIME}


class Fake:
    """A program that runs its students nowhere, or out of memory."""

    def __init__(self, error=None):
        self.error = error

    def __call__(self, students, *rest):
        if self.error:
            raise self.error
        return students


def test_rounds_are_paired_and_what_does_not_answer_is_dropped(monkeypatch, work, stack):
    monkeypatch.setattr(timing.seconds, "__defaults__", (0.0,))
    program = engine.Program(Fake(), 4, 2, 1.5, 10, 20, ONE)

    def silent():
        raise engine_peer.PeerError("ended: gone")

    beside = {"alone": lambda: 3.0, "gone": silent}
    row = engine_cells.measure(work, program, stack, beside, 3, Clock(1e6))
    assert len(row["seconds"]) == 3
    assert row["beside"]["alone"]["seconds"] == [3.0] * 3
    assert row["beside"]["alone"]["ratio"]["most"] == pytest.approx(3.0 / min(row["seconds"]))
    assert row["lost"] == {"gone": "ended: gone"}
    assert list(beside) == ["alone"]
    short = engine_cells.measure(work, program, stack, beside, 3, Clock(0.0))
    assert len(short["seconds"]) == 1


def test_out_of_memory_and_divergence_are_rows(work, stack):
    error = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 1 TiB\nand more")
    program = engine.Program(Fake(error), 4, 2, 1.5, 10, 20, ONE)
    row = engine_cells.measure(work, program, stack, {}, 1, Clock(1e6))
    assert row == {"skipped": "did not run: RESOURCE_EXHAUSTED: 1 TiB"}
    still = (stack[0]._replace(diverged_at=np.array([-1, 3, -1, 0])), stack[1])
    row = engine_cells.measure(work, program._replace(compiled=Fake()), still, {}, 1, Clock(1e6))
    assert row == {"skipped": "2 students diverged and stood still"}


def run(monkeypatch, workdir, *arguments):
    monkeypatch.setattr(sys, "argv", ["bench.py", f"--workdir={workdir}", *arguments])
    with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
        launch(bench.main)
    return ended.value.code


@pytest.mark.endurance
def test_a_tiny_run_writes_what_is_promised(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(machine, "measure", lambda **_: machine.Machine(1e11, 1e9, 1e10))
    monkeypatch.setattr(engine_bound, "matrix_operations", lambda *_: 1e11)
    monkeypatch.setattr(timing.seconds, "__defaults__", (0.0,))
    monkeypatch.setattr(bench_flags, "preset", lambda name: TINY)
    monkeypatch.setattr(engine_peer, "is_installed", lambda: False)
    asked = ("--engine_configurations=1,3", "--engine_strategies=map,2", "--batch=2", "--rounds=2")
    assert not run(monkeypatch, tmp_path, "--suite=engine", "--engine_models=pico", *asked)
    shown = capsys.readouterr().out
    assert engine_suite.HOW_TO_GET_IT in shown
    result = json.loads((tmp_path / "engine.json").read_text())
    assert (tmp_path / "engine.png").read_bytes().startswith(b"\x89PNG")
    assert [(c["strategy"], c["width"]) for c in result["cells"]] == [
        ("map", 1), ("map", 3), ("2", 3),
    ]  # fmt: skip
    for cell in result["cells"]:
        assert len(cell["seconds"]) == 2
        assert cell["configuration_steps_per_second"] * cell["ms"] == pytest.approx(1e3)
        assert cell["bound_ms"] == max(cell["arithmetic_ms"], cell["memory_ms"])
        assert cell["share_of_bound"] == pytest.approx(cell["bound_ms"] / cell["ms"])
        ours = [engine_beside.LOOPED, engine_beside.FRAMES_GIVEN, engine_beside.ALL_GIVEN]
        assert list(cell["beside"]) == ours
    cost = result["models"]["pico"]["float32"]
    assert cost["student_operations"] == 3 * cost["teacher_operations"]
    profile = cost["profile"]
    assert profile["thread_ms"] == pytest.approx(sum(p["thread_ms"] for p in profile["parts"]))
    assert "Where the time of a configuration-step goes" in shown


@pytest.mark.parametrize(
    "argument",
    [
        "--engine_models=huge",
        "--engine_configurations=0",
        "--engine_configurations=many",
        "--engine_strategies=scan",
        "--engine_compute=float16",
        "--engine_budget_s=0",
    ],
)
def test_bad_input_is_one_line_and_code_2(monkeypatch, capsys, tmp_path, argument):
    assert run(monkeypatch, tmp_path / "run", "--suite=engine", argument) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert argument.split("=")[0].strip("-") in lines[0]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("field", ["rounds", "steps", "batch_size"])
def test_a_suite_of_nothing_is_refused(field):
    settings = engine_suite.Settings({"pico": TINY}, pathlib.Path("nowhere"))
    with pytest.raises(ValueError, match=f"{field} must be at least 1, got 0"):
        engine_suite.run(settings._replace(**{field: 0}))
    with pytest.raises(ValueError, match="widths must not be empty"):
        engine_suite.run(settings._replace(widths=()))


def test_a_process_that_ends_says_why(tmp_path, monkeypatch):
    """The first line it cannot print is the last that it printed."""
    monkeypatch.setattr(engine_peer, "MODULE", "no_such_module")
    task = engine_peer.Task({}, "cpu", compiled=False, tf32=True)
    peer = engine_peer.Peer(task, tmp_path, "peer")
    with pytest.raises(engine_peer.PeerError, match="no_such_module"):
        peer.wait(60.0)
    peer.close()
    assert not list(tmp_path.glob("*.pickle"))
