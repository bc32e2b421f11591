"""Bad input to the mains: one line that names the flag, exit code 2, nothing written."""

import subprocess
import sys

import pytest
from absl.testing import flagsaver

from experiments import pretrain, sweep
from experiments.launch import launch
from wfm_jax.results.manifest import Manifest, open_run


@pytest.fixture
def refused(monkeypatch, capsys, tmp_path):
    """Runs a main that must refuse; returns its line."""

    def run(*arguments, main=sweep.main, workdir=None):
        workdir = workdir or tmp_path / "run"
        before = sorted(tmp_path.rglob("*"))
        monkeypatch.setattr(sys, "argv", ["sweep.py", f"--workdir={workdir}", *arguments])
        with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
            launch(main)
        assert ended.value.code == 2
        assert sorted(tmp_path.rglob("*")) == before
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1, lines
        return lines[0]

    return run


@pytest.mark.parametrize(
    ("argument", "parts"),
    [
        ("--pipelines=P-Q,P-X", ["--pipelines=P-X", "P, Q, KD, FT"]),
        ("--pipelines=", ["--pipelines", "empty list"]),
        ("--pipelines=,", ["--pipelines", "empty list"]),
        ("--operating_points=", ["--operating_points", "empty list"]),
        ("--operating_points=4:1", ["--operating_points=4:1", "[0, 1)"]),
        ("--operating_points=4:-0.1", ["--operating_points=4:-0.1", "[0, 1)"]),
        ("--operating_points=4:nan", ["--operating_points=4:nan", "[0, 1)"]),
        ("--operating_points=1:0.5", ["--operating_points=1:0.5", "2-8, 16 or 32"]),
        ("--operating_points=9:0.5", ["--operating_points=9:0.5", "2-8, 16 or 32"]),
        ("--operating_points=4", ["--operating_points=4", "bits:sparsity"]),
        ("--operating_points=four:half", ["--operating_points=four:half", "bits:sparsity"]),
        ("--students=same,tiny", ["--students=tiny", "same, smaller"]),
        ("--seeds=one", ["--seeds=one"]),
        ("--alphas=1.1", ["--alphas=1.1", "[0, 1]"]),
        ("--temperatures=0", ["--temperatures=0", "positive"]),
        ("--learning_rates=-1", ["--learning_rates=-1", "positive"]),
        ("--steps=10,x", ["--steps=x"]),
        ("--recovery_steps=1000000", ["recovery_steps", "1000000"]),
        ("--scales=rms", ["--scales=rms", "absmax"]),
        ("--quant_formats=int4", ["--quant_formats=int4", "integer, affine, nf4"]),
        ("--quant_formats=nf4", ["weight_bits must be 4", "nf4"]),
        ("--group_sizes=some", ["--group_sizes=some", "or none"]),
        ("--group_sizes=24", ["group_size", "got 24", "64 inputs of block_0"]),
        ("--allocations=best", ["--allocations=best", "FILE:BUDGET:NAME"]),
        ("--allocations=/no/file:1:larger", ["no such file: /no/file"]),
        ("--rank_shares=0", ["--rank_shares=0", "(0, 1]"]),
        ("--feature_weights=-1", ["--feature_weights=-1", "at least 0"]),
        ("--unlabelled_scenarios=moon", ["--unlabelled_scenarios=moon", "factory_hall"]),
        ("--unlabelled_frames=1", ["--unlabelled_frames=1", "at least one for each of 2"]),
        ("--pipelines=KD-L", ["--pipelines=KD-L", "L in pipeline"]),
        ("--model=huge", ["model", "huge", "nano"]),
        ("--teacher_steps=0", ["teacher_steps", "0"]),
        ("--blind_fraction=2", ["blind_fraction", "2"]),
        ("--strategy=gpu", ["strategy", "vmap"]),
        ("--teachers=x", ["teachers"]),
        ("--seeds=2147483648", ["--seeds=2147483648", "from 0 to 2147483647"]),
        ("--steps=2.5", ["--steps=2.5", "whole number"]),
        ("--blind_fraction=nan", ["--blind_fraction=nan", "finite"]),
        ("--teacher_learning_rate=inf", ["--teacher_learning_rate=inf", "finite"]),
        ("--teacher_steps=2147483648", ["--teacher_steps=2147483648", "2147483647"]),
        (f"--pipelines={'P-' * 500}X", ["--pipelines=P-P-", " ... ", "or 'none'"]),
        ("--space=alpha", ["--space=alpha", "FIELD=A,B"]),
        ("--space=alphas=1", ["--space=alphas=1", "unknown field 'alphas'", "alpha,"]),
        ("--space=alpha=0,2", ["alpha=2", "[0, 1]"]),
        ("--space=alpha=1 x seed=0 x alpha=1", ["alpha is in two factors"]),
        ("--space=alpha:seed=1,0", ["'1' is not one value for each of alpha, seed"]),
        ("--space=alpha:alpha=1:1", ["alpha is there twice"]),
        ("--space=3 of alpha=0..1", ["'3 of alpha=0..1'", "end in a seed"]),
        ("--space=3 of alpha=1..0 seed 1", ["alpha", "a lower and a higher number"]),
        ("--space=3 of weight_bits=2..8 seed 1", ["weight_bits", "among single values"]),
        ("--space=3 of seed=0|1 seed 1", ["seed is not drawn", "x seed=0,1"]),
        ("--space=100001 of alpha=0..1 seed 1", ["100,001 points", "at most 100,000"]),
        ("--space=9000 of alpha=0..1 seed 1", ["513,000 configurations", "at most 100,000"]),
        ("--space=pipeline=P-S", ["--space=pipeline=P-S", "structure must be heads"]),
        ("--space=@/no/file", ["--space=@/no/file", "no such file"]),
        ("--flagfile=/nonexistent/preset.flags", ["/nonexistent/preset.flags"]),
        (f"--flagfile={sys.executable}", ["--flagfile", "text file"]),
        ("pico", ["'pico'"]),
    ],
)
def test_a_bad_flag_is_named_with_what_is_allowed(refused, argument, parts):
    line = refused(argument)
    assert all(part in line for part in parts), line


@pytest.mark.parametrize(
    ("term", "flag"),
    [
        ("alpha=0,1", "--alphas=0.5"),
        ("weight_bits=4", "--operating_points=4:0.5"),
        ("2 of alpha=0..1 seed 1 x pipeline=P", "--pipelines=Q"),
    ],
)
def test_a_field_is_given_by_a_term_or_by_its_flag(refused, term, flag):
    line = refused(f"--space={term}", flag)
    assert f"--space={term}" in line
    assert flag.partition("=")[0] in line


def test_a_missing_teacher_is_named(refused, tmp_path):
    assert str(tmp_path / "nowhere") in refused(f"--teacher={tmp_path / 'nowhere'}")


def test_a_damaged_teacher_is_named(refused, tmp_path):
    folder = tmp_path / "teacher" / "1"
    folder.mkdir(parents=True)
    (folder / "sidecar.json").write_text("not what was written\n{}")
    line = refused(f"--teacher={tmp_path / 'teacher'}")
    assert str(tmp_path / "teacher") in line
    assert "damaged" in line


@pytest.mark.parametrize("main", [sweep.main, pretrain.main])
def test_another_runs_folder_is_left_alone(refused, tmp_path, main):
    with open_run(tmp_path / "other", Manifest({"model": "other"})):
        pass
    line = refused(main=main, workdir=tmp_path / "other")
    assert "--model" in line
    assert "--overwrite" in line


def test_a_folder_that_is_no_run_is_left_alone(refused, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("precious")
    assert "not a run" in refused(workdir=tmp_path / "thesis")


def test_a_file_in_the_folders_place_is_named(refused, tmp_path):
    (tmp_path / "file").write_text("precious")
    assert "is a file" in refused(workdir=tmp_path / "file")


@pytest.mark.parametrize("main", ["sweep", "pretrain"])
def test_help_says_what_it_does_and_ends_with_zero(main):
    command = [sys.executable, "-m", f"experiments.{main}", "--help"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "python -m experiments" in ended.stdout
    assert "--workdir" in ended.stdout
    assert max(map(len, ended.stdout.splitlines())) <= 100


def test_the_folder_must_be_given(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["sweep.py"])
    with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
        launch(sweep.main)
    assert ended.value.code == 2
    assert "--workdir" in capsys.readouterr().err
