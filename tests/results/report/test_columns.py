"""Columns in little space say what the rows say."""

import math

from hypothesis import given
from hypothesis import strategies as st

from wfm_jax.results.report.columns import packed, rounded, views

VALUES = st.none() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)


def unpacked(column):
    """As ``data.js`` reads it."""
    values = column["values"]
    if "codes" in values:
        return lambda i: values["words"][values["codes"][i]]
    return (lambda i: values["all"]) if "all" in values else (lambda i: values["each"][i])


@given(st.lists(st.fixed_dictionaries({"size": VALUES, "name": st.none() | st.text()}), min_size=1))
def test_what_is_packed_is_there_again(rows):
    columns = {column["name"]: unpacked(column) for column in packed(rows)}
    for i, row in enumerate(rows):
        assert columns["name"](i) == row["name"] if "name" in columns else row["name"] is None
        found = columns["size"](i) if "size" in columns else None
        if row["size"] is None or isinstance(row["size"], int):
            assert found == row["size"]
        else:
            assert math.isclose(found, row["size"], rel_tol=5e-5)


def test_a_column_of_one_value_is_stored_once_and_an_empty_one_not_at_all():
    columns = packed([{"a": "x", "b": None, "c": 1.0}, {"a": "x", "b": None, "c": 2.0}])
    assert [column["name"] for column in columns] == ["a", "c"]
    assert columns[0]["values"] == {"all": "x"}
    assert columns[1]["values"] == {"each": [1, 2]}


def test_a_column_of_both_kinds_is_text():
    (column,) = packed([{"odd": 3}, {"odd": "three"}])
    assert not column["number"]
    assert [unpacked(column)(i) for i in range(2)] == ["3", "three"]


def test_numbers_keep_five_digits_and_whole_ones_all():
    assert rounded(12345.6789) == 12346
    assert rounded(0.123456789) == 0.12346
    assert rounded(123456789) == 123456789
    assert rounded(7) == 7
    assert rounded(math.inf) is None


def test_views_show_columns_that_are_there():
    found = views(["run", "name", "retention", "odd"])
    assert found["scores"] == ["run", "name", "retention"]
    assert found["everything"] == ["run", "name", "retention", "odd"]
