"""SigMF files: exact round trips, the sigmf package as the oracle, and bad input in one line."""

import hashlib
import json
import re
import sys
import tarfile
import warnings

import numpy as np
import pytest
import sigmf
from hypothesis import given, settings
from hypothesis import strategies as st

from wfm_jax.results.sigmf_file import (
    DATATYPES,
    from_bytes,
    open_recording,
    to_bytes,
    write_recording,
)

ANNOTATIONS = [{"core:sample_start": 3, "core:sample_count": 20, "core:label": "here"}]


def noise(n, seed=0):
    rng = np.random.default_rng(seed)
    parts = rng.uniform(-1.0, 1.0, (n, 2)).astype(np.float32)
    return parts.view(np.complex64)[:, 0]


@pytest.fixture
def written(tmp_path):
    """``written(datatype, **changes)``: the path of a recording of 100 samples whose global fields
    are changed afterwards; None takes a field away."""

    def write(datatype="cf32_le", /, **changes):
        path = tmp_path / "a.sigmf-meta"
        write_recording(path, noise(100), 2.5e6, datatype=datatype, annotations=ANNOTATIONS)
        if changes:
            meta = json.loads(path.read_text())
            fields = meta["global"] | {f"core:{name}": value for name, value in changes.items()}
            meta["global"] = {name: value for name, value in fields.items() if value is not None}
            path.write_text(json.dumps(meta))
        return path

    return write


def archive(path, data=None):
    """The recording as an archive."""
    target = path.with_suffix(".sigmf")
    with tarfile.open(target, "w") as tar:
        tar.add(path, f"a/{path.name}")
        tar.add(path.with_suffix(".sigmf-data") if data is None else data, "a/a.sigmf-data")
    return target


@pytest.mark.parametrize("datatype", DATATYPES)
def test_the_sigmf_package_reads_the_same(written, datatype):
    """What is written is valid, and its own reader gives the samples that ours gives."""
    path = written(datatype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        theirs = sigmf.sigmffile.fromfile(path)
        theirs.validate()
    ours = open_recording(path)
    np.testing.assert_array_equal(theirs.read_samples(), ours.read(0, 100))
    np.testing.assert_array_equal(theirs.read_samples(7, 20), ours.read(7, 20))
    assert (ours.datatype, ours.sample_rate_hz, ours.n_samples) == (datatype, 2.5e6, 100)
    assert ours.annotations == theirs.get_annotations() == ANNOTATIONS


@pytest.mark.parametrize("datatype", DATATYPES)
def test_the_sigmf_packages_files_are_read(tmp_path, datatype):
    """And its archives."""
    data = tmp_path / "b.sigmf-data"
    data.write_bytes(to_bytes(noise(50), datatype))
    fields = {"core:datatype": datatype, "core:sample_rate": 1e6, "core:version": "1.0.0"}
    theirs = sigmf.SigMFFile(data_file=data, global_info=fields)
    theirs.add_capture(0)
    theirs.tofile(tmp_path / "b.sigmf-meta")
    theirs.archive(tmp_path / "c.sigmf")
    for name in ("b.sigmf-meta", "c.sigmf"):
        ours = open_recording(tmp_path / name)
        np.testing.assert_array_equal(ours.read(0, 50), theirs.read_samples())


@pytest.mark.parametrize("datatype", ["cf32_le", "cf32_be"])
@given(st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=40))
@settings(max_examples=50, deadline=None)
def test_floats_come_back_bit_for_bit(datatype, parts):
    samples = np.array(parts[: len(parts) // 2 * 2], np.float32).view(np.complex64)
    back = from_bytes(to_bytes(samples, datatype), datatype)
    np.testing.assert_array_equal(back.view(np.uint32), samples.view(np.uint32))


@pytest.mark.parametrize(
    "datatype, bits", [("ci16_le", 16), ("ci16_be", 16), ("ci8", 8), ("cu8", 8)]
)
def test_integers_are_within_half_a_step_and_every_one_comes_back(datatype, bits):
    samples = (1.0 - 2.0 ** (1 - bits)) * noise(1000)
    back = from_bytes(to_bytes(samples, datatype), datatype)
    difference = (back - samples).view(np.float32)
    assert np.max(np.abs(difference)) <= 2.0**-bits * (1.0 + 1e-6)
    size = np.dtype(DATATYPES[datatype]).itemsize
    every = np.arange(2 ** (8 * size)).astype(f"<u{size}").tobytes()
    assert to_bytes(from_bytes(every, datatype), datatype) == every


def test_beyond_full_scale_is_clipped():
    samples = np.array([5.0 - 5.0j], np.complex64)
    assert from_bytes(to_bytes(samples, "ci8"), "ci8")[0] == 127 / 128 - 1j


def test_an_offset_is_taken_off_annotations(written):
    path = written(offset=3)
    assert open_recording(path).annotations[0]["core:sample_start"] == 0


def test_a_recording_without_a_checksum_is_read(written):
    assert open_recording(written(sha512=None)).n_samples == 100


def test_checksums_are_of_the_data_alone_in_archives(written):
    path = archive(written())
    assert open_recording(path).n_samples == 100
    data = bytearray(path.read_bytes())
    at = data.find(path.with_suffix(".sigmf-data").read_bytes())
    data[at + 5] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"core:sha512"):
        open_recording(path)


def refused(path, *parts):
    """The one line of the error, which names the file."""
    with pytest.raises(ValueError) as error:  # noqa: PT011
        open_recording(path)
    line = str(error.value)
    assert "\n" not in line
    assert len(line) < 400
    for part in (path.stem, *parts):
        assert part in line, line


@pytest.mark.parametrize(
    "text", ["", "{", "[1, 2]", '"x"', "\xff\xfe", '{"global": 3}', "[" * 9999]
)
def test_metadata_that_is_none_is_refused(written, text):
    path = written()
    path.write_text(text, encoding="latin-1")
    refused(path)


@pytest.mark.parametrize(
    "changes, parts",
    [
        ({"datatype": None}, ["core:datatype is missing"]),
        ({"sample_rate": None}, ["core:sample_rate is missing"]),
        ({"sample_rate": "fast"}, ["core:sample_rate", "fast"]),
        ({"sample_rate": -1.0}, ["core:sample_rate", "-1"]),
        ({"sample_rate": 0}, ["core:sample_rate", "0"]),
        ({"sample_rate": 1e300}, ["core:sample_rate"]),
        ({"sample_rate": float("nan")}, ["not JSON", "NaN"]),
        ({"sample_rate": float("inf")}, ["not JSON", "Infinity"]),
        ({"datatype": "rf32_le"}, ["core:datatype must be one of", "cf32_le", "'rf32_le'"]),
        ({"datatype": "cf64_le"}, ["core:datatype must be one of", "'cf64_le'"]),
        ({"datatype": "ru8"}, ["core:datatype must be one of", "'ru8'"]),
        ({"datatype": "cf32"}, ["core:datatype must be one of", "'cf32'"]),
        ({"datatype": "words"}, ["core:datatype", "words"]),
        ({"datatype": 3}, ["core:datatype", "3"]),
        ({"num_channels": 2}, ["core:num_channels must be 1, got 2"]),
        ({"dataset": "other.dat"}, ["core:dataset"]),
        ({"trailing_bytes": 4}, ["core:trailing_bytes"]),
        ({"sha512": "0" * 128}, ["core:sha512"]),
        ({"sha512": "no hash"}, ["core:sha512"]),
        (
            {"extensions": [{"name": "radar", "version": "1.0.0", "optional": False}]},
            ["core:extensions", "'radar'"],
        ),
    ],
)
def test_fields_that_make_no_sense_are_named(written, changes, parts):
    refused(written(**changes), *parts)


def test_header_bytes_are_refused(written):
    path = written()
    meta = json.loads(path.read_text())
    meta["captures"][0]["core:header_bytes"] = 4
    path.write_text(json.dumps(meta))
    refused(path, "core:header_bytes")


@pytest.mark.parametrize("n_bytes", [0, 3, 799])
def test_data_of_no_whole_samples_are_refused(written, n_bytes):
    path = written(sha512=None)
    path.with_suffix(".sigmf-data").write_bytes(bytes(n_bytes))
    refused(path, f"{n_bytes} bytes", "cf32_le", "a.sigmf-data")


def test_missing_files_are_named(written, tmp_path):
    path = written()
    path.with_suffix(".sigmf-data").unlink()
    refused(path, "a.sigmf-data is missing")
    with pytest.raises(OSError, match=re.escape("b.sigmf-meta")):
        open_recording(tmp_path / "b.sigmf-meta")
    (tmp_path / "song.wav").write_bytes(b"RIFF")
    with pytest.raises(ValueError, match=r"song.wav: a file that ends in .sigmf-meta"):
        open_recording(tmp_path / "song.wav")


def test_archives_that_are_none_are_refused(written, tmp_path):
    path = tmp_path / "a.sigmf"
    path.write_bytes(b"no tar" * 200)
    refused(path, "not a SigMF archive")
    meta = written()
    with tarfile.open(path, "w") as tar:
        tar.add(meta, "a.sigmf-meta")
    refused(path, "one recording is needed")
    with tarfile.open(path, "w") as tar:
        for name in ("a", "b"):
            tar.add(meta, f"{name}.sigmf-meta")
            tar.add(meta.with_suffix(".sigmf-data"), f"{name}.sigmf-data")
    refused(path, "one recording is needed")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused_when_read(tmp_path, value):
    samples = noise(100)
    samples[41] = value
    path = tmp_path / "a.sigmf-meta"
    write_recording(path, samples, 1e6)
    recording = open_recording(path)
    assert recording.read(0, 41).size == 41
    with pytest.raises(ValueError, match=r"a.sigmf-data: sample 41 is not finite"):
        recording.read(20, 50)


@pytest.mark.parametrize(
    "name, samples, options, message",
    [
        ("a.iq", noise(3), {}, r"ends in \.sigmf-meta"),
        ("a.sigmf-meta", noise(3), {"datatype": "rf32_le"}, "datatype must be one of"),
        ("a.sigmf-meta", np.zeros(3), {}, "samples must be complex"),
        ("a.sigmf-meta", noise(4).reshape(2, 2), {}, "samples must be complex"),
        ("a.sigmf-meta", noise(3), {"annotations": [{}]}, "annotations.0: .*sample_start"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, name, samples, options, message):
    with pytest.raises(ValueError, match=message):
        write_recording(tmp_path / name, samples, 1e6, **options)
    assert not list(tmp_path.iterdir())


def test_without_the_package_the_extra_is_named(written, monkeypatch):
    path = written()
    monkeypatch.setitem(sys.modules, "sigmf.validate", None)
    with pytest.raises(ValueError, match=r"sigmf package: pip install 'wfm_jax\[iq\]'"):
        open_recording(path)


def test_the_checksum_is_sha512_of_the_data(written):
    path = written("ci16_be")
    fields = json.loads(path.read_text())["global"]
    data = path.with_suffix(".sigmf-data").read_bytes()
    assert fields["core:sha512"] == hashlib.sha512(data).hexdigest()
