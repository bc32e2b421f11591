"""Rows survive kills and keep their schema."""

import json
import subprocess
import sys

import numpy as np
import pyarrow.parquet
import pytest

from wfm_jax.results import rows

SCORED = [
    "amc_accuracy",
    "gmi_fraction",
    "ber_4",
    "snr_loss_db",
    "channel_nmse_db",
    "k_mae_db",
    "retention",
]


def test_schema_names_are_unique_and_scores_have_intervals():
    names = [column.name for column in rows.COLUMNS]
    assert len(set(names)) == len(names)
    assert {f"{name}_ci95" for name in SCORED} <= set(names)
    assert all(column.meaning for column in rows.COLUMNS)


def test_append_then_read(tmp_path):
    path = tmp_path / "results.jsonl"
    rows.append_row(path, {"config_id": "a", "sparsity": np.float32(0.5), "seed": np.int64(3)})
    rows.append_row(path, {"config_id": "b", "loss": float("nan"), "ber_4": float("inf")})
    read, repaired = rows.read_rows(path)
    assert repaired is None
    assert [row["config_id"] for row in read] == ["a", "b"]
    assert read[0]["sparsity"] == 0.5
    assert read[0]["seed"] == 3
    assert read[1]["loss"] is None
    assert read[1]["ber_4"] is None
    assert list(read[0]) == [column.name for column in rows.COLUMNS]
    assert "NaN" not in path.read_text()


@pytest.mark.parametrize(
    "row", [{"sparsty": 0.5}, {"seed": 0.5}, {"seed": "1"}, {"pipeline": 3}, {"steps": True}]
)
def test_wrong_rows_are_refused_and_leave_no_trace(tmp_path, row):
    path = tmp_path / "results.jsonl"
    with pytest.raises(ValueError, match=next(iter(row))):
        rows.append_row(path, row)
    assert not path.exists()


def test_no_file_is_no_rows(tmp_path):
    assert rows.read_rows(tmp_path / "none.jsonl") == ([], None)


@pytest.mark.parametrize("cut", [1, 2, 40, 1000])
def test_a_torn_last_line_is_cut_off(tmp_path, cut):
    path = tmp_path / "results.jsonl"
    for name in "abc":
        rows.append_row(path, {"config_id": name})
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ValueError, match="torn"):
        rows.append_row(path, {"config_id": "d"})
    read, repaired = rows.read_rows(path)
    assert [row["config_id"] for row in read] == ["a", "b"]
    assert repaired is not None
    assert "after line 2" in repaired
    rows.append_row(path, {"config_id": "d"})
    read, repaired = rows.read_rows(path)
    assert [row["config_id"] for row in read] == ["a", "b", "d"]
    assert repaired is None
    assert list(tmp_path.iterdir()) == [path]


def test_an_invalid_last_line_is_cut_off_with_its_newline(tmp_path):
    path = tmp_path / "results.jsonl"
    rows.append_row(path, {"config_id": "a"})
    path.write_bytes(path.read_bytes() + b'{"config_id": "b", "se\n')
    read, repaired = rows.read_rows(path)
    assert len(read) == 1
    assert repaired is not None
    assert path.read_bytes().count(b"\n") == 1


@pytest.mark.parametrize("line", [b"{broken", b"[1]", b'{"unknown": 1}', b"", b"\xff"])
def test_an_invalid_line_in_the_middle_is_named(tmp_path, line):
    path = tmp_path / "results.jsonl"
    text = b'{"config_id": "a"}\n' + line + b'\n{"config_id": "c"}\n'
    path.write_bytes(text)
    with pytest.raises(ValueError, match=r"results.jsonl, line 2"):
        rows.read_rows(path)
    assert path.read_bytes() == text


def test_a_column_of_another_version_is_not_taken_for_a_torn_row(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text('{"config_id": "a", "from_tomorrow": 1}\n')
    with pytest.raises(ValueError, match="line 1: unknown column from_tomorrow"):
        rows.read_rows(path)


def test_parquet_has_the_schema_whatever_the_rows_hold(tmp_path):
    path = tmp_path / "results.parquet"
    rows.write_parquet([], path)
    empty = pyarrow.parquet.read_schema(path)
    rows.write_parquet([{"config_id": "a", "size_bytes": 5}, {"kind": "reference"}], path)
    table = pyarrow.parquet.read_table(path)
    assert table.schema.equals(empty)
    assert [str(field.type) for field in table.schema] == [
        {"str": "string", "int64": "int64", "float64": "double"}[column.dtype]
        for column in rows.COLUMNS
    ]
    assert table["size_bytes"].to_pylist() == [5, None]


def test_config_id_is_of_the_setting_and_not_of_its_spelling():
    one = rows.config_id({"bits": 4, "sparsity": 0.5, "groups": (1, 2)})
    assert one == rows.config_id({"groups": [1, 2], "sparsity": np.float64(0.5), "bits": 4.0})
    assert one != rows.config_id({"bits": 4, "sparsity": 0.75, "groups": (1, 2)})
    assert len(one) == 12
    assert json.loads(f'"{one}"') == one
    with pytest.raises(ValueError, match="finite"):
        rows.config_id({"alpha": float("nan")})


def test_a_disk_that_fills_up_leaves_no_half_row(tmp_path):
    """In a process whose files may not grow beyond two rows and a half."""
    path = tmp_path / "rows.jsonl"
    program = f"""
import resource
from wfm_jax.results import rows
rows.append_row({str(path)!r}, {{"config_id": "0"}})
length = len(open({str(path)!r}, "rb").read())
resource.setrlimit(resource.RLIMIT_FSIZE, (5 * length // 2, resource.RLIM_INFINITY))
for i in range(1, 4):
    try:
        rows.append_row({str(path)!r}, {{"config_id": str(i)}})
    except OSError as error:
        print(i, error.strerror)
        break
"""
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stdout == "2 File too large\n"
    found, repaired = rows.read_rows(path)
    assert [row["config_id"] for row in found] == ["0", "1"]
    assert repaired is None
