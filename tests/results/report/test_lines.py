"""Files that were not written by this version, or not to their end, are read as far as they go."""

import json

from hypothesis import given
from hypothesis import strategies as st

from wfm_jax.results.report.lines import clean, fitted, listing, read_lines
from wfm_jax.results.rows import Column

COLUMNS = (Column("a", "str", ""), Column("b", "int64", ""), Column("c", "float64", ""))


def test_whole_lines_are_read_and_half_a_line_is_said(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'{"a": 1}\n{"a": 2}\n{"a": ')
    before = file.read_bytes()
    objects, notes = read_lines(file)
    assert objects == [{"a": 1}, {"a": 2}]
    assert notes == ["rows.jsonl ends in half a line, which is left out"]
    assert file.read_bytes() == before


def test_a_last_line_that_is_whole_but_has_no_newline_counts(tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(b'{"a": 1}\n{}')
    assert read_lines(tmp_path / "rows.jsonl") == ([{"a": 1}, {}], [])


def test_damaged_lines_are_left_out_and_counted(tmp_path):
    nested = b"[" * 100_000
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'{"a": 1}\n\xff\xfe\n[1]\n\n' + nested + b'\n{"a": 2}\n')
    objects, notes = read_lines(file)
    assert objects == [{"a": 1}, {"a": 2}]
    assert notes == ["rows.jsonl: 3 lines cannot be read and are left out, the first is 2"]


def test_a_file_that_cannot_be_read_says_why(tmp_path):
    objects, notes = read_lines(tmp_path)
    assert objects == []
    assert "cannot be read" in notes[0]


def test_rows_of_another_schema_keep_what_fits():
    rows, notes = fitted([{"a": "x", "b": "three", "z": [1, 2]}, {"a": 1, "b": 2}], COLUMNS)
    assert rows == [
        {"a": "x", "b": None, "c": None, "z": "[1, 2]"},
        {"a": None, "b": 2, "c": None},
    ]
    assert notes == [
        "an older version wrote these rows: they lack c",
        "columns that this version does not know are shown as they are: z",
        "values that are of the wrong kind are left out, in b and a",
    ]


def test_numbers_that_no_float_holds_are_left_out():
    rows, _ = fitted([{"a": "x", "b": 1, "c": 10**400}], COLUMNS)
    assert rows[0] == {"a": "x", "b": 1, "c": None}


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_what_is_clean_is_printable_and_finite(value):
    found = clean(value)
    assert found is None or isinstance(found, str | int | float)
    if isinstance(found, str):
        assert found.isprintable()
    json.dumps(found, allow_nan=False)


def test_a_listing_names_the_first_and_counts_the_rest():
    assert listing(["a"]) == "a"
    assert listing(["a", "b", "c"]) == "a, b and c"
    assert listing(list("abcdefghij"), most=3) == "a, b, c and 7 more"
