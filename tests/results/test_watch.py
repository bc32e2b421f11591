"""A look from outside: what can be shown is shown, and nothing is written."""

import io
import json
import os
import socket

import pytest
from rich.console import Console

from tests.results import statuses
from wfm_jax.results.lock import FolderLock, holder_of
from wfm_jax.results.manifest import Manifest, open_run
from wfm_jax.results.rows import append_rows
from wfm_jax.results.status_file import NAME
from wfm_jax.results.watch import ROWS, look, look_view

ROW = {"config_id": "a", "kind": "configuration", "pipeline": "P-Q", "status": "ok"}
SCORES = {"size_bytes": 1000, "retention": 0.9, "retention_ci95": 0.01}


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def text_of(found):
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(look_view(found, now=found.status.told))
    return console.export_text()


@pytest.fixture
def folder(tmp_path):
    """A run's folder that nobody holds, with a row and a status of 102 configurations."""
    with open_run(tmp_path / "run", Manifest({"model": "pico"})):
        pass
    append_rows(tmp_path / "run" / ROWS, [ROW | SCORES])
    (tmp_path / "run" / NAME).write_text(statuses.running().to_json())
    return tmp_path / "run"


def test_a_sweep_that_runs_is_seen_with_its_holder(folder):
    with open_run(folder, Manifest({"model": "pico"})):
        before = files(folder)
        found = look(folder)
        assert found.state == "running"
        assert f"process {os.getpid()} on {socket.gethostname()} runs it" in found.words
        assert files(folder) == before
    assert "step 75 of 200" in text_of(found)


def test_one_that_stopped_says_that_it_can_go_on(folder):
    found = look(folder)
    assert found.state == "stopped"
    assert "the same command again goes on" in found.words
    assert "1 of 102 configurations" in text_of(found)  # by the rows, not by what was told


def test_one_with_all_its_rows_is_finished(folder):
    append_rows(folder / ROWS, [ROW | {"config_id": f"b{i}"} for i in range(101)])
    assert look(folder).state == "finished"


def test_looking_keeps_nobody_out_and_a_dead_holder_is_seen(folder):
    assert not holder_of(folder).holds
    lock = FolderLock.acquire(folder)
    assert holder_of(folder).holds
    lock.release()
    assert not holder_of(folder).holds
    FolderLock.acquire(folder).release()


@pytest.mark.parametrize(("ago_s", "state"), [(5.0, "running"), (5000.0, "stopped")])
def test_on_another_machine_the_last_word_counts(folder, ago_s, state):
    note = {"pid": 1, "host": "another-machine"}
    (folder / FolderLock.NAME).write_text(json.dumps(note))
    status = statuses.running()._replace(began=1.0)
    (folder / NAME).write_text(status.to_json())
    found = look(folder, now=status.told + ago_s)
    assert found.state == state
    assert "process 1 on another-machine" in found.words


def test_a_torn_row_is_left_out_and_left_there(folder):
    with open(folder / ROWS, "ab") as file:
        file.write(b'{"config_id":"to')
    before = files(folder)
    found = look(folder)
    assert found.status.board.standing.rows == 1
    assert found.troubles == ()
    assert files(folder) == before


def test_files_of_another_version_are_told_and_the_rest_is_shown(folder):
    (folder / ROWS).write_text('{"config_id": "a", "column_of_old": 1}\n{}\n')
    (folder / NAME).write_text('{"board": {"of": "old"}}')
    found = look(folder)
    assert len(found.troubles) == 2
    assert "column_of_old" in text_of(found)
    assert "nobody runs it" in text_of(found)


def test_before_anything_is_told_there_is_a_view(tmp_path):
    with open_run(tmp_path / "new", Manifest({"model": "pico"})):
        found = look(tmp_path / "new")
    assert found.state == "running"
    assert text_of(found)


def test_no_folder_and_one_of_something_else_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no folder"):
        look(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="not a sweep's folder"):
        look(tmp_path)
