"""The small baselines in a folder: rows of all classifiers, or none where it was stopped.

What trains is tested in ``test_classifier``, what scores in ``test_accuracy``; both are replaced.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import small
from wfm_jax.evaluate import frames
from wfm_jax.model.small_classifiers import ConvConfig, MLPConfig, build, n_params
from wfm_jax.train import baselines
from wfm_jax.train.baselines import ROWS, baselines_in_folder
from wfm_jax.train.classifier import ClassifierSettings
from wfm_jax.train.interrupt import Stopped, StopRequest

TEST_SET = frames.TestSet(small.LINK, seed=1, frames_per_stratum=5)
SNRS_DB = (0.0, 20.0)


def always(index):
    """Initial parameters whose answer is one modulation, whatever the frame."""

    def train(config, settings, folder, *, progress, stop):
        params = jax.tree.map(jnp.zeros_like, build(config, jax.random.key(0))[1])
        params["head"]["bias"] = jnp.eye(4)[index]
        return params

    return train


@pytest.fixture
def replaced(monkeypatch):
    told = {"told": lambda _, frame: frame.modulation}
    monkeypatch.setattr(baselines, "classical_classifiers", lambda test_set: told)
    monkeypatch.setattr(baselines, "train_classifier", always(2))


@pytest.mark.slow
def test_rows_are_those_of_all_classifiers(replaced, tmp_path):
    """A constant answer is right in a quarter of the frames, of every stratum."""
    rows = baselines_in_folder(TEST_SET, SNRS_DB, ClassifierSettings(), tmp_path)
    assert [json.loads(line) for line in (tmp_path / ROWS).read_text().splitlines()] == rows
    sizes = {row["receiver"]: row["params"] for row in rows}
    assert sizes == {
        "mlp": n_params(MLPConfig(small.LINK)),
        "conv": n_params(ConvConfig(small.LINK)),
        "told": None,
    }
    assert [(row["receiver"], row["snr_db"]) for row in rows] == [
        (receiver, snr_db) for receiver in sizes for snr_db in SNRS_DB
    ]
    np.testing.assert_allclose([row["accuracy"] for row in rows], [0.25] * 4 + [1.0] * 2)
    assert {row["test_frames_hash"] for row in rows} == {frames.frames_hash(TEST_SET)}


def test_stopped_in_the_second_training_there_are_no_rows(replaced, tmp_path, monkeypatch):
    def stopping(config, *arguments, **options):
        if config.NAME == "conv":
            raise Stopped(15)
        return always(0)(config, *arguments, **options)

    monkeypatch.setattr(baselines, "train_classifier", stopping)
    with StopRequest() as stop, pytest.raises(Stopped):
        baselines_in_folder(TEST_SET, SNRS_DB, ClassifierSettings(), tmp_path, stop=stop)
    assert not (tmp_path / ROWS).exists()


def test_a_request_is_heard_while_scoring(replaced, tmp_path):
    stop = StopRequest()
    stop.signum = 15
    with pytest.raises(Stopped):
        baselines_in_folder(TEST_SET, SNRS_DB, ClassifierSettings(), tmp_path, stop=stop)
    assert not (tmp_path / ROWS).exists()
