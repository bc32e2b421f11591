"""A link so small that hundreds of its frames take seconds, and scores made by hand."""

import dataclasses

import jax
import pytest

from tests import evaluated, small
from wfm_jax.evaluate import frames, many, model_study, scores
from wfm_jax.model import build, preset
from wfm_jax.signal import receivers

LINK = dataclasses.replace(small.LINK, n_sinusoids=4)
SNRS_DB = (10.0, 15.0, 20.0)


@pytest.fixture(scope="session")
def test_set():
    return frames.TestSet(LINK, seed=5, frames_per_stratum=8)


@pytest.fixture(scope="session")
def drawn(test_set):
    return many.draw_frames(test_set, SNRS_DB)


@pytest.fixture(scope="session")
def classical(drawn):
    sample = jax.jit(receivers.ensemble_covariance, static_argnames=("config", "n_frames"))
    covariance = sample(LINK, key=jax.random.key(1), n_frames=2048)
    return many.score_classical(drawn, covariance, chunk=96)


@pytest.fixture(scope="session")
def pico():
    """Config, apply and parameters of a model with every parameter away from its start."""
    config = preset("pico", LINK)
    apply, params = build(config, jax.random.key(0))
    return config, apply, small.moved(params, 0.1)


@pytest.fixture(scope="session")
def study(test_set):
    return model_study.ModelStudy(test_set, (10.0, 20.0))


@pytest.fixture(scope="session")
def measured(study, pico):
    """The pico model and all classical receivers."""
    config, _, params = pico
    return model_study.measure(study, config, params)


@pytest.fixture(scope="session")
def score(pico):
    """The pico model's compiled ``score(params, frame)``."""
    config, apply, _ = pico
    return jax.jit(lambda params, frame: scores.score(config, apply, params, frame))


@pytest.fixture(scope="session")
def synthetic(test_set):
    """``synthetic(skill, seed=0, snrs_db=...) -> Scored``: BER falls and answers get better with
    ``skill`` (in dB, as the SNR does), and bits of a frame fade together."""

    def make(skill=0.0, *, seed=0, snrs_db=SNRS_DB, test_set=test_set):
        return evaluated.receiver(test_set, snrs_db, skill, seed=seed)

    return make
