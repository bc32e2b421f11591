"""A packed file gives back every weight bit for bit, or refuses."""

import json
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfm_jax.export import packed
from wfm_jax.export.grids import NF4, Affine, Float, Uniform
from wfm_jax.export.packed import PackedFileError, load_packed, pack, save_packed, unpack
from wfm_jax.export.tensors import PackedTensor


def a_tensor(rng, shape, bits, blocks=None, kept=None):
    keep = None if kept is None else rng.random(shape) < kept
    if bits >= 16:
        dtype = np.float16 if bits == 16 else np.float32
        return PackedTensor(
            rng.normal(size=shape).astype(dtype).astype(np.float32), Float(bits), keep
        )
    half = 1 << bits - 1
    values = rng.integers(-half, half, shape)
    blocks = blocks or (1,) * (len(shape) - 1) + shape[-1:]
    return PackedTensor(values, Uniform(bits, rng.normal(size=blocks).astype(np.float32)), keep)


def a_model(rng, layers=10):
    model = {}
    for layer in range(layers):
        for name in ("query", "key", "out"):
            prefix = f"block_{layer}/attention/{name}"
            model[f"{prefix}/kernel"] = a_tensor(rng, (32, 32), 4, kept=0.25)
            model[f"{prefix}/bias"] = a_tensor(rng, (32,), 16)
    return model


def same_bits(one, other):
    return (
        one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    )


shapes = st.sampled_from([(), (0,), (1,), (7,), (6, 5), (4, 0), (8, 3), (2, 3, 4)])


@settings(max_examples=150, deadline=None)
@given(
    shape=shapes,
    bits=st.sampled_from([2, 3, 4, 5, 6, 7, 8, 16, 32]),
    kept=st.sampled_from([None, 0.0, 0.03, 0.3, 0.8, 1.0]),
    seed=st.integers(0, 1000),
)
def test_round_trip_is_bit_identical(shape, bits, kept, seed):
    blocks = tuple(1 for _ in shape) if 0 in shape else None
    tensor = a_tensor(np.random.default_rng(seed), shape, bits, blocks, kept)
    data = pack({"w": tensor})
    assert same_bits(unpack(data)["w"].effective(), tensor.effective())
    assert sum(packed.size_breakdown(data).values()) == len(data)


@pytest.mark.parametrize("blocks", [(1, 1), (1, 6), (4, 6), (4, 1), (8, 6)])
def test_scales_by_block(blocks):
    tensor = a_tensor(np.random.default_rng(0), (8, 6), 4, blocks)
    (back,) = unpack(pack({"w": tensor})).values()
    full = tensor.grid.scale.repeat(8 // blocks[0], 0).repeat(6 // blocks[1], 1)
    assert same_bits(back.effective(), tensor.values.astype(np.float32) * full + np.float32(0))
    np.testing.assert_array_equal(back.values, tensor.values)


def test_odd_floats_survive():
    values = np.array([-0.0, 0.0, np.nan, np.inf, -np.inf, 1e-45, -3.4e38], np.float32)
    tensor = PackedTensor(values)
    assert same_bits(unpack(pack({"w": tensor}))["w"].effective(), values)
    zero_scale = PackedTensor(np.array([[1, -1]]), Uniform(2, np.zeros((1, 2))))
    assert same_bits(unpack(pack({"w": zero_scale}))["w"].effective(), zero_scale.effective())


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (PackedTensor(np.float32([0.1]), Float(16)), "float16"),
        (PackedTensor(np.float32([1e6]), Float(16)), "float16"),
        (PackedTensor(np.float32([1]), Float(8)), "floats of 8 bits: .* 16 or 32"),
        (PackedTensor(np.array([8]), Uniform(4, np.ones(1))), r"outside -8\.\.7"),
        (PackedTensor(np.array([1.0]), Uniform(4, np.ones(1))), "hold integers"),
        (PackedTensor(np.array([1]), Uniform(9, np.ones(1))), "2 to 8, 16 or 32"),
        (PackedTensor(np.array([1, 1]), Uniform(4, np.ones(3))), "does not fit"),
        (PackedTensor(np.array([16]), Affine(4, np.ones(1), np.ones(1))), r"outside 0\.\.15"),
        (PackedTensor(np.array([16]), NF4(np.ones(1))), r"outside 0\.\.15"),
    ],
)
def test_what_cannot_be_stored_is_named(tensor, reason):
    with pytest.raises(ValueError, match=f"^block/kernel: .*{reason}"):
        pack({"block/kernel": tensor})


def test_every_byte_is_accounted_for():
    rng = np.random.default_rng(0)
    tensors = {"k": a_tensor(rng, (64, 64), 4, kept=0.25), "b": a_tensor(rng, (64,), 16)}
    sizes = packed.size_breakdown(pack(tensors))
    kept = int((tensors["k"].effective() != 0).sum())
    assert sizes["values"] == -(-kept * 4 // 8) + 128
    assert sizes["scales"] == 64 * 4
    assert sizes["masks"] < 64 * 64 // 8
    assert sizes["crc"] == 4


def test_float16_scales_are_stored_in_half_where_that_is_exact():
    values, scale = np.ones((4, 64), int), np.full((1, 64), 0.5, np.float32)
    exact = packed.size_breakdown(pack({"w": PackedTensor(values, Uniform(4, scale))}))
    other = packed.size_breakdown(pack({"w": PackedTensor(values, Uniform(4, scale * 1.1))}))
    assert (exact["scales"], other["scales"]) == (128, 256)


def test_the_header_of_sixty_tensors_is_small():
    sizes = packed.size_breakdown(pack(a_model(np.random.default_rng(0))))
    assert sizes["header"] < 2000


def test_nothing_and_metadata():
    data = pack({}, {"config_id": "abc"})
    assert unpack(data) == {}
    assert packed.read_metadata(data) == {"config_id": "abc"}
    assert sum(packed.size_breakdown(data).values()) == len(data)


def test_save_and_load(tmp_path):
    model = a_model(np.random.default_rng(0), layers=2)
    path = tmp_path / "model.wfm"
    assert save_packed(path, model) == path.stat().st_size
    loaded = load_packed(path)
    assert list(loaded) == list(model)
    assert all(same_bits(loaded[name], model[name].effective()) for name in model)


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.wfm"
    save_packed(path, a_model(np.random.default_rng(0), layers=1))
    before = path.read_bytes()

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        save_packed(path, {})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def refusal(tmp_path, data):
    path = tmp_path / "damaged.wfm"
    path.write_bytes(data)
    with pytest.raises(PackedFileError, match=r"damaged\.wfm") as caught:
        load_packed(path)
    return str(caught.value)


def test_every_truncation_and_every_flipped_bit_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    data = pack({"a": a_tensor(rng, (6, 5), 4, kept=0.3), "b": a_tensor(rng, (5,), 16)})
    for length in range(len(data)):
        with pytest.raises(PackedFileError):
            unpack(data[:length])
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PackedFileError):
            unpack(bytes(damaged))
    assert "magic" in refusal(tmp_path, b"PK\x03\x04" + data)
    assert "magic" in refusal(tmp_path, b"")
    assert "size" in refusal(tmp_path, data[:9])
    assert "size" in refusal(tmp_path, data + b"\0")
    assert "crc32" in refusal(tmp_path, data[:-9] + b"\0\1\2\3\4" + data[-4:])


def signed(data):
    return data + struct.pack("<I", zlib.crc32(data))


def test_a_later_version_is_named(tmp_path):
    data = pack({})
    assert "version: 3" in refusal(tmp_path, signed(data[:4] + b"\3" + data[5:-4]))


WRONG = {
    "kept": 3,
    "shape": [6, 4],
    "bits": 9,
    "mask": "runes",
    "scale_shape": [1, 4],
    "scale_bits": 12,
    "grid": "runes",
}


@pytest.mark.parametrize("change", [*WRONG, "names", "raw", "affine", "nf4", "uniform_rows"])
def test_a_signed_but_wrong_header_is_refused(tmp_path, change):
    data = pack({"w": a_tensor(np.random.default_rng(0), (6, 5), 4, kept=0.3)})
    size, payload = struct.unpack_from("<IQ", data, 5)
    header = json.loads(zlib.decompress(data[17 : 17 + size]))
    columns = header["tensors"]
    if change in WRONG:
        columns[change] = [WRONG[change]]
    elif change == "names":
        del columns["name"]
    else:
        columns["grid"] = [change]
    text = zlib.compress(b"[1" if change == "raw" else json.dumps(header).encode())
    preamble = struct.pack("<4sBIQ", b"WFMP", 2, len(text), payload)
    message = refusal(tmp_path, signed(preamble + text + data[17 + size : -4]))
    assert "header" in message or "tensor w" in message
