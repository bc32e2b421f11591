"""Blind classification: cumulants of exact constellations, and what a frame's symbols can tell."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from tests import optimized
from wfm_jax.signal import classifiers, link, qam, receivers
from wfm_jax.signal.factory import FACTORY_HALL

LOS = dataclasses.replace(FACTORY_HALL, rayleigh_fraction=0.0)
CONFIG = link.LinkConfig(max_timing_offset=0, scenario=LOS)
CUMULANTS = {2: -1.0, 4: -0.68, 6: -0.6190, 8: -0.6047}
BATCH = 1024


@functools.partial(optimized.jit, static_argnums=2)
def decisions(key, snr_db, known):
    """Modulations of BATCH frames, and what likelihood and cumulants take them for, behind the true
    channel or LMMSE with the frames' mean covariance; the samples of C40 and C42 too."""
    key_draw, key_send = jax.random.split(key)
    draw = link.draw_links(CONFIG, key=key_draw, batch_size=BATCH)
    draw = draw._replace(snr_db=jnp.full(BATCH, snr_db))
    frame = link.transmit(CONFIG, draw, key=key_send)
    ramp = jnp.ones((BATCH, 32), jnp.complex64)
    if known:
        estimate = receivers.estimate_genie(frame, ramp)
    else:
        covariance = jnp.mean(receivers.true_covariance(CONFIG, draw, ramp), axis=0)
        estimate = receivers.estimate_lmmse(CONFIG, frame.csi, frame.n0, covariance)
    likelihood = classifiers.modulation_log_likelihood(CONFIG, frame.grid, estimate, frame.n0)
    nearest = classifiers.classify_by_cumulants(CONFIG, frame.grid, estimate, frame.n0)
    sample = classifiers.cumulants(*receivers.equalise(CONFIG, frame.grid, estimate, frame.n0))
    return frame.modulation, likelihood, nearest, sample


@functools.cache
def classified(snr_db, known=True):
    """Of 2,048 frames: modulation, log-likelihoods, decision by cumulants, mean of C40 and C42."""
    parts = [decisions(jax.random.key(60 + seed), snr_db, known) for seed in range(2)]
    modulation, likelihood, nearest, sample = (
        jax.tree.map(lambda *x: np.concatenate(x), *column) for column in zip(*parts, strict=True)
    )
    return modulation, likelihood, nearest, 0.5 * (sample.c40.real + sample.c42)


def binomial_z(correct, expected):
    correct = np.asarray(correct, np.float64)
    return (correct.mean() - expected) / np.sqrt(expected * (1 - expected) / correct.size)


@pytest.mark.parametrize("m", [2, 4, 6, 8, 10])
def test_cumulants_of_a_constellation_are_the_theoretical_ones(m):
    points = np.asarray(qam.constellation(m))
    sample = jax.jit(classifiers.cumulants)(points, np.zeros(points.shape, np.float32))
    s = np.asarray(points, np.complex128)
    c42 = np.mean(np.abs(s) ** 4) - np.abs(np.mean(s**2)) ** 2 - 2.0
    c40 = np.mean(s**4) - 3 * np.mean(s**2) ** 2
    theory = classifiers.theoretical_cumulant(m)
    np.testing.assert_allclose([c40.real, c40.imag, c42], [theory, 0.0, theory], atol=1e-6)
    np.testing.assert_allclose(sample.c40, theory, atol=1e-5)
    np.testing.assert_allclose(sample.c42, theory, atol=1e-5)
    if m in CUMULANTS:
        assert abs(theory - CUMULANTS[m]) < 6e-5


@pytest.mark.parametrize("m", [2, 6])
def test_unequal_noise_is_taken_out(m):
    """2,000 draws of 4,096 symbols, a noise variance each from 0.01 to 1: the means of C40 and C42
    are the theoretical ones, within 5 standard errors plus a bias of 1/4,096 per symbol."""
    noise = 10.0 ** np.random.default_rng(0).uniform(-2, 0, 4096).astype(np.float32)
    points = qam.constellation(m)

    def one(key):
        key_symbol, key_noise = jax.random.split(key)
        sent = points[jax.random.randint(key_symbol, noise.shape, 0, 2**m)]
        w = jax.random.normal(key_noise, noise.shape, jnp.complex64) * jnp.sqrt(noise)
        return classifiers.cumulants(sent + w, noise)

    @optimized.jit
    def draw(key):
        return jax.lax.map(one, jax.random.split(key, 2000), batch_size=100)

    sample = draw(jax.random.key(m))
    theory = classifiers.theoretical_cumulant(m)
    for values in (sample.c40.real, sample.c42):
        values = np.asarray(values, np.float64)
        error = values.std() / np.sqrt(values.size)
        assert abs(values.mean() - theory) < 5 * error + 8 / 4096


def test_cumulants_tell_qpsk_from_the_rest():
    """At 20 dB: 99 % of the frames at least, 5 standard errors above."""
    modulation, _, nearest, _ = classified(20.0)
    correct = (nearest == 0) == (modulation == 0)
    assert correct.mean() > 0.99
    assert np.all(np.isin(nearest, range(4)))


def test_cumulants_cannot_tell_64_from_256_points_and_likelihood_can():
    """224 symbols at 20 dB, of the frames that are one of the two. The cumulants scatter several
    times wider than they differ, so the best threshold is right as often as two normal laws of that
    distance say, and no more than 62 %; likelihood errs in less than 3 %."""
    modulation, likelihood, _, c = classified(20.0)
    c64, c256 = c[modulation == 2], c[modulation == 3]
    gap = classifiers.theoretical_cumulant(8) - classifiers.theoretical_cumulant(6)
    spread = np.sqrt(0.5 * (c64.var() + c256.var()))
    assert spread > 2 * gap
    error = np.sqrt(c64.var() / c64.size + c256.var() / c256.size)
    assert abs(c256.mean() - c64.mean() - gap) < 5 * error
    middle = classifiers.theoretical_cumulant(6) + gap / 2
    correct = np.concatenate([c64 < middle, c256 >= middle])
    assert abs(binomial_z(correct, stats.norm.cdf(gap / (2 * spread)))) < 5
    assert binomial_z(correct, 0.62) < 0
    two = np.isin(modulation, (2, 3))
    by_likelihood = np.argmax(likelihood[two][:, 2:], axis=1) == modulation[two] - 2
    assert binomial_z(by_likelihood, 0.97) > 0
    assert by_likelihood.size == correct.size


def test_likelihood_beats_cumulants():
    modulation, likelihood, nearest, _ = classified(20.0)
    gain = (np.argmax(likelihood, 1) == modulation).astype(float) - (nearest == modulation)
    assert gain.mean() / (gain.std() / np.sqrt(gain.size)) > 5


@pytest.mark.parametrize(
    "snr_db, known, expected",
    [(10.0, True, 0.765), (15.0, True, 0.915), (10.0, False, 0.715), (15.0, False, 0.863)],
)
def test_likelihood_reaches_its_known_rates(snr_db, known, expected):
    """Rates of an independent simulation, within 4 standard errors of 2,048 frames: with the true
    channel and behind LMMSE."""
    modulation, likelihood, _, _ = classified(snr_db, known)
    assert abs(binomial_z(np.argmax(likelihood, 1) == modulation, expected)) < 4


def test_likelihood_is_the_sum_over_all_points():
    """ln p(y | M) = sum_n ln 1/M sum_s exp(-|y - h s|^2 / n0), brute force in float64, up to what
    does not depend on M."""
    sample = jax.jit(link.sample_frames, static_argnames=("config", "batch_size"))
    frame = sample(CONFIG, key=jax.random.key(3), batch_size=4)
    n0 = jnp.full(4, 0.15)
    genie = receivers.ChannelEstimate(frame.channel, jnp.zeros(frame.channel.shape))
    likelihood = jax.jit(classifiers.modulation_log_likelihood, static_argnums=0)
    got = np.asarray(likelihood(CONFIG, frame.grid, genie, n0))
    y, h = (
        np.asarray(link.data_elements(CONFIG, x)).astype(np.complex128)
        for x in (frame.grid, frame.channel)
    )
    columns = []
    for m in CONFIG.bits_per_symbol:
        points = np.asarray(qam.constellation(m))
        distance = np.abs(y[..., None] - h[..., None] * points) ** 2 / 0.15
        columns.append(special.logsumexp(-distance, axis=-1).sum(-1) - 224 * m * np.log(2.0))
    expected = np.stack(columns, axis=-1)
    np.testing.assert_allclose(got - got[:, :1], expected - expected[:, :1], rtol=1e-4, atol=0.02)
