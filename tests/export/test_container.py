"""A header and a payload come back as they were put in, or not at all."""

import json
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfm_jax.export.container import ExportFileError, Format, join, split

FORM = Format(b"TEST", 3, "a test")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(header=st.dictionaries(st.text(), JSON, max_size=4), payload=st.binary(max_size=200))
def test_round_trip(header, payload):
    assert split(FORM, join(FORM, header, payload), "here") == (header, payload)


def test_every_truncation_and_every_flipped_bit_is_refused():
    data = join(FORM, {"a": [1, 2]}, b"some bytes" * 3)
    for length in range(len(data)):
        with pytest.raises(ExportFileError, match=r"^here: (magic|size): "):
            split(FORM, data[:length], "here")
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ExportFileError, match=r"^here: (magic|version|size|crc32): "):
            split(FORM, bytes(damaged), "here")
    with pytest.raises(ExportFileError, match=r"^here: size: "):
        split(FORM, data + b"\0", "here")


def test_what_is_foreign_or_later_is_named():
    later = join(FORM._replace(version=4), {}, b"")
    with pytest.raises(ExportFileError, match=r"^f: version: 4, this library reads 3$"):
        split(FORM, later, "f")
    for foreign in (b"", b"PK\3\4" + later, join(FORM._replace(magic=b"ELSE"), {}, b"")):
        with pytest.raises(ExportFileError, match=r"^f: magic: not a test$"):
            split(FORM, foreign, "f")


@pytest.mark.parametrize("text", [b"{", json.dumps(3).encode(), b"\xff"])
def test_a_signed_but_wrong_header_is_refused(text):
    header, payload = zlib.compress(text), zlib.compress(b"")
    data = struct.pack("<4sBIQ", b"TEST", 3, len(header), len(payload)) + header + payload
    with pytest.raises(ExportFileError, match=r"^f: header: "):
        split(FORM, data + struct.pack("<I", zlib.crc32(data)), "f")
