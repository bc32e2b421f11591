"""Pictures of an evaluation: what is in them, on receivers made by hand."""

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from tests import evaluated, small
from wfm_jax.evaluate import model_rows
from wfm_jax.evaluate.frames import TestSet as Frames
from wfm_jax.evaluate.intervals import resample_weights
from wfm_jax.evaluate.model_study import ModelStudy
from wfm_jax.results import (
    calibration_picture,
    confusion_picture,
    link_state_picture,
    receiver_pictures,
)
from wfm_jax.results import evaluation_rows as files

STUDY = ModelStudy(Frames(small.LINK, seed=0, frames_per_stratum=3), (10.0, 15.0, 20.0))


@pytest.fixture(scope="module")
def rows():
    """Rows and calibration rows."""
    measured = evaluated.everybody(STUDY)
    weights = resample_weights(STUDY.test_set.strata, 50, seed=0)
    found = model_rows.evaluation_rows(measured, STUDY.snrs_db, weights)
    calibration = model_rows.calibration_rows(measured, STUDY.snrs_db, weights)
    return [files.complete_row(row) for row in found], calibration


@pytest.fixture
def figures(monkeypatch):
    """Keeps what is drawn."""
    kept, original = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: (kept.append(self), original(self, *a, **k))
    )
    return kept


def names(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def curve(axes, label):
    """x and y of a curve by its label."""
    container = next(c for c in axes.containers if c.get_label() == label)
    return tuple(np.asarray(values, float) for values in container[0].get_data())


def test_bit_error_rates(rows, figures, tmp_path):
    receiver_pictures.ber_picture(rows[0], tmp_path / "ber.png")
    (figure,) = figures
    assert (tmp_path / "ber.png").read_bytes().startswith(b"\x89PNG")
    assert [axes.get_title() for axes in figure.axes[:4]] == [
        "4-QAM", "16-QAM", "64-QAM", "256-QAM"
    ]  # fmt: skip
    assert set(names(figure)) == {
        "LS", "LMMSE", "LMMSE, own profile", "data-aided", "genie", "model"
    }  # fmt: skip
    at, value = curve(figure.axes[1], "model")
    expected = files.select(rows[0], "model", "ber", bits_per_symbol=4)
    np.testing.assert_allclose(at, STUDY.snrs_db)
    np.testing.assert_allclose(value, [row["value"] for row in expected])
    assert figure.axes[1].get_yscale() == "log"
    _, behind = curve(figure.axes[5], "model")
    np.testing.assert_allclose(behind, 0.5, atol=0.05)  # as it was made


def test_accuracy_with_other_classifiers(rows, figures, tmp_path):
    extra = [
        {"receiver": name, "params": params, "snr_db": snr_db, "accuracy": 0.5, "ci95": None}
        for name, params in (("mlp", 20_900), ("likelihood_lmmse", None), ("plain", None))
        for snr_db in (20.0, 10.0, 12.0)
    ]
    receiver_pictures.accuracy_picture(rows[0], tmp_path / "accuracy.png", extra)
    (figure,) = figures
    left, right = figure.axes
    assert names(figure)[3:] == ["mlp (20.9k)", "plain"]
    np.testing.assert_allclose(curve(left, "mlp (20.9k)"), ([10.0, 12.0, 20.0], [50.0] * 3))
    assert list(curve(right, "plain")[0]) == [10.0, 20.0]  # where the likelihood is known
    _, value = curve(left, "model")
    assert 0.0 < np.min(value) <= np.max(value) <= 100.0


@pytest.mark.parametrize(
    "point", [{"receiver": "mlp"}, {"receiver": "mlp", "snr_db": 1.0, "accuracy": "high"}]
)
def test_a_classifier_without_numbers_is_refused(rows, tmp_path, point):
    with pytest.raises(ValueError, match="needs receiver, snr_db and accuracy"):
        receiver_pictures.accuracy_picture(rows[0], tmp_path / "accuracy.png", [point])
    assert not (tmp_path / "accuracy.png").exists()


def test_channel_errors(rows, figures, tmp_path):
    receiver_pictures.nmse_picture(rows[0], tmp_path / "nmse.png")
    (figure,) = figures
    left, right = figure.axes
    assert "linear bound, pilots alone" in names(figure)
    difference = curve(left, "model")[1] - curve(left, "LMMSE")[1]
    np.testing.assert_allclose(curve(right, "model")[1], difference, atol=1e-6)


def test_confusion_sums_to_a_hundred(rows, figures, tmp_path):
    confusion_picture.confusion_picture(rows[0], tmp_path / "confusion.png")
    (figure,) = figures
    assert [axes.get_title() for axes in figure.axes] == [
        *(f"model, {snr} dB" for snr in (10, 15, 20)),
        *(f"likelihood behind LMMSE, {snr} dB" for snr in (10, 15, 20)),
    ]
    for axes in figure.axes:
        np.testing.assert_allclose(axes.images[0].get_array().sum(axis=1), 100.0)
    shares = confusion_picture.confusion_shares(rows[0], "model", 15.0)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)


@pytest.mark.parametrize(
    "levels, shown",
    [((0.0, 10.0, 20.0), [10.0, 20.0]), ((1.0, 2.0), [1.0, 2.0]), ((7.0,), [7.0]),
     ((1.0, 2.0, 3.0, 4.0, 5.0), [1.0, 3.0, 5.0])],
)  # fmt: skip
def test_which_snrs_are_confused(levels, shown):
    assert confusion_picture.shown_snrs(levels) == shown


def test_calibration(rows, figures, tmp_path):
    """By hand a tenth fewer bits are wrong than is claimed: steeper than the diagonal."""
    calibration_picture.calibration_picture(rows[1], tmp_path / "calibration.png")
    (figure,) = figures
    assert len(figure.axes) == 2 * 4
    assert names(figure) == ["model", "LMMSE", "genie"]
    claimed, observed = curve(figure.axes[0], "model")
    assert len(claimed) > 0
    assert np.all(np.abs(observed) > np.abs(claimed))
    assert np.all(np.sign(observed) == np.sign(claimed))


def test_link_state(rows, figures, tmp_path):
    link_state_picture.link_state_picture(rows[0], tmp_path / "link_state.png")
    (figure,) = figures
    assert len(figure.axes) == 2 * 5
    np.testing.assert_allclose(curve(figure.axes[0], "best constant")[1], 6.5)
    k_bins = curve(figure.axes[5], "model at 20 dB")[1]
    assert [math.isnan(value) for value in k_bins] == [False] * 4 + [True]  # Rayleigh has no K
    lines = [text.get_text() for text in figure.texts]
    assert any("best constant" in line for line in lines)
