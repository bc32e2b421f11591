"""Profiles and sensitivity beside a sweep, from what their mains have left."""

import json
import pathlib

import pytest

from wfm_jax.results.report.extras import read_cells, read_profile

STORED = pathlib.Path(__file__).parents[3] / "experiments" / "results" / "profile"


def test_a_stored_profile_is_read_as_it_is():
    file = STORED / "nano-cpu.json"
    found, text = read_profile(file), json.loads(file.read_text())
    assert (found.title, found.slot_ms, found.notes) == (text["title"], text["slot_ms"], [])
    assert [row["form"] for row in found.rows] == [row["form"] for row in text["rows"]]
    assert [row["p95_ms"] for row in found.rows] == [row["p95_ms"] for row in text["rows"]]


def test_a_profile_is_found_in_its_folder_and_rows_without_latency_are_counted(tmp_path):
    rows = [{"form": "a", "batch_size": 1, "p50_ms": 1.0}, {"form": "b", "batch_size": 1}]
    (tmp_path / "profile.json").write_text(json.dumps({"title": "here", "rows": rows}))
    found = read_profile(tmp_path)
    assert [row["form"] for row in found.rows] == ["a"]
    assert found.slot_ms is None
    assert found.notes == ["profile.json: 1 rows have no latency"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"rows": 3}', "[" * 99_999])
def test_what_is_no_profile_is_refused_by_name(tmp_path, text):
    (tmp_path / "profile.json").write_text(text)
    with pytest.raises(ValueError, match=r"profile\.json is no profile"):
        read_profile(tmp_path)


@pytest.mark.parametrize("read", [read_profile, read_cells])
def test_a_file_that_is_not_there_is_named(tmp_path, read):
    with pytest.raises(ValueError, match="no such file"):
        read(tmp_path)


def test_cells_that_are_no_cells_are_left_out(tmp_path):
    cell = {"method": "bits", "level": 2, "tensor": "a/kernel", "task_loss_change": 0.1}
    lines = [json.dumps(cell), json.dumps({"method": "bits"}), "{"]
    (tmp_path / "sensitivity.jsonl").write_text("\n".join(lines))
    found = read_cells(tmp_path)
    assert [row["tensor"] for row in found.rows] == ["a/kernel"]
    assert found.rows[0]["task_loss_change"] == 0.1
    assert any("half a line" in note for note in found.notes)
