"""A link so small that hundreds of its frames take seconds, and scores made by hand."""

import dataclasses

import jax
import numpy as np
import pytest

from tests import small
from wfm_jax.evaluate import frames, many, scores
from wfm_jax.evaluate.scores import FrameScores, Scored
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
def score(pico):
    """The pico model's compiled ``score(params, frame)``."""
    config, apply, _ = pico
    return jax.jit(lambda params, frame: scores.score(config, apply, params, frame))


@pytest.fixture(scope="session")
def synthetic(test_set):
    """``synthetic(skill, seed=0, snrs_db=...) -> Scored``: BER falls and answers get better with
    ``skill`` (in dB, as the SNR does), and bits of a frame fade together."""

    def make(skill=0.0, *, seed=0, snrs_db=SNRS_DB, test_set=test_set):
        rng = np.random.default_rng(seed)
        n = test_set.n_frames
        n_bits = 224.0 * np.asarray(test_set.link.bits_per_symbol)[test_set.modulation]
        fade, luck = rng.exponential(size=n), rng.random((4, n))
        rows = []
        for snr_db in snrs_db:
            good = (snr_db + skill) / 30.0
            ber = np.minimum(0.5, 0.2 * np.exp(-3.0 * good) * fade)
            answer = 1.0 / (1.0 + np.exp(-4.0 * good + 1.0))
            correct = luck[0] < answer
            rows.append(
                FrameScores(
                    bit_errors=ber * n_bits,
                    n_bits=n_bits,
                    gmi_fraction=1.0 - ber * 2.0,
                    channel_error=64.0 * fade * 10.0 ** (-3.0 * good),
                    channel_power=64.0 * fade,
                    modulation=np.where(
                        correct, test_set.modulation, (test_set.modulation + 1) % 4
                    ),
                    amc_correct=correct,
                    k_error_db=np.where(test_set.k_bin < 4, 6.0 * luck[1] * (1.0 - answer), 0.0),
                    has_k=test_set.k_bin < 4,
                    snr_error_db=8.0 * luck[2] * (1.0 - answer),
                    los_correct=luck[3] < answer,
                    loss=np.full(n, 3.0 - 2.0 * answer),
                    delay_spread_error_s=40e-9 * luck[1] * (1.0 - answer),
                    doppler_error_hz=6.0 * luck[2],
                )
            )
        stacked = FrameScores(
            *(np.stack(column).astype(np.float32) for column in zip(*rows, strict=True))
        )
        return Scored(test_set, tuple(snrs_db), stacked)

    return make
