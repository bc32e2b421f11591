"""Whatever a text is, it comes out of the page as it was, and ends nothing on its way."""

import base64
import hashlib
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.made_runs import HOSTILE
from wfm_jax.results.report.embed import policy, safe_json


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
@example({HOSTILE: HOSTILE})
@example({"a": "<!-- <script> \u2028 \u2029 ]]>"})
def test_json_is_read_back_and_has_no_markup(value):
    text = safe_json(value)
    assert json.loads(text) == value
    assert text.isascii()
    assert not set("<>&") & set(text)


def test_json_holds_no_number_that_json_lacks():
    with pytest.raises(ValueError, match="JSON"):
        safe_json({"a": float("nan")})


def test_the_policy_allows_these_programs_and_no_address():
    text = policy(["one", "two"])
    allowed = dict(part.split(" ", 1) for part in text.split("; "))
    digest = base64.b64encode(hashlib.sha256(b"one").digest()).decode()
    assert allowed["default-src"] == "'none'"
    assert allowed["script-src"].split()[0] == f"'sha256-{digest}'"
    assert len(allowed["script-src"].split()) == 2
    assert "http" not in text
    assert "unsafe" not in allowed["script-src"]
