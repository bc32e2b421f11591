"""Places: simulated ones as test frames are drawn, recorded ones as they were written."""

import dataclasses
from fractions import Fraction

import jax
import numpy as np
import pytest

from tests import small
from wfm_jax.evaluate import frames, places
from wfm_jax.evaluate.many import draw_frames
from wfm_jax.results.recorded_frames import annotations_of, global_fields, labels_of
from wfm_jax.results.sigmf_file import write_recording

LINK = dataclasses.replace(small.LINK, bits_per_symbol=(2, 4))
SNRS_DB = (10.0, 15.0, 20.0)
SET = frames.TestSet(LINK, seed=3, frames_per_stratum=1)


@pytest.fixture(scope="module")
def frame():
    """Ten frames at each of three SNRs, on the host."""
    return jax.device_get(draw_frames(SET, SNRS_DB).frame)


@pytest.fixture
def recorded(frame, tmp_path):
    """``recorded(order, **changes) -> path`` of the frames in some order, a few fields changed."""

    def write(order=None, *, fields=None, change=lambda annotations: None, n=30):
        order = np.arange(n) if order is None else order
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[order], frame)
        annotations = annotations_of(LINK, labels_of(LINK, flat), stretch=Fraction(1))
        change(annotations)
        path = tmp_path / "place.sigmf-meta"
        known = global_fields(LINK, 1.0) if fields is None else fields
        samples, rate = flat.iq.reshape(-1), LINK.sample_rate_hz
        write_recording(path, samples, rate, fields=known, annotations=annotations)
        return path

    return write


def test_a_recorded_place_has_the_frames_that_were_written(recorded, frame):
    place = places.recorded_place(recorded())
    assert (place.name, place.words, place.snrs_db) == ("place", "place", SNRS_DB)
    drawn = place.draw()
    assert drawn.test_set.n_frames == 10
    np.testing.assert_array_equal(drawn.test_set.modulation, np.repeat([0, 1], 5))
    for name, values in frame._asdict().items():
        if name != "bits":  # those that are not used come back as zeros
            found = np.asarray(getattr(drawn.frame, name))
            np.testing.assert_allclose(found, values, rtol=1e-5, atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(drawn.frame.iq, frame.iq)
    np.testing.assert_array_equal(drawn.frame.channel, frame.channel)


def test_the_order_in_the_file_is_that_of_frames_within_a_constellation_only(recorded):
    """SNRs and constellations may come in any order."""
    inside = np.arange(30).reshape(3, 2, 5)
    shuffled = inside[::-1, ::-1].reshape(-1)
    one, other = (places.recorded_place(recorded(order)).draw() for order in (None, shuffled))
    assert one.snrs_db == other.snrs_db
    jax.tree.map(np.testing.assert_array_equal, one.frame, other.frame)


def test_another_recording_of_the_same_name_is_another_place(recorded):
    one = places.recorded_place(recorded())
    other = places.recorded_place(recorded(np.arange(30)[::-1]))
    assert one.name == other.name
    assert one.identity != other.identity


def without_modulation(annotations):
    for annotation in annotations:
        del annotation["wfm:modulation"]


def without_noise(annotations):
    annotations[0]["wfm:n0"] = 0.0


@pytest.mark.parametrize(
    "how, parts",
    [
        ({"fields": {}}, ["wfm:link", "no labels"]),
        ({"change": without_modulation}, ["annotations", "no labels"]),
        ({"change": without_noise}, ["wfm:n0", "positive"]),
        ({"n": 20}, ["wfm:n0", "20 dB", "at 10, 15 dB"]),
        ({"n": 29}, ["wfm:modulation", "at 20 dB", "5 of 4-QAM, 4 of 16-QAM"]),
        ({"order": np.r_[0:9, 10:30]}, ["wfm:modulation", "at 10 dB", "4 of 16-QAM", "5 of 4-QAM"]),
    ],
)
def test_what_is_no_place_is_named(recorded, how, parts):
    path = recorded(**how)
    with pytest.raises(ValueError, match=r"place\.sigmf-meta") as caught:
        places.recorded_place(path)
    assert all(part in str(caught.value) for part in parts), caught.value


def test_an_annotation_of_two_frames_is_none(recorded):
    def longer(annotations):
        annotations[0]["core:sample_count"] *= 2

    place = places.recorded_place(recorded(change=longer))
    with pytest.raises(ValueError, match="each must hold one frame"):
        place.draw()


def test_the_description_is_what_people_read(recorded):
    fields = global_fields(LINK, 1.0) | {"core:description": "a hall of many words and machines"}
    assert places.recorded_place(recorded(fields=fields)).words == "a hall of many words and"


def test_a_simulated_place_draws_the_link_of_its_name():
    place = places.simulated_place("low_k", LINK, frames=20, seed=4)
    assert place.test_set.link.scenario.k_db_range == (-12.0, 0.0)
    assert place.test_set.n_frames == 2 * 20
    assert set(places.MODEL_SNRS_DB) < set(place.snrs_db)
    home = places.simulated_place("as_trained", LINK, frames=20, seed=4)
    assert home.test_set == frames.TestSet(LINK, 4, frames_per_stratum=4)
    with pytest.raises(ValueError, match="multiple of 5 K bins, got 18"):
        places.simulated_place("low_k", LINK, frames=18, seed=4)
    with pytest.raises(ValueError, match="as_trained, long_delays"):
        places.simulated_place("moon", LINK, frames=20, seed=4)


def test_a_place_whose_symbols_interfere_is_drawn_without_a_warning():
    place = places.simulated_place("short_prefix", LINK, frames=5, seed=4)
    frame = place.draw().frame
    assert frame.grid.shape == (len(places.CURVE_SNRS_DB), 10, 4, 16)


def test_its_hash_is_that_of_its_frames(recorded, frame):
    drawn = places.recorded_place(recorded()).draw().frame
    at = jax.tree.map(lambda x: x[2], drawn)
    known = jax.tree.map(lambda x: x[2], frame)
    used = np.arange(4) < np.array([2, 4])[known.modulation][:, None, None]
    assert frames.hash_frame(at) == frames.hash_frame(known._replace(bits=known.bits * used))
