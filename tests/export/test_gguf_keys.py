"""Settings come back from a file's keys as they were, to the last bit and the last type."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfm_jax.export.gguf_keys import from_keys, to_keys

NAMES = st.text("abc_", min_size=1, max_size=4)
SCALARS = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()
VALUES = st.none() | SCALARS | st.lists(st.none() | SCALARS, max_size=3)
VALUES = VALUES | st.lists(st.lists(SCALARS, max_size=2), max_size=2)
FIELDS = st.recursive(
    st.dictionaries(NAMES, VALUES, max_size=4),
    lambda inner: st.dictionaries(NAMES, VALUES | inner.filter(bool), max_size=3),
    max_leaves=6,
)


def types_of(value):
    if isinstance(value, dict):
        return {name: types_of(entry) for name, entry in value.items()}
    return [types_of(entry) for entry in value] if isinstance(value, list) else type(value)


@given(FIELDS)
def test_round_trip(fields):
    keys = to_keys(fields, "wfm.model")
    back = from_keys(keys | {"general.name": "x", "wfm.models": 1}, "wfm.model")
    assert back == fields
    assert types_of(back) == types_of(fields)
    for value in keys.values():
        kinds = {type(entry) for entry in value} if isinstance(value, list) else {type(value)}
        assert len(kinds) == 1
        assert kinds <= {bool, int, float, str}


def test_keys_say_where_a_field_is():
    fields = {"heads": (4, 4), "link": {"fft_size": None, "range_db": (0, 30.0), "top": math.inf}}
    assert to_keys(fields, "m") == {
        "m.heads": [4, 4],
        "m.link.fft_size.json": "null",
        "m.link.range_db.json": "[0, 30.0]",
        "m.link.top": math.inf,
    }


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"m.a.json": "{"}, "m.a.json"),
        ({"m.a.json": 3}, "m.a.json"),
        ({"m.a": 1, "m.a.b": 2}, "m.a.b"),
    ],
)
def test_keys_that_are_no_settings_are_named(keys, named):
    with pytest.raises(ValueError, match=f"^{named}: "):
        from_keys(keys, "m")
