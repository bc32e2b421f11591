"""The main of sensitivity: bad input, and a whole run on a tiny model, typed again."""

import json
import sys

import pytest
from absl.testing import flagsaver

from experiments import sensitivity
from experiments.launch import launch
from wfm_jax.evaluate import sensitivity_study
from wfm_jax.results.sensitivity_rows import read_allocations, read_rows


@pytest.fixture
def run(monkeypatch):
    """Runs the main in a folder."""

    def run(workdir, *arguments):
        monkeypatch.setattr(sys, "argv", ["sensitivity.py", f"--workdir={workdir}", *arguments])
        with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
            launch(sensitivity.main)
        return ended.value.code

    return run


@pytest.mark.parametrize(
    "argument, parts",
    [
        ("--bits=2,x", ["--bits=x", "whole numbers"]),
        ("--bits=4.5", ["--bits=4.5", "whole numbers"]),
        ("--bits=1,4", ["--bits=1", "2 to 8"]),
        ("--bits=4,16", ["--bits=16", "2 to 8"]),
        ("--bits=", ["--bits", "empty list"]),
        ("--sparsities=half", ["--sparsities=half", "numbers"]),
        ("--sparsities=1", ["--sparsities=1", "below 1"]),
        ("--sparsities=nan", ["--sparsities=nan", "below 1"]),
        ("--budget_bits=1", ["--budget_bits=1", "2 to 8"]),
        ("--budget_bits=16", ["--budget_bits=16", "2 to 8"]),
        ("--bits=6,8", ["--budget_bits=4", "smallest of --bits is 6"]),
        ("--calibration_frames_per_stratum=1", ["calibration_frames_per_stratum", "1"]),
        ("--allocation_frames_per_stratum=0", ["allocation_frames_per_stratum", "0"]),
        ("--calibration_seed=1", ["calibration_seed", "1"]),
        ("--cell_strategy=loop", ["cell_strategy", "vmap"]),
        ("--checkpoint=/nonexistent/model", ["/nonexistent/model"]),
    ],
)
def test_a_bad_flag_is_named_with_what_is_allowed(run, tmp_path, capsys, argument, parts):
    assert run(tmp_path / "run", argument) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert all(part in lines[0] for part in parts), lines
    assert not (tmp_path / "run").exists()


@pytest.mark.endurance
def test_a_run_resumes_and_another_is_refused(run, checkpoint, tmp_path, capsys, monkeypatch):
    few = (
        f"--checkpoint={checkpoint}",
        "--bits=2,4,8",
        "--sparsities=",
        "--calibration_frames_per_stratum=2",
        "--allocation_frames_per_stratum=2",
    )
    folder = tmp_path / "run"
    with monkeypatch.context() as broken:
        broken.setattr(sensitivity_study, "measure_allocations", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(folder, *few)
    first = (folder / "sensitivity.jsonl").read_text()
    assert not (folder / "allocation.jsonl").exists()
    with monkeypatch.context() as finished:
        finished.setattr(sensitivity_study, "measure_cells", lambda *_, **__: 1 / 0)
        assert not run(folder, *few)
    assert (folder / "sensitivity.jsonl").read_text() == first
    cells, given = (
        read(folder / name)[0]
        for read, name in ((read_rows, "sensitivity.jsonl"), (read_allocations, "allocation.jsonl"))
    )
    assert len(cells) == 3 * len(json.loads(given[0]["bits"]))
    assert len(given) == 8
    for i, row in enumerate(given):
        packed = folder / "files" / f"{i}_{row['configuration']}.wfm"
        assert packed.stat().st_size == row["size_bytes"]
    assert (folder / "heat_map.png").stat().st_size > 10_000
    assert (folder / "sensitivity.parquet").stat().st_size > 1000
    text = capsys.readouterr().out
    assert (folder / "summary.txt").read_text() in text
    assert max(map(len, (folder / "summary.txt").read_text().splitlines())) <= 100

    assert run(folder, *few, "--budget_bits=8") == 2
    assert "--budget_bits" in capsys.readouterr().err
