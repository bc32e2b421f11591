"""From frames to SigMF and back to the model's answers: the same, to the last bit."""

import dataclasses

import jax
import numpy as np
import pytest

from tests import small
from wfm_jax.evaluate import recording_study
from wfm_jax.evaluate.frame_recording import FrameRecording, draw_frames, record_frames
from wfm_jax.evaluate.intervals import half_width, resample_weights
from wfm_jax.evaluate.metrics import weighted_mean
from wfm_jax.evaluate.recording_answers import Answers, answer_segments
from wfm_jax.evaluate.recording_segments import Cutting, cut_recording
from wfm_jax.evaluate.recording_study import RecordingStudy, hear
from wfm_jax.model import build, prepare, preset
from wfm_jax.results.recorded_frames import frame_annotations, read_labels
from wfm_jax.results.recording_rows import SCORE_COLUMNS, SEGMENT_COLUMNS
from wfm_jax.results.rows import complete_row
from wfm_jax.results.sigmf_file import open_recording, write_recording
from wfm_jax.signal import link_fields
from wfm_jax.train.model_files import load_teacher

LINK = dataclasses.replace(small.LINK, bits_per_symbol=(2, 4))  # compiles in half of the time
N = 70  # more than one block of frames
ALL = ("grid", "csi", "spectrogram", "iq")
WANTED = FrameRecording(LINK, N)


@pytest.fixture(scope="module")
def model():
    config = preset("pico", LINK)
    return config, small.moved(build(config, jax.random.key(0))[1], 0.1)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return open_recording(record_frames(WANTED, tmp_path_factory.mktemp("recording")))


@pytest.fixture(scope="module")
def heard(model, recording):
    return hear(RecordingStudy(), recording, *model, teacher_hash="abc")


def by_views(heard, views, column):
    return np.array([row[column] for row in heard.segments if row["views"] == views])


def test_answers_are_those_to_the_frames_own_samples(model, heard):
    frame = draw_frames(WANTED)[1]
    alone, everything = answer_segments(*model, frame.iq, [("iq",), ALL])
    for views, said in (("iq", alone), ("+".join(ALL), everything)):
        np.testing.assert_array_equal(by_views(heard, views, "snr_db"), said.snr_db)
        np.testing.assert_array_equal(by_views(heard, views, "k_db"), said.k_db)
        np.testing.assert_array_equal(by_views(heard, views, "los_probability"), said.los)
        decided = 2 ** np.array(LINK.bits_per_symbol)[np.argmax(said.modulation, axis=1)]
        np.testing.assert_array_equal(by_views(heard, views, "modulation"), decided)
    assert np.max(np.abs(alone.snr_db - everything.snr_db)) > 0.01


@pytest.mark.parametrize("views", [("iq",), ALL])
def test_answers_are_those_of_the_model_to_frames_with_these_views(model, views):
    """Views that are not given are None, as in training with missing views."""
    (config, params), frame = model, draw_frames(WANTED)[1]
    apply = build(config, jax.random.key(0))[0]
    given = frame._replace(**{view: None for view in ALL if view not in views})
    blind = np.full(N, config.n_modulations, np.int32)
    wanted = jax.jit(lambda frame: apply(params, prepare(config, frame, blind)[0]))(given)
    (said,) = answer_segments(config, params, frame.iq, [views])
    for name in ("snr_db", "k_db", "delay_spread_s"):
        np.testing.assert_allclose(getattr(said, name), getattr(wanted, name), rtol=1e-3)
    probability = jax.nn.softmax(wanted.modulation)
    np.testing.assert_allclose(said.modulation, probability, atol=1e-3)


def test_labels_stand_beside(heard):
    frame = draw_frames(WANTED)[1]
    np.testing.assert_array_equal(by_views(heard, "iq", "true_snr_db"), frame.snr_db)
    np.testing.assert_array_equal(by_views(heard, "iq", "true_los"), frame.los)
    points = 2 ** np.array(LINK.bits_per_symbol)[frame.modulation]
    np.testing.assert_array_equal(by_views(heard, "iq", "true_modulation"), points)


def test_scores_are_those_of_the_answers(heard):
    scores = {(row["views"], row["task"]): row for row in heard.scores}
    for views in ("iq", "+".join(ALL)):
        right = by_views(heard, views, "modulation") == by_views(heard, views, "true_modulation")
        assert scores[views, "modulation"]["score"] == pytest.approx(right.mean())
        error = by_views(heard, views, "snr_db") - by_views(heard, views, "true_snr_db")
        assert scores[views, "snr"]["score"] == pytest.approx(np.abs(error).mean(), rel=1e-3)
        los = (by_views(heard, views, "los_probability") > 0.5) == by_views(
            heard, views, "true_los"
        )
        assert scores[views, "los"]["score"] == pytest.approx(los.mean())
        for task in ("modulation", "snr", "k", "los", "delay_spread", "bits", "channel"):
            row = scores[views, task]
            assert row["score_low"] <= row["score"] <= row["score_high"]
            assert row["frames"] == N
    labels = by_views(heard, "iq", "true_snr_db")
    guess = scores["iq", "snr"]["guess"]
    assert guess == pytest.approx(np.abs(labels - np.median(labels)).mean(), rel=1e-5)
    assert scores["iq", "modulation"]["guess"] == 0.5


def test_rows_fit_their_columns(heard):
    assert all(complete_row(row, SEGMENT_COLUMNS)["recording"] for row in heard.segments)
    assert all(complete_row(row, SCORE_COLUMNS)["teacher_hash"] for row in heard.scores)


@pytest.mark.parametrize(
    "study, views",
    [
        (RecordingStudy(where="hop"), ["iq"]),
        (RecordingStudy(where="prefix"), ["iq", "+".join(ALL)]),
        (RecordingStudy(where="hop", views="all"), ["+".join(ALL)]),
        (RecordingStudy(where="prefix", views="iq"), ["iq"]),
    ],
)
def test_views_are_those_asked_for(model, recording, monkeypatch, study, views):
    def silent(config, params, iq, subsets):
        n = iq.shape[0]
        return [Answers(np.ones((n, 2)), *np.zeros((4, n))) for _ in subsets]

    monkeypatch.setattr(recording_study, "answer_segments", silent)
    found = hear(dataclasses.replace(study, most=3), recording, *model, teacher_hash="abc")
    assert [row["views"] for row in found.segments] == [name for name in views for _ in range(3)]
    assert found.scores == []


def test_recordings_of_others_are_answered(model, tmp_path):
    """At a rate of their own, without labels: every segment, from the samples alone."""
    rng = np.random.default_rng(0)
    samples = (0.1 * (rng.normal(size=3000) + 1j * rng.normal(size=3000))).astype(np.complex64)
    path = tmp_path / "other.sigmf-meta"
    write_recording(path, samples, 24e6, datatype="cu8")
    found = hear(RecordingStudy(), open_recording(path), *model, teacher_hash="abc")
    assert {row["views"] for row in found.segments} == {"iq"}
    assert len(found.segments) == int(3000 * 10 / 24) // LINK.n_samples
    assert found.scores == []
    assert "true_snr_db" not in found.segments[0]
    power_dbfs = np.mean([row["power_dbfs"] for row in found.segments])
    # White noise of 24 MHz within 10 MHz; 0.3 dB are four standard errors of 1,250 samples.
    assert power_dbfs == pytest.approx(10.0 * np.log10(0.02 * 10 / 24), abs=0.5)


def test_frames_of_other_constellations_are_refused(model, recording):
    other = link_fields.to_dict(dataclasses.replace(LINK, bits_per_symbol=(2, 6)))
    foreign = recording._replace(fields={**recording.fields, "wfm:link": other})
    with pytest.raises(ValueError, match=r"wfm:link: its frames have \(2, 6\) bits a symbol"):
        hear(RecordingStudy(), foreign, *model, teacher_hash="abc")


def test_the_pretrained_model_scores_alike_in_other_datatypes_and_rates(tmp_path):
    """Within the interval of its score on the samples as they were; from the samples alone it tells
    modulations, and next to nothing of the SNR."""
    config, params, _ = load_teacher()
    iq, n = [], 128
    for i, (datatype, rate_hz) in enumerate(
        (("cf32_le", None), ("ci16_le", None), ("cu8", None), ("cf32_le", 25e6))
    ):
        (tmp_path / str(i)).mkdir()
        wanted = FrameRecording(config.link, n, 3, datatype, rate_hz)
        recording = open_recording(record_frames(wanted, tmp_path / str(i)))
        iq.append(cut_recording(recording, config.link, Cutting("annotations")).iq)
    labels = read_labels(config.link, recording, frame_annotations(recording))
    alone, everything = answer_segments(config, params, np.concatenate(iq), [("iq",), ALL])
    weights = resample_weights(np.zeros(n, int), seed=0)

    def right(said):
        decided = np.argmax(said.modulation, axis=1).reshape(-1, n)
        return [weighted_mean(row == labels.modulation, weights) for row in decided]

    def snr_error_db(said):
        errors = np.abs(said.snr_db.reshape(-1, n) - labels.snr_db)
        return [weighted_mean(row, weights) for row in errors]

    for said in (alone, everything):
        first, *others = right(said)
        assert all(abs(other[0] - first[0]) <= half_width(first) for other in others)
        first, *integers, faster = snr_error_db(said)
        assert all(abs(other[0] - first[0]) <= half_width(first) for other in integers)
        # The link fills its band to the edges, where no filter can keep it whole.
        assert faster[0] - first[0] <= 0.6
    assert right(everything)[0][0] > 0.7
    assert snr_error_db(everything)[0][0] < 1.5
    assert right(alone)[0][0] > 0.35
    spread_db = np.mean(np.abs(labels.snr_db - np.median(labels.snr_db)))
    assert snr_error_db(alone)[0][0] == pytest.approx(spread_db, rel=0.1)
