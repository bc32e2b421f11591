"""A run folder in any state: what can be read is read, the rest is said, nothing is changed."""

import json

import pytest

from tests import made_runs
from wfm_jax.results import rows
from wfm_jax.results.report.run_folder import flags_of, read_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made_runs.make(tmp_path_factory.mktemp("runs") / "whole")


@pytest.fixture
def copy(folder, tmp_path):
    """A copy that a test may damage."""
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def test_a_whole_run_is_read_and_left_as_it_is(folder):
    before = {file: file.read_bytes() for file in folder.iterdir()}
    run = read_run(folder)
    assert run.folder == folder
    assert run.notes == []
    assert run.name == "whole"
    assert run.rows == rows.read_rows(folder / "results.jsonl")[0]
    assert len(run.contrasts) == 12
    assert run.curves.bits_per_symbol == [2, 4, 6, 8]
    assert set(run.curves.ber) == {row["config_id"] for row in run.rows}
    assert flags_of(run) == made_runs.FLAGS
    assert {file: file.read_bytes() for file in folder.iterdir()} == before


def test_curves_are_in_the_order_of_their_axes(folder):
    run = read_run(folder)
    row = run.rows[7]
    expected = {(line["bits_per_symbol"], line["snr_db"]): line["value"]
                for line in made_runs.curve(row)}  # fmt: skip
    for m, own in zip(run.curves.bits_per_symbol, run.curves.ber[row["config_id"]], strict=True):
        for snr_db, value in zip(run.curves.snrs_db, own, strict=True):
            assert value == expected[m, snr_db]


@pytest.mark.parametrize("name", ["nothing", "a_file"])
def test_what_is_no_folder_is_refused(tmp_path, name):
    (tmp_path / "a_file").write_text("x")
    with pytest.raises(ValueError, match=f"{name} is no folder"):
        read_run(tmp_path / name)


def test_an_empty_folder_is_no_run(tmp_path):
    with pytest.raises(ValueError, match=r"neither results\.jsonl nor manifest\.json"):
        read_run(tmp_path)


def test_a_run_that_has_just_begun_says_so(copy):
    for name in ("results.jsonl", "contrasts.jsonl", "curves.parquet"):
        (copy / name).unlink()
    run = read_run(copy)
    assert run.rows == []
    assert "nothing has finished" in run.notes[0]


def test_a_run_that_is_being_written_is_shown_as_far_as_it_is(copy):
    text = (copy / "results.jsonl").read_bytes()
    (copy / "results.jsonl").write_bytes(text[:-40])
    (copy / "contrasts.jsonl").write_text('{"a": "P-Q"}\n')
    (copy / "curves.parquet").write_bytes(b"PAR1")
    run = read_run(copy)
    assert len(run.rows) == text.count(b"\n") - 1
    assert (run.contrasts, run.curves) == ([], None)
    said = "; ".join(run.notes)
    assert "results.jsonl ends in half a line" in said
    assert "contrasts.jsonl: 1 lines are no contrast" in said
    assert "curves.parquet cannot be read" in said


@pytest.mark.parametrize("text", ["", "{", "[]", '{"flags": {}, "hash": "x"}', "[" * 9999])
def test_a_damaged_manifest_hides_no_row(copy, text):
    (copy / "manifest.json").write_text(text)
    run = read_run(copy)
    assert run.manifest is None
    assert flags_of(run) == {}
    assert len(run.rows) > 5
    assert "which flags made it is not known" in run.notes[0]


def test_rows_of_an_older_version_are_shown_and_named(copy):
    lines = [json.loads(line) for line in (copy / "results.jsonl").read_text().splitlines()]
    old = [{k: v for k, v in line.items() if k not in ("schedule", "kind")} for line in lines]
    old[5]["newer_column"] = 3
    (copy / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in old))
    run = read_run(copy)
    assert len(run.rows) == len(lines)
    assert {row["kind"] for row in run.rows} == {"configuration"}
    assert run.rows[5]["newer_column"] == 3
    assert "they lack kind and schedule" in run.notes[0]
    assert "newer_column" in run.notes[1]
