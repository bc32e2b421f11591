"""The report's main: several folders, one page; what it refuses, and what it says."""

import sys

import pytest
from absl.testing import flagsaver

from experiments import launch, report, report_page
from tests import made_runs

pytest.importorskip("plotly")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("runs")
    return [made_runs.make(base / name / "laptop", made_runs.orders(((8, 0.5),)))
            for name in ("a", "b")]  # fmt: skip


@pytest.fixture
def started(monkeypatch, capsys):
    """Runs the main; returns its exit code and what it printed."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["report.py", *arguments])
        with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
            launch.launch(report.main)
        told = capsys.readouterr()
        return ended.value.code or 0, told.out + told.err

    return run


def test_one_run_has_its_page_in_its_folder(started, folders):
    code, told = started(f"--workdir={folders[0]}")
    assert code == 0
    page = folders[0] / "report.html"
    assert str(page) in told
    assert "<title>Compression report: laptop</title>" in page.read_text()
    page.unlink()


def test_two_runs_of_one_name_are_told_apart(started, folders, tmp_path):
    page = tmp_path / "both.html"
    code, _ = started(*(f"--workdir={folder}" for folder in folders), f"--html={page}")
    assert code == 0
    assert "<title>Compression report: a/laptop, b/laptop</title>" in page.read_text()
    assert not (folders[0] / "report.html").exists()


def test_a_folder_given_twice_is_shown_once(started, folders, tmp_path):
    page = tmp_path / "once.html"
    started(f"--workdir={folders[0]}", f"--workdir={folders[0]}", f"--html={page}")
    assert "<title>Compression report: laptop</title>" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--workdir={tmp}/nowhere"], "nowhere is no folder"),
        (["--workdir={tmp}"], "neither results.jsonl nor manifest.json"),
        (["--workdir={run}", "--html={tmp}/no/page.html"], "--html="),
        (["--workdir={run}", "--cells={tmp}"], "no such file"),
        (["--workdir={run}", "--profiles={tmp}/x.json"], "no such file"),
    ],
)
def test_what_cannot_be_shown_is_one_line_and_exit_code_2(
    started, folders, tmp_path, arguments, part
):
    filled = [text.format(tmp=tmp_path, run=folders[0]) for text in arguments]
    code, told = started(*filled)
    assert code == 2
    assert len(told.strip().splitlines()) == 1
    assert part in told
    assert list(tmp_path.iterdir()) == []


def test_without_plotly_the_line_says_what_to_install(started, folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    code, told = started(f"--workdir={folders[0]}")
    assert code == 2
    assert "wfm_jax[report]" in told


def test_damage_is_said_on_the_screen_too(started, folders, tmp_path):
    for file in folders[0].iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "manifest.json").write_text("{")
    code, told = started(f"--workdir={tmp_path}")
    assert code == 0
    assert "its manifest.json cannot be read" in told


def test_other_mains_read_the_last_workdir(folders):
    with flagsaver.flagsaver():
        launch.flags.FLAGS(["x", "--workdir=one", "--workdir=two"])
        assert launch.WORKDIR.value == "two"
        assert launch.workdirs() == ["one", "two"]


def test_every_row_of_the_page_has_its_command(folders):
    from experiments.reproduce import commands
    from wfm_jax.results.report.run_folder import flags_of, read_run

    run = read_run(folders[0])
    found = commands(run.rows, flags_of(run))
    assert len(found.own) == len(run.rows)
    assert all(found.own)
    assert report_page.can_be_drawn()
