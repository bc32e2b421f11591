"""Bit packing and mask codes give back what went in, at the size they claim."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfm_jax.export.bits import pack_bits, packed_size, unpack_bits
from wfm_jax.export.masks import BITMAP, DENSE, GAPS, MaskCode, decode_mask, encode_mask


@given(width=st.integers(0, 32), count=st.integers(0, 70), seed=st.integers(0, 99))
def test_bits_round_trip_at_their_size(width, count, seed):
    values = np.random.default_rng(seed).integers(0, 1 << width, count, dtype=np.uint64)
    data = pack_bits(values, width)
    assert len(data) == packed_size(count, width)
    np.testing.assert_array_equal(unpack_bits(data, count, width), values)


def test_bits_are_side_by_side_most_significant_first():
    assert pack_bits(np.array([0b101, 0b001, 0b111]), 3) == bytes([0b10100111, 0b10000000])


def test_bits_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="8 does not fit into 3 bits"):
        pack_bits(np.array([8]), 3)
    with pytest.raises(ValueError, match="1 bytes for 3 integers of 3 bits"):
        unpack_bits(b"\0", 3, 3)


@settings(max_examples=200)
@given(st.lists(st.booleans(), max_size=300))
def test_masks_round_trip(bits):
    keep = np.array(bits, bool)
    code = encode_mask(keep)
    np.testing.assert_array_equal(decode_mask(code, keep.size, int(keep.sum())), keep)
    assert len(code.data) <= packed_size(keep.size, 1)


@pytest.mark.parametrize("kept", [0.01, 0.1, 0.25, 0.5, 0.9])
def test_mask_size_is_near_the_entropy(kept):
    keep = np.random.default_rng(0).random((300, 400)) < kept
    entropy = -(kept * np.log2(kept) + (1 - kept) * np.log2(1 - kept))
    size = 8 * len(encode_mask(keep).data) / keep.size
    assert size <= min(1.0, 1.06 * entropy) + 0.002 if kept < 0.5 else size <= 1.001


def test_each_code_wins_where_it_should():
    assert encode_mask(np.ones((4, 4), bool)) == MaskCode(DENSE, 0, b"")
    assert encode_mask(np.arange(64) % 2 == 0).kind in (BITMAP, GAPS)
    assert encode_mask(np.random.default_rng(0).random(800) < 0.5).kind == BITMAP
    assert encode_mask(np.arange(800) == 700).kind == GAPS
    assert len(encode_mask(np.zeros(100_000, bool)).data) == 0


@pytest.mark.parametrize(
    "code",
    [
        MaskCode("runes", 0, b""),
        MaskCode(DENSE, 0, b""),
        MaskCode(BITMAP, 0, b"\xff"),
        MaskCode(BITMAP, 0, b"\xff\xff"),
        MaskCode(GAPS, 0, b"\xe0"),
        MaskCode(GAPS, 0, b"\xf0\xf0"),
        MaskCode(GAPS, 20, b"\xf0"),
        MaskCode(GAPS, 8, b"\xf0\x08\x08\x08\x08"),
    ],
)
def test_a_code_that_is_not_this_mask_is_refused(code):
    with pytest.raises(ValueError, match=r"mask|bytes for"):
        decode_mask(code, 12, 4)
