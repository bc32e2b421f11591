"""A plan on the screen, and what is asked of a folder without touching it."""

import io
import os

import pytest
from rich.console import Console

from wfm_jax.results.manifest import Manifest, foresee, open_run
from wfm_jax.results.plan import Fact, Plan, about, counted, disk_fact, existing, print_plan


def shown(plan, width=80):
    console = Console(width=width, file=io.StringIO(), record=True)
    print_plan(plan, console)
    return console.export_text()


@pytest.mark.parametrize("width", [60, 80, 100])
def test_it_fits_and_nothing_is_cut_off(width):
    long = "a word " * 40
    text = shown(Plan("[sweep]", (Fact("run folder", "new", long), Fact("time", "5 s"))), width)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("word") == 40
    assert "dry run: [sweep]" in text
    assert "Nothing was written." in text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.1, "about 1 s"), (89, "about 89 s"), (600, "about 10 min"), (9000, "about 2.5 h")],
)
def test_a_duration_is_an_estimate(seconds, words):
    assert about(seconds) == words


def test_numbers_of_things():
    assert counted(1, "row") == "1 row"
    assert counted(12_000, "row") == "12,000 rows"


def test_a_disk_that_is_too_small_is_told(tmp_path):
    assert "too little room" in disk_fact(tmp_path / "a" / "b", 1e30).value
    assert "too little room" not in disk_fact(tmp_path / "a" / "b", 10.0).value
    assert existing(tmp_path / "a" / "b") == tmp_path


ASKED = Manifest({"model": "pico", "pipelines": ["P", "Q"]})


@pytest.mark.parametrize(
    ("there", "overwrite", "status"),
    [
        (None, False, "new"),
        (None, True, "new"),
        (ASKED, False, "resumed"),
        (Manifest({"model": "pico", "pipelines": ["P"]}), False, "grown"),
        (Manifest({"model": "nano", "pipelines": ["P"]}), False, "refused"),
        (Manifest({"model": "nano", "pipelines": ["P"]}), True, "replaced"),
    ],
)
def test_what_is_foreseen_is_what_happens(tmp_path, there, overwrite, status):
    path = tmp_path / "run"
    if there is not None:
        open_run(path, there).close()
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    outlook = foresee(path, ASKED, overwrite=overwrite)
    assert outlook.status == status
    assert outlook.goes_on == (status in ("resumed", "grown"))
    after = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert after == before
    if status == "refused":
        with pytest.raises(ValueError, match="--model") as refused:
            open_run(path, ASKED, overwrite=overwrite)
        assert str(refused.value) == outlook.words
        return
    with open_run(path, ASKED, overwrite=overwrite) as run:
        assert (run.moved_aside is not None) == (status == "replaced")
        assert status == "replaced" or run.status == status


def test_a_folder_that_is_held_or_something_else_would_be_refused(tmp_path):
    with open_run(tmp_path / "run", ASKED):
        assert f"process {os.getpid()}" in foresee(tmp_path / "run", ASKED).words
    (tmp_path / "file").write_text("precious")
    assert "is a file" in foresee(tmp_path / "file", ASKED).words
    assert "not a run of ours" in foresee(tmp_path, ASKED).words
