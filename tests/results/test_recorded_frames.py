"""Frames as recordings: they come back exactly, labels included, and bad labels are named."""

import base64
import json
import warnings
from fractions import Fraction

import jax
import numpy as np
import pytest
import sigmf

from tests import small
from wfm_jax.results.recorded_frames import (
    Labels,
    annotations_of,
    frame_annotations,
    full_scale_of,
    global_fields,
    labels_of,
    link_of,
    read_labels,
)
from wfm_jax.results.sigmf_file import open_recording, write_recording
from wfm_jax.signal import link

N = 12


@pytest.fixture(scope="module")
def drawn():
    """Draws and frames."""

    @jax.jit
    def draw(key):
        key_draw, key_send = jax.random.split(key)
        links = link.draw_links(small.LINK, key=key_draw, batch_size=N)
        return links, link.transmit(small.LINK, links, key=key_send)

    return jax.device_get(draw(jax.random.key(0)))


@pytest.fixture
def path(drawn, tmp_path):
    """Of the frames' recording."""
    draw, frame = drawn
    path = tmp_path / "frames.sigmf-meta"
    labels = labels_of(small.LINK, frame)
    write_recording(
        path,
        frame.iq.reshape(-1),
        small.LINK.sample_rate_hz,
        fields=global_fields(small.LINK, 1.0),
        annotations=annotations_of(small.LINK, labels, draw, stretch=Fraction(1)),
    )
    return path


def changed(path, **labels):
    """The recording with labels of its third frame changed; None takes one away."""
    meta = json.loads(path.read_text())
    annotation = meta["annotations"][2] | {f"wfm:{name}": x for name, x in labels.items()}
    kept = {k: v for k, v in annotation.items() if v is not None or k == "wfm:k_db"}
    meta["annotations"][2] = kept
    path.write_text(json.dumps(meta))
    return open_recording(path)


def test_frames_come_back_exactly(drawn, path):
    _, frame = drawn
    recording = open_recording(path)
    config = link_of(recording)
    assert config == small.LINK
    assert full_scale_of(recording) == 1.0
    iq = recording.read(0, recording.n_samples).reshape(N, -1)
    np.testing.assert_array_equal(iq.view(np.uint32), frame.iq.view(np.uint32))
    back = read_labels(config, recording, frame_annotations(recording))
    for name, ours, theirs in zip(Labels._fields, back, labels_of(config, frame), strict=True):
        assert ours.dtype == theirs.dtype, name
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
    assert np.isnan(frame.k_db).any()
    assert not np.isnan(frame.k_db).all()


def test_bits_in_use_come_back_and_others_are_zero(drawn, path):
    _, frame = drawn
    recording = open_recording(path)
    back = read_labels(small.LINK, recording, frame_annotations(recording))
    for i, m in enumerate(np.asarray(small.LINK.bits_per_symbol)[frame.modulation]):
        np.testing.assert_array_equal(back.bits[i, :, :m], frame.bits[i, :, :m])
        assert not back.bits[i, :, m:].any()


def test_the_sigmf_package_finds_it_valid_and_its_namespace_declared(path):
    with warnings.catch_warnings():  # one of a namespace that is not declared is an error
        warnings.filterwarnings("ignore", message=".*deprecated")
        theirs = sigmf.sigmffile.fromfile(path)
        theirs.validate()
    annotations = theirs.get_annotations()
    assert len(annotations) == N
    assert {a["core:sample_count"] for a in annotations} == {small.LINK.n_samples}
    assert all(len(a["core:label"]) <= 20 for a in annotations)


def test_labels_are_readable_without_this_library(drawn, path):
    draw, frame = drawn
    annotation = json.loads(path.read_text())["annotations"][5]
    m = small.LINK.bits_per_symbol[frame.modulation[5]]
    assert annotation["wfm:modulation"] == 2**m
    packed = base64.b64decode(annotation["wfm:bits"])
    first = [int(bit) for bit in f"{packed[0]:08b}"]
    np.testing.assert_array_equal(first, frame.bits[5, :, :m].reshape(-1)[:8])
    channel = np.frombuffer(base64.b64decode(annotation["wfm:channel"]), "<c8")
    np.testing.assert_array_equal(channel, frame.channel[5].reshape(-1))
    assert annotation["wfm:timing_offset"] == draw.timing_offset[5]


def test_frames_at_another_rate_lie_further_apart(drawn):
    labels = labels_of(small.LINK, drawn[1])
    annotations = annotations_of(small.LINK, labels, stretch=Fraction(5, 4))
    count = small.LINK.n_samples * 5 // 4
    assert [a["core:sample_start"] for a in annotations] == [i * count for i in range(N)]
    with pytest.raises(ValueError, match="no whole number of samples"):
        annotations_of(small.LINK, labels, stretch=Fraction(7, 5))


@pytest.mark.parametrize(
    "change, parts",
    [
        ({"modulation": 32}, ["wfm:modulation", "4, 16, 64, 256", "32"]),
        ({"modulation": [4]}, ["wfm:modulation"]),
        ({"modulation": "16"}, ["wfm:modulation", "'16'"]),
        ({"snr_db": None}, ["wfm:snr_db is missing"]),
        ({"snr_db": "loud"}, ["wfm:snr_db", "'loud'"]),
        ({"snr_db": True}, ["wfm:snr_db", "True"]),
        ({"los": 1}, ["wfm:los", "true or false"]),
        ({"bits": "!"}, ["wfm:bits"]),
        ({"bits": "AAAA"}, ["wfm:bits", "bytes are needed, got 3"]),
        ({"bits": 5}, ["wfm:bits"]),
        ({"channel": "AAAA"}, ["wfm:channel", "bytes are needed, got 3"]),
    ],
)
def test_labels_that_are_none_are_named(path, change, parts):
    recording = changed(path, **change)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        read_labels(small.LINK, recording, frame_annotations(recording))
    for part in ("frames.sigmf-meta", "frame 2", *parts):
        assert part in str(error.value), error.value


@pytest.mark.parametrize(
    "field, value, read, message",
    [
        ("wfm:link", {"n_symbols": 4}, link_of, "wfm:link: not a link"),
        ("wfm:link", "LTE", link_of, "wfm:link: not a link"),
        ("wfm:full_scale", 0.0, full_scale_of, "wfm:full_scale must be positive"),
        ("wfm:full_scale", "1", full_scale_of, "wfm:full_scale must be positive"),
    ],
)
def test_other_links_and_scales_are_refused(path, field, value, read, message):
    meta = json.loads(path.read_text())
    meta["global"][field] = value
    path.write_text(json.dumps(meta))
    recording = open_recording(path)
    with pytest.raises(ValueError, match=message):
        read(recording)


def test_a_link_of_a_short_prefix_is_read_without_a_word(path):
    meta = json.loads(path.read_text())
    meta["global"]["wfm:link"]["cp_samples"] = 2
    path.write_text(json.dumps(meta))
    config = link_of(open_recording(path))
    assert config is not None
    assert config.cp_samples == 2


def test_recordings_of_others_have_no_link(tmp_path):
    path = tmp_path / "other.sigmf-meta"
    write_recording(path, np.ones(10, np.complex64), 1e6, annotations=[{"core:sample_start": 0}])
    recording = open_recording(path)
    assert link_of(recording) is None
    assert full_scale_of(recording) == 1.0
    assert frame_annotations(recording) == []
