"""A run folder is created, resumed, grown, refused or moved aside, never deleted."""

import json
import os
import subprocess
import sys

import pytest

from wfm_jax.results import atomic, manifest
from wfm_jax.results.manifest import Manifest, RunFolderError, open_run

FLAGS = {"pipelines": ["P-Q", "Q-P"], "seeds": [0, 1], "steps": 100, "workdir": "here"}


def asked(**changes):
    return Manifest({**FLAGS, **changes}, versions={"jax": "1"}, devices=["cpu"])


def test_new_then_resumed(tmp_path):
    work = tmp_path / "deep" / "run"
    with open_run(work, asked()) as run:
        assert (run.status, run.path, run.moved_aside) == ("new", work, None)
    with open_run(work, asked(workdir="there")) as run:
        assert run.status == "resumed"
    stored = json.loads((work / manifest.MANIFEST).read_text())
    assert stored["flags"] == FLAGS
    assert stored["hash"] == asked().hash


def test_an_empty_folder_is_taken(tmp_path):
    with open_run(tmp_path, asked()) as run:
        assert run.status == "new"


def test_other_flags_are_named_with_both_values(tmp_path):
    open_run(tmp_path, asked()).close()
    with pytest.raises(RunFolderError) as caught:
        open_run(tmp_path, asked(steps=200, lr=0.1))
    message = str(caught.value)
    assert "--steps: 100 -> 200" in message
    assert "--lr: absent -> 0.1" in message
    assert "--overwrite" in message
    assert "seeds" not in message
    assert "\n" not in message


def test_axes_may_grow_but_not_shrink(tmp_path):
    open_run(tmp_path, asked()).close()
    grown = asked(pipelines=["Q-P", "P-Q", "P-Q-KD"])
    with open_run(tmp_path, grown) as run:
        assert run.status == "grown"
    with open_run(tmp_path, grown) as run:
        assert run.status == "resumed"
    with pytest.raises(RunFolderError, match="--pipelines"):
        open_run(tmp_path, asked())
    with pytest.raises(RunFolderError, match="--seeds"):
        open_run(tmp_path, asked(pipelines=["Q-P", "P-Q", "P-Q-KD"], seeds=[0, 1, 2]))
    wider = asked(pipelines=["Q-P", "P-Q", "P-Q-KD"], seeds=[0, 1, 2])
    with open_run(tmp_path, wider, growable=("pipelines", "seeds")) as run:
        assert run.status == "grown"


def test_overwrite_moves_the_old_run_aside(tmp_path):
    work = tmp_path / "run"
    places = set()
    for steps in (100, 200, 300):
        with open_run(work, asked(steps=steps), overwrite=True) as run:
            assert run.status == "new"
            (work / "results.jsonl").write_text(str(steps))
            if run.moved_aside:
                places.add(run.moved_aside)
                assert run.moved_aside.name.startswith("run.old-")
    assert sorted((place / "results.jsonl").read_text() for place in places) == ["100", "200"]


def test_a_folder_that_is_no_run_is_refused_even_with_overwrite(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(RunFolderError, match="not a run of ours"):
            open_run(tmp_path, asked(), overwrite=overwrite)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_start_killed_before_its_manifest_is_no_obstacle(tmp_path):
    (tmp_path / ".lock").write_text("")
    (tmp_path / f".{manifest.MANIFEST}.123.partial").write_text('{"fla')
    open_run(tmp_path, asked()).close()


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", "{}", '{"hash": "x", "flags": {}}', '{"hash": "x", "flags": 3}']
)
def test_a_damaged_manifest_is_named_and_can_be_moved_aside(tmp_path, damage):
    work = tmp_path / "run"
    open_run(work, asked()).close()
    (work / manifest.MANIFEST).write_text(damage)
    with pytest.raises(RunFolderError, match=r"manifest.json is damaged"):
        open_run(work, asked())
    with open_run(work, asked(), overwrite=True) as run:
        assert run.moved_aside is not None
        assert (run.moved_aside / manifest.MANIFEST).read_text() == damage


def test_an_edited_flag_is_damage(tmp_path):
    open_run(tmp_path, asked()).close()
    file = tmp_path / manifest.MANIFEST
    file.write_text(file.read_text().replace("100", "200"))
    with pytest.raises(RunFolderError, match="hash does not fit"):
        open_run(tmp_path, asked(steps=200))


def test_a_file_in_its_place_or_above_it(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(RunFolderError, match="is a file"):
        open_run(file, asked())
    with pytest.raises(RunFolderError, match="cannot be used: Not a directory"):
        open_run(file / "below", asked())


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(atomic, "write_bytes", refuse)
    with pytest.raises(RunFolderError, match="cannot be used: Permission denied"):
        open_run(tmp_path / "run", asked())


def test_a_held_folder_names_its_holder(tmp_path):
    code = (
        "import sys; from wfm_jax.results.manifest import Manifest, open_run;"
        "run = open_run(sys.argv[1], Manifest({})); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RunFolderError, match=f"in use by process {other.pid} on "):
            open_run(tmp_path, Manifest({}), overwrite=True)
        other.kill()
    with open_run(tmp_path, Manifest({})) as run:
        assert run.status == "resumed"
