"""A packed file gives back every weight bit for bit, or refuses."""

import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfm_jax.compress import round_up_scale
from wfm_jax.export import packed
from wfm_jax.export.bound import entropy_bound
from wfm_jax.export.grids import NF4, Affine, Float, Uniform
from wfm_jax.export.header import read_header, write_header
from wfm_jax.export.packed import PackedFileError, load_packed, pack, save_packed, unpack
from wfm_jax.export.tensors import PackedTensor

ONES = np.ones((1, 2), np.float32)


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
    tensors = {
        "k": a_tensor(rng, (64, 64), 4, kept=0.25),
        "w": a_tensor(rng, (64, 64), 4),
        "b": a_tensor(rng, (64,), 16),
    }
    data = pack(tensors, {"a": 1})
    sizes = packed.size_breakdown(data)
    assert tuple(sizes) == packed.SECTIONS
    assert sum(sizes.values()) == len(data)
    bound = {name: one.total for name, one in entropy_bound(tensors).items()}
    assert sizes["pruned"] == pytest.approx(bound["k"], rel=0.02)
    assert sizes["matrices"] == pytest.approx(bound["w"], rel=0.02)
    assert sizes["vectors"] == 2 * 64
    assert sizes["scales"] == 2 * 64 * 4
    assert (sizes["preamble"], sizes["crc"]) == (17, 4)
    assert sizes["header"] == struct.unpack_from("<I", data, 5)[0]


def test_scales_are_stored_in_as_few_bits_as_that_is_exact():
    """On the coarse grid, else in float16, else in float32."""
    values = np.random.default_rng(0).integers(-7, 8, (4, 256))
    latent = np.random.default_rng(1).uniform(0.5, 1, (1, 256)).astype(np.float32)

    def scale_bytes(scale):
        return packed.size_breakdown(pack({"w": PackedTensor(values, Uniform(4, scale))}))["scales"]

    assert scale_bytes(latent) == 4 * 256
    assert scale_bytes(latent.astype(np.float16).astype(np.float32)) == 2 * 256
    for fraction_bits in (2, 4, 7):
        coarse = np.asarray(round_up_scale(latent, fraction_bits))
        assert scale_bytes(coarse) == pytest.approx(fraction_bits * 256 / 8, rel=0.15)
    assert scale_bytes(np.full((1, 256), 0.5, np.float32)) == 0


def test_rows_and_columns_of_nothing_take_no_room():
    """Half of the inputs and a third of the outputs are gone: what is left weighs what it did."""
    rng = np.random.default_rng(0)
    codes = rng.choice([-3, -2, -1, 1, 2, 3], (128, 96))
    scale = np.ones((1, 96), np.float32)
    keep = np.outer(rng.permutation(128) < 64, rng.permutation(96) < 64)
    scale[:, ~keep.any(0)] = 0.0
    sizes = packed.size_breakdown(pack({"w": PackedTensor(codes, Uniform(4, scale), keep)}))
    assert sizes["pruned"] < 1.1 * 64 * 64 * np.log2(6) / 8
    assert sizes["rows"] <= 128 // 8 + 1


def test_the_header_of_sixty_tensors_is_small():
    sizes = packed.size_breakdown(pack(a_model(np.random.default_rng(0))))
    assert sizes["header"] < 300


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


@pytest.mark.parametrize("version", [2, 4])
def test_an_earlier_and_a_later_version_are_named(tmp_path, version):
    data = pack({"w": PackedTensor(np.ones(3))})
    message = refusal(tmp_path, signed(data[:4] + bytes([version]) + data[5:-4]))
    assert message.endswith(f"version: {version}, this library reads 3")


def test_a_file_of_version_2_is_refused(tmp_path):
    """One without tensors, byte for byte as that version wrote it."""
    text = zlib.compress(b'{"tensors":{},"metadata":{}}', 9)
    message = refusal(tmp_path, signed(struct.pack("<4sBIQ", b"WFMP", 2, len(text), 0) + text))
    assert "version: 2" in message


def with_header(data, change):
    """The file with another header, whole and signed."""
    n_header, n_floats, n_stream = struct.unpack_from("<III", data, 5)
    header = change(read_header(data[17 : 17 + n_header]))
    text = header if isinstance(header, bytes) else write_header(header)
    preamble = struct.pack("<4sBIII", b"WFMP", 3, len(text), n_floats, n_stream)
    return signed(preamble + text + data[17 + n_header : -4])


WRONG = {
    "name": 3,
    "shape": [6, 4],
    "grid": "runes",
    "bits": 9,
    "blocks": [1, 4],
    "scales": 12,
    "pruned": 2,
}


@pytest.mark.parametrize("field", WRONG)
def test_a_signed_but_wrong_record_is_refused(tmp_path, field):
    data = pack({"w": a_tensor(np.random.default_rng(0), (6, 5), 4, kept=0.3)})

    def change(header):
        return header._replace(records=[header.records[0]._replace(**{field: WRONG[field]})])

    message = refusal(tmp_path, with_header(data, change))
    assert "w" in message or "3" in message


@pytest.mark.parametrize("grid", ["float", "affine", "nf4", "rows"])
def test_a_record_of_another_grid_is_refused(tmp_path, grid):
    data = pack({"w": a_tensor(np.random.default_rng(0), (6, 5), 4, kept=0.3)})

    def change(header):
        return header._replace(records=[header.records[0]._replace(grid=grid)])

    refusal(tmp_path, with_header(data, change))


@pytest.mark.parametrize(
    "change",
    [
        {"lowest": -100},
        {"gap": -1},
        {"size": 1},
        {"size": 2},
        {"size": 1 << 30},
        {"shift": 4},
        {"parts": 3},
        {"parts": 16},
    ],
)
def test_a_signed_but_wrong_model_is_refused_or_gives_whole_tensors(tmp_path, change):
    """A stream read by another model ends elsewhere, or holds what the grid has no code for."""
    data = pack({"w": a_tensor(np.random.default_rng(0), (60, 50), 4, kept=0.3)})

    def other(header):
        *rest, last = header.models
        return header._replace(models=[*rest, last._replace(**change)])

    assert with_header(data, lambda header: header) == data
    refusal(tmp_path, with_header(data, other))


def test_a_model_too_few_or_too_many_is_refused(tmp_path):
    data = pack({"w": a_tensor(np.random.default_rng(0), (6, 5), 4, kept=0.3)})
    for models in (lambda m: m[:-1], lambda m: [*m, m[0]]):
        message = refusal(
            tmp_path, with_header(data, lambda h, f=models: h._replace(models=f(h.models)))
        )
        assert "models" in message


@pytest.mark.parametrize("extra", [b"\0", b"\0" * 4])
@pytest.mark.parametrize("place", ["floats", "stream"])
def test_bytes_of_no_tensor_are_refused(tmp_path, place, extra):
    data = pack({"w": a_tensor(np.random.default_rng(0), (6, 5), 4), "v": a_tensor(
        np.random.default_rng(1), (5,), 32)})  # fmt: skip
    n_header, n_floats, n_stream = struct.unpack_from("<III", data, 5)
    at = 17 + n_header + n_floats + (n_stream if place == "stream" else 0)
    sizes = (n_header, n_floats + len(extra) * (place == "floats"),
             n_stream + len(extra) * (place == "stream"))  # fmt: skip
    preamble = struct.pack("<4sBIII", b"WFMP", 3, *sizes)
    refusal(tmp_path, signed(preamble + data[17:at] + extra + data[at:-4]))


def test_any_change_that_is_signed_is_refused_or_gives_whole_tensors():
    """No other exception than the one, whatever the header, the floats or the stream say."""
    rng = np.random.default_rng(0)
    data = pack(
        {
            "a": a_tensor(rng, (6, 5), 4, kept=0.3),
            "b": a_tensor(rng, (5,), 16),
            "c": PackedTensor(rng.integers(0, 16, (4, 2)), Affine(4, ONES, 3 * ONES)),
            "d": PackedTensor(rng.integers(0, 16, 8), NF4(np.ones(1))),
        }
    )
    refused = 0
    for at in range(17, len(data) - 4):
        for flip in (1, 16, 255):
            changed = bytearray(data[:-4])
            changed[at] ^= flip
            try:
                tensors = unpack(signed(bytes(changed)))
            except PackedFileError:
                refused += 1
            else:
                assert all(t.effective().shape == t.values.shape for t in tensors.values())
    assert refused > 100
