"""Rows of a study are of one experiment, each once; what is not is named in one line."""

import json
import pathlib

import pytest

from tests.results.made_order_study import configuration, make_study, reference
from wfm_jax.results.order_rows import as_stored, read_study
from wfm_jax.results.rows import append_rows, complete_row, write_parquet

FEW = {"seeds": 2, "teachers": 2, "pipelines": ("Q", "P-Q"), "factors": ()}


@pytest.fixture
def rows():
    return make_study(**FEW)


@pytest.fixture
def written(tmp_path):
    """Writes rows as a run folder, or as a file of another name."""

    def write(rows, name="run/results.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        (write_parquet if path.suffix == ".parquet" else lambda r, p: append_rows(p, r))(rows, path)
        return path

    return write


def test_folders_and_files_of_both_kinds_hold_the_same(rows, written):
    jsonl, parquet = written(rows), written(rows, "other/rows.parquet")
    assert read_study([jsonl.parent]).rows == read_study([jsonl]).rows == rows
    assert read_study([parquet.parent]).rows == read_study([parquet]).rows == rows
    assert read_study([jsonl, parquet.parent]).rows == rows
    assert len(read_study([jsonl]).compared) == sum(r["kind"] == "configuration" for r in rows)


def test_runs_of_several_teachers_add_up(rows, written):
    of = {t: [r for r in rows if r["teacher_hash"] == t] for t in ("teacher0", "teacher1")}
    paths = [written(own, f"{teacher}/results.jsonl").parent for teacher, own in of.items()]
    found = read_study(paths).rows
    assert sorted(map(str, found)) == sorted(map(str, rows))


def test_a_folder_s_jsonl_comes_before_its_parquet(rows, written):
    written(rows)
    parquet = written(rows[:3], "run/results.parquet")
    assert len(read_study([parquet.parent]).rows) == len(rows)


def test_rows_as_they_were_asked_are_read_as_they_are_stored():
    """The Parquet of a run says for Q at each point what sparsity and seed were asked for."""
    stored = complete_row(configuration("Q", 4, 0.5, 99.0, seed=3, recovery_steps=0))
    asked = stored | {"sparsity": 0.5, "seed": 3, "score_on": "latent", "structure": "2:4"}
    assert as_stored(asked | {"steps": 200, "alpha": 0.9}) == stored
    latent = complete_row(
        configuration("Q-P-KD", 4, 0.5, 99.0, seed=3, recovery_steps=0, score_on="latent")
    )
    assert as_stored(latent) == latent
    scratch = complete_row(
        configuration("Q", 4, 0.5, 99.0, seed=3, recovery_steps=0, init="scratch")
    ) | {"seed": 3}
    assert as_stored(scratch)["seed"] == 3


def test_what_differs_in_another_setting_is_set_aside(rows, written):
    odd = configuration("KD-P-Q", 4, 0.75, 99.0, seed=0, recovery_steps=0, alpha=1.0)
    mse = configuration("P-Q", 4, 0.75, 99.0, seed=0, recovery_steps=0, scale="mse")
    usual = configuration("KD-P-Q", 4, 0.75, 99.0, seed=0, recovery_steps=0)
    two = usual | {"config_id": "two views", "student": "same:grid+csi"}
    twice = usual | {"config_id": "again", "seed": 1}
    extra = [row | {"teacher_hash": "teacher0"} for row in (odd, mse, two, usual, twice)]
    study = read_study([written([*rows, *extra])])
    assert study.aside == {"alpha=1.0": 1, "scale=mse": 1, "views=grid+csi": 1}
    assert len(study.rows) == len(rows) + 5
    assert len(study.compared) == len(rows) + 2 - 4  # less the references


def line(paths):
    with pytest.raises((ValueError, OSError)) as refused:
        read_study(paths)
    text = str(refused.value)
    assert "\n" not in text
    return text


def test_foreign_rows_are_named_with_file_and_column(rows, written):
    here = written(rows)
    for column, value in {"test_frames_hash": "others", "size_bytes": 7}.items():
        there = written([*rows[:4], rows[-1] | {column: value}], f"{column}/results.jsonl")
        text = line([here, there])
        assert str(there) in text
        assert f"column {column}" in text
    larger = reference("teacher", "teacher9") | {"params_total": 900_000}
    text = line([here, written([larger], "larger/results.jsonl")])
    assert "larger" in text
    assert "column params_total" in text


def test_rows_of_another_schema_are_named_with_file_and_column(tmp_path, rows, written):
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({"tensor": "block_0", "bits": 4}) + "\n")
    assert str(other) in line([other])
    assert "unknown column" in line([other])
    lacking = written([row | {"teacher_hash": None} for row in rows], "lacking.jsonl")
    assert f"{lacking}, row 1: column teacher_hash is empty" in line([lacking])


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "empty.jsonl"),
        (b"{}\n", "bare.jsonl"),
        (b"[1]\n", "list.jsonl"),
        (b"\xff\xfe\x00\n{}\n", "bytes.jsonl"),
        (b'{"kind": 3}\n', "number.jsonl"),
        (b"PAR1 not at all", "broken.parquet"),
        (b"", "empty.parquet"),
        (b"kind,pipeline\n", "rows.csv"),
    ],
)
def test_what_is_no_file_of_rows_is_one_line(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    assert name in line([tmp_path / name])


def test_nothing_there_and_nothing_in_it(tmp_path, rows, written):
    assert "no such file" in line([tmp_path / "nowhere"])
    assert "results.jsonl" in line([tmp_path])
    references = [row for row in rows if row["kind"] == "reference"]
    assert "no rows of configurations" in line([written(references)])


def test_a_committed_run_reads():
    laptop = pathlib.Path(__file__).parents[2] / "experiments" / "results" / "laptop"
    study = read_study([laptop])
    assert len(study.compared) == 102
    assert not study.aside
