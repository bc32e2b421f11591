"""--dry_run of every main: it says what would be done, writes nothing, and ends with 0."""

import re
import sys

import jax
import pytest
from absl.testing import flagsaver

from experiments.launch import launch
from tests.experiments import mains, small_run
from wfm_jax.evaluate import probe
from wfm_jax.results.manifest import Manifest, open_run

ASKED = {
    "adapt": ("--targets=nuremberg", "--labelled_frames=100,300"),
    "bench": ("--suite=train", "--model=pico"),
    "ber": ("--scenarios=awgn", "--modulations=4", "--snr_db=0,10", "--batch_frames=8"),
    "evaluate": ("--snrs_db=10,20", "--evaluation_frames=2"),
    "failure_modes": ("--study=sensitive_tensors",),
    "pretrain": ("--model=pico", "--teacher_steps=60", "--masked_steps=20"),
    "robustness": ("--studies=views",),
    "sensitivity": ("--bits=2,4", "--sparsities="),
    "sweep": ("--pipelines=P,P-KD", "--operating_points=4:0.5,4:0.75", "--steps=30"),
}
OF_MODEL = ("adapt", "evaluate", "failure_modes", "robustness", "sensitivity")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Nothing is compiled: a forward pass of a frame takes 1 ms, its compilation 2 s."""
    pace = probe.Pace(compile_s=2.0, pass_s=1e-3, flops_per_s=1e9, n_frames=8)
    monkeypatch.setattr(probe, "measure_pace", lambda *_: pace)
    monkeypatch.setattr(probe, "time_program", lambda *_: (2.0, 0.008))
    monkeypatch.setattr("wfm_jax.evaluate.ber_plan.time_program", lambda *_: (2.0, 0.008))
    monkeypatch.setattr("experiments.export.measure_pace", lambda *_: pace)


@pytest.fixture
def planned(monkeypatch, capsys, checkpoint, untrained):
    """Runs a main's dry run; returns the facts that it prints, spaces made one."""

    def run(name, workdir, *arguments):
        module = mains.main(name)
        asked = (*ASKED.get(name, ()), *arguments)
        if name in OF_MODEL or name == "profile":
            asked += (f"--checkpoint={checkpoint}",)
        if name == "sweep" and not any(a.startswith("--teacher") for a in arguments):
            asked += untrained
        argv = [f"{name}.py", f"--workdir={workdir}", "--dry_run", *asked]
        monkeypatch.setattr(sys, "argv", argv)
        with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
            launch(module.main, module.plan)
        assert ended.value.code in (None, 0), capsys.readouterr().err
        out = capsys.readouterr().out
        assert max(map(len, out.splitlines())) <= 100
        return " ".join(out.split())

    return run


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_main_has_a_plan():
    for name in mains.NAMES:
        assert callable(mains.main(name).plan), name
        text = (mains.FOLDER / f"{name}.py").read_text()
        assert "launch.launch(main, plan)" in text, name


@pytest.mark.parametrize("name", sorted({*ASKED, "baselines", "profile"}))
def test_it_tells_of_everything_and_writes_nothing(planned, name, tmp_path):
    text = planned(name, tmp_path / "new" / "run")
    assert "dry run:" in text
    for fact in ("disk about", "compiling", "memory", "time ", "Nothing was written."):
        assert fact in text, fact
    if name not in ("bench", "profile"):
        assert "run folder new" in text
    assert list(tmp_path.iterdir()) == []
    assert jax.config.values["jax_enable_compilation_cache"]


def test_a_sweep_in_numbers(planned, tmp_path):
    """Two P, untrained; two P-KD of 30 steps, trained side by side."""
    text = planned("sweep", tmp_path / "run")
    for fact in (
        "dry run: sweep of 4 configurations",
        "configurations 4 of 4 points asked for; 0 have their rows, 4 are missing",
        "group same 4 configurations 1 cohort of width 8, 1 seed;",
        "training 60 configuration-steps 1 round of training, 30 steps of 32 frames: 960 frames",
        "measuring 4 configurations each on 800 test frames at 3 SNRs",
    ):
        assert fact in text, fact


def test_what_has_rows_is_not_done_again(planned, tmp_path, untrained, finished):
    workdir, _ = finished
    from tests.experiments import sweep_process

    before = files(workdir)
    text = planned("sweep", workdir, *untrained, *sweep_process.FLAGS)
    assert "run folder resumed" in text
    assert "nothing is missing" in text
    more = (*sweep_process.FLAGS, "--pipelines=none,P-Q,P-Q-KD,Q-P-FT,P")
    text = planned("sweep", workdir, *untrained, *more)
    assert "run folder grown" in text
    assert "7 have their rows, 2 are missing" in text
    assert "from what this folder's run has shown" in text
    assert files(workdir) == before


test_what_has_rows_is_not_done_again = pytest.mark.endurance(test_what_has_rows_is_not_done_again)


@pytest.mark.parametrize("name", sorted({*ASKED, "baselines"} - {"bench"}))
def test_another_runs_folder_would_be_refused(planned, name, tmp_path):
    with open_run(tmp_path / "other", Manifest({"model": "other"})):
        pass
    before = files(tmp_path)
    text = planned(name, tmp_path / "other")
    assert "run folder refused" in text
    assert "holds a run with other flags" in text
    text = planned(name, tmp_path / "other", "--overwrite")
    assert "run folder replaced" in text
    assert "would be moved aside" in text
    assert files(tmp_path) == before


def test_a_folder_in_use_would_be_refused(planned, tmp_path):
    with open_run(tmp_path / "held", Manifest({"model": "other"})):
        assert "is in use by process" in planned("sweep", tmp_path / "held")


def test_a_bad_flag_is_still_one_line(monkeypatch, capsys, tmp_path):
    sweep = mains.main("sweep")
    argv = ["sweep.py", f"--workdir={tmp_path}", "--dry_run", "--pipelines=P-X"]
    monkeypatch.setattr(sys, "argv", argv)
    with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
        launch(sweep.main, sweep.plan)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "--pipelines=P-X" in line


def test_a_main_without_a_plan_is_not_run(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["sweep.py", f"--workdir={tmp_path}", "--dry_run"])
    with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
        launch(lambda: pytest.fail("it ran"))
    assert ended.value.code == 2
    assert "--dry_run" in capsys.readouterr().err


def test_an_export_names_configuration_and_files(planned, tmp_path):
    run = small_run.make(tmp_path / "run")
    before = files(run)
    text = planned("export", run, "--under_bytes=1e6", "--forms=packed,onnx")
    assert "configuration Q 8b/A8 int8," in text
    assert "packed model.wfm would be written" in text
    assert files(run) == before


def test_a_watch_says_what_it_sees(planned, tmp_path):
    run = small_run.make(tmp_path / "run")
    before = files(run)
    assert "the sweep stopped" in planned("watch", run)
    assert files(run) == before


@pytest.mark.parametrize(
    ("suite", "words"),
    [
        ("shrink", "cases 4"),
        ("engine", "time at most about 15 min"),
        ("sensitivity", "cells"),
        ("signal", "cases 5"),
    ],
)
def test_each_suite_has_a_plan(planned, tmp_path, suite, words):
    assert words in planned("bench", tmp_path, f"--suite={suite}")


@pytest.mark.parametrize("study", ["calibration", "student_size"])
def test_each_failure_mode_has_a_plan(planned, tmp_path, study):
    text = planned("failure_modes", tmp_path / "run", f"--study={study}")
    assert re.search(r"time about [\d.]+ (s|min|h)", text)


def test_what_trains_nothing_has_plans_too(planned, tmp_path, checkpoint):
    rows = mains.FOLDER / "results" / "laptop"
    text = planned("record", tmp_path / "run", "--frames=40", f"--checkpoint={checkpoint}")
    assert "40 frames" in text
    assert "1 program" in text
    text = planned("report", rows, f"--html={tmp_path / 'page.html'}")
    assert "run laptop 107 rows" in text
    assert "page.html new" in text
    text = planned("order_study", tmp_path / "run", f"--rows={rows}", "--shuffles=20")
    assert "102 are compared" in text
    assert list(tmp_path.iterdir()) == []
