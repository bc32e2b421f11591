"""The sweep from the shell: what it leaves, and that stops and torn rows lose nothing."""

import signal
import time

import jax
import numpy as np
import pytest

from tests.experiments import sweep_process
from wfm_jax.export.load_model import load_model

TRAIN = (
    "--teacher=train",
    "--model=pico",
    "--teacher_steps=40",
    "--teacher_chunk_steps=10",
    "--teacher_batch_size=8",
)


def stop_when(process, marker, signum, timeout_s=300):
    """Sends a signal when a line that holds the marker comes out; returns code and output."""
    seen, until = "", time.monotonic() + timeout_s
    while marker not in seen:
        assert time.monotonic() < until, seen
        line = process.stdout.readline()
        assert line, seen
        seen += line
    process.send_signal(signum)
    rest, _ = process.communicate(timeout=300)
    return process.returncode, seen + rest


@pytest.mark.slow
def test_a_run_leaves_rows_tables_a_picture_and_files(finished):
    import pyarrow.parquet

    workdir, out = finished
    found = sweep_process.rows(workdir)
    references = [row for row in found.values() if row["kind"] == "reference"]
    assert [row["pipeline"] for row in references] == ["teacher", "null", "ls", "lmmse", "genie"]
    configurations = [row for row in found.values() if row["kind"] == "configuration"]
    assert len(configurations) == 1 + 3 * 2  # `none` is one at both operating points
    for row in configurations:
        assert row["size_bytes"] == (workdir / "files" / f"{row['config_id']}.wfm").stat().st_size
        assert row["status"] == "ok"
        model = load_model(workdir / "files" / f"{row['config_id']}.wfm")
        total = sum(np.size(w) for w in jax.tree.leaves(model.params))
        assert (model.config.d_model, total) == (16, row["params_total"])
    shown = pyarrow.parquet.read_table(workdir / "results.parquet").to_pylist()
    assert len(shown) == 5 + 4 * 2  # and shown at each
    assert (workdir / "pareto.png").read_bytes().startswith(b"\x89PNG")
    assert "compiled 1 time" in out
    summary = (workdir / "summary.txt").read_text()
    assert "P-Q-KD" in summary
    assert max(map(len, summary.splitlines())) <= 100
    curves = pyarrow.parquet.read_table(workdir / "curves.parquet").to_pylist()
    assert {row["config_id"] for row in curves} == set(found)


@pytest.mark.slow
def test_the_null_row_is_the_model_with_all_prunable_weights_zero(finished):
    found = {row["pipeline"]: row for row in sweep_process.rows(finished[0]).values()}
    assert found["null"]["sparsity_achieved"] == 1.0
    assert found["null"]["retention"] in (0.0, None)
    assert found["teacher"]["retention"] in (1.0, None)
    assert found["teacher"]["snr_loss_db"] == 0.0


@pytest.mark.slow
def test_the_same_command_again_runs_nothing(finished, start):
    workdir, _ = finished
    before = (workdir / "results.jsonl").read_bytes()
    out, _ = start(workdir).communicate(timeout=300)
    assert "7 of 7 configurations are finished" in out
    assert (workdir / "results.jsonl").read_bytes() == before


@pytest.mark.endurance
def test_stopped_twice_and_resumed_it_ends_as_if_undisturbed(start, tmp_path):
    """The training of a teacher is a part of it."""
    out, _ = start(tmp_path / "undisturbed", teacher=TRAIN).communicate(timeout=500)
    expected = sweep_process.rows(tmp_path / "undisturbed")
    assert len(expected) == 5 + 7, out
    workdir = tmp_path / "stopped"
    code, out = stop_when(start(workdir, teacher=TRAIN), "teacher: 10/40", signal.SIGINT)
    assert code == 130, out
    again = start(workdir, teacher=TRAIN)
    code, out = stop_when(again, "pruning and quantizing", signal.SIGTERM)
    assert code == 75, out
    torn = (workdir / "results.jsonl").read_bytes()
    (workdir / "results.jsonl").write_bytes(torn + b'{"config_id":"torn')
    process = start(workdir, teacher=TRAIN)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    assert "torn row" in out
    sweep_process.same_rows(sweep_process.rows(workdir), expected)


@pytest.mark.slow
def test_other_flags_are_refused_and_growing_an_axis_resumes(finished, start):
    workdir, _ = finished
    process = start(workdir, "--batch_size=16")
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "--batch_size: 8 -> 16" in out
    process = start(workdir, "--pipelines=none,P-Q,P-Q-KD,Q-P-FT,P")
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    assert "7 of 9 configurations are finished" in out
