"""Classical receivers against closed forms, float64 solves and their own predictions."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from wfm_jax.signal import link, mixed_qam, profiles, propagation, qam, receivers

CONFIG = link.LinkConfig()
COMB = slice(None, None, CONFIG.pilot_spacing)
CHUNK = 512
K, DECAY_S = 10**0.3, 55e-9

send = jax.jit(functools.partial(link.transmit, CONFIG))
align = jax.jit(functools.partial(receivers.align_timing, CONFIG))
estimate_ls = jax.jit(functools.partial(receivers.estimate_ls, CONFIG))
estimate_lmmse = jax.jit(functools.partial(receivers.estimate_lmmse, CONFIG))
demap = jax.jit(functools.partial(receivers.demap, CONFIG))


def frames(seed, snr_db, modulation=None):
    """CHUNK frames as the default link draws them (all with a LOS ray), at one SNR."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, 4, CHUNK) if modulation is None else np.full(CHUNK, modulation)
    k_db = rng.uniform(-6, 20, CHUNK).astype(np.float32)
    decay_s = np.clip(DECAY_S * 10 ** rng.normal(0, 0.17, CHUNK), 20e-9, 120e-9)
    offset = rng.integers(0, 7, CHUNK)
    return send(draw_of(drawn, snr_db, offset, k_db, decay_s, 10.0), key=jax.random.key(seed))


def still_frames(seed):
    """CHUNK frames of one profile, one K and 10 dB, on time; nobody moves."""
    return send(draw_of(0, 10.0, 0, 10 * np.log10(K), DECAY_S, 0.0), key=jax.random.key(seed))


def draw_of(modulation, snr_db, offset, k_db, decay_s, doppler_hz):
    def full(value, dtype=np.float32):
        return np.broadcast_to(value, CHUNK).astype(dtype)

    profile = profiles.exponential(full(decay_s), 10 ** (full(k_db) / 10), 10, CONFIG.sample_s)
    rays = propagation.Propagation(
        profile, full(True, bool), full(doppler_hz), full(1.0), full(0.0)
    )
    return link.Draw(full(modulation, np.int32), full(snr_db), full(offset), None, rays)


def still_covariance():
    """E[h h^H] of the still frames in float64: a LOS ray and an exponential profile."""
    powers = np.exp(-np.arange(10) * CONFIG.sample_s / DECAY_S)
    powers = powers / powers.sum() / (K + 1)
    powers[0] += K / (K + 1)
    steering = np.exp(-2j * np.pi * np.outer(np.arange(32), np.arange(10)) / 32)
    return steering * powers @ steering.conj().T


def z_score(samples, expected=0.0):
    samples = np.asarray(samples, np.float64)
    return (samples.mean(0) - expected) / (samples.std(0) / np.sqrt(len(samples)))


def first(n, tree):
    return jax.tree.map(lambda x: np.asarray(x)[:n], tree)


@pytest.fixture(scope="module")
def covariance():
    sample = jax.jit(receivers.ensemble_covariance, static_argnames=("config", "n_frames"))
    return sample(CONFIG, key=jax.random.key(7), n_frames=4096)


@pytest.mark.parametrize("delay", [0.0, 0.4, 3.0, 5.5, 7.0])
def test_timing_of_a_single_tap_is_removed_exactly(delay):
    gain = np.array([0.7 - 1.1j, 0.02j])[:, None, None]
    k = np.arange(32)
    channel = gain * np.exp(-2j * np.pi * k * delay / 32) * np.ones((1, 8, 1))
    channel = channel.astype(np.complex64)
    aligned = align(channel, channel[:, (1, 6), COMB])
    np.testing.assert_allclose(aligned.grid, np.broadcast_to(gain, (2, 8, 32)), rtol=2e-5)
    np.testing.assert_allclose(aligned.csi, np.broadcast_to(gain, (2, 2, 16)), rtol=2e-5)
    np.testing.assert_allclose(np.abs(aligned.ramp), 1.0, rtol=1e-5)


@pytest.mark.parametrize("offset", [1, 3, 6])
def test_aligned_frames_do_not_depend_on_the_timing_offset(offset):
    """Of a multipath channel in noise: what the window adds to the delay is taken out again."""
    frame = still_frames(0)
    slope = np.exp(-2j * np.pi * offset * np.arange(32) / 32).astype(np.complex64)
    on_time = align(frame.grid, frame.csi)
    late = align(frame.grid * slope, frame.csi * slope[COMB])
    np.testing.assert_allclose(late.grid, on_time.grid, atol=5e-4)
    np.testing.assert_allclose(late.csi, on_time.csi, atol=5e-4)
    np.testing.assert_allclose(late.ramp * slope, on_time.ramp, atol=1e-4)


def test_aligned_views_are_the_frame_times_its_ramp():
    frame = frames(1, 15.0)
    aligned = align(frame.grid, frame.csi)
    ramp = np.asarray(aligned.ramp)[:, None]
    np.testing.assert_allclose(aligned.grid, frame.grid * ramp, atol=1e-5)
    np.testing.assert_allclose(aligned.csi, frame.csi * ramp[..., COMB], atol=1e-5)
    np.testing.assert_allclose(np.abs(ramp), 1.0, rtol=1e-5)


@pytest.mark.parametrize("spacing", [1, 2, 4, 8])
def test_interpolation_is_exact_on_lines(spacing):
    config = dataclasses.replace(CONFIG, pilot_spacing=spacing)
    weights = receivers.interpolation_matrix(config)
    assert weights.shape == (32, 32 // spacing)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(weights[::spacing], np.eye(32 // spacing))
    line = 0.5 - 0.25 * np.arange(32)
    np.testing.assert_allclose(weights @ line[::spacing], line, rtol=1e-5)


def test_lmmse_is_the_float64_solve(covariance):
    frame = frames(1, 25.0)
    estimate = first(32, estimate_lmmse(frame.csi, frame.n0, covariance))
    r = np.asarray(covariance, np.complex128)
    weights = r[:, COMB] @ np.linalg.inv(r[COMB, COMB] + frame.n0[0] / 2 * np.eye(16))
    expected = np.asarray(frame.csi[:32], np.complex128).mean(axis=1) @ weights.T
    error = np.diag(r - weights @ r[COMB, :]).real
    expected = np.broadcast_to(expected[:, None], (32, 8, 32))
    np.testing.assert_allclose(estimate.channel, expected, atol=1e-3)
    # A small difference of numbers of order one, in float32.
    np.testing.assert_allclose(
        estimate.error_variance, np.broadcast_to(error, (32, 8, 32)), rtol=0.02, atol=1e-5
    )


def test_ls_is_the_interpolated_mean_of_the_pilots(covariance):
    frame = frames(1, 25.0)
    estimate = first(4, estimate_ls(frame.csi, frame.n0, covariance))
    pilots = np.asarray(frame.csi[:4]).mean(axis=1)
    expected = [np.interp(np.arange(31), np.arange(0, 32, 2), row) for row in pilots]
    for symbol in range(8):
        np.testing.assert_allclose(estimate.channel[:, symbol, :31], expected, atol=1e-5)
    edge = 1.5 * pilots[:, -1] - 0.5 * pilots[:, -2]
    np.testing.assert_allclose(estimate.channel[:, 0, 31], edge, atol=1e-5)


def test_ensemble_covariance_is_a_covariance_of_unit_power(covariance):
    covariance = np.asarray(covariance)
    np.testing.assert_allclose(covariance, covariance.conj().T, atol=1e-6)
    assert np.linalg.eigvalsh(covariance).min() > -1e-5
    # E|h|^2 = 1, from 4,096 frames whose |h|^2 has a variance of at most 1.
    assert np.abs(np.diag(covariance).real - 1).max() < 5 / np.sqrt(4096)
    # Aligned: the phase between neighbours is a few samples' mean delay at most, not the window's.
    neighbours = np.diag(covariance, 1)
    assert np.abs(np.angle(neighbours)).max() < 0.1
    assert np.abs(neighbours).min() > 0.85


@pytest.fixture(scope="module")
def errors():
    """|error|^2 and its predicted variance at the subcarriers of 4,096 still frames, where theory
    knows the covariance."""
    covariance = still_covariance().astype(np.complex64)
    measured, predicted = {}, {}
    chunks = [still_frames(seed) for seed in range(8)]
    for name, estimator in (("ls", estimate_ls), ("lmmse", estimate_lmmse)):
        estimates = [estimator(frame.csi, frame.n0, covariance) for frame in chunks]
        measured[name] = np.concatenate(
            [
                np.abs(np.asarray(e.channel[:, 0], np.complex128) - np.asarray(f.channel[:, 0]))
                ** 2
                for e, f in zip(estimates, chunks, strict=True)
            ]
        )
        predicted[name] = np.asarray(estimates[0].error_variance, np.float64)
    return measured, predicted


@pytest.mark.parametrize("name", ["ls", "lmmse"])
def test_predicted_error_is_the_measured_error(errors, name):
    """Within 5 standard errors at every subcarrier and in the mean, over 4,096 frames."""
    measured, predicted = errors[0][name], errors[1][name]
    np.testing.assert_array_equal(predicted, np.broadcast_to(predicted[:1, :1], predicted.shape))
    assert np.abs(z_score(measured, predicted[0, 0])).max() < 5
    assert abs(z_score(measured.mean(1), predicted[0, 0].mean())) < 5


def test_predicted_errors_in_closed_form(errors):
    """LS at a pilot: n0 over the pilot symbols. LMMSE: diag(R - R_:p (R_pp + n0/2)^-1 R_p:)."""
    r = still_covariance()
    weights = r[:, COMB] @ np.linalg.inv(r[COMB, COMB] + 0.05 * np.eye(16))
    lmmse = np.diag(r - weights @ r[COMB, :]).real
    np.testing.assert_allclose(errors[1]["ls"][0, 0, COMB], 0.05, rtol=1e-3)
    np.testing.assert_allclose(errors[1]["lmmse"][0, 0], lmmse, rtol=1e-3)


def test_genie_is_better_than_lmmse_is_better_than_ls(covariance):
    """Paired over 512 frames at 10 dB."""
    frame = frames(2, 10.0)
    aligned = align(frame.grid, frame.csi)
    truth = np.asarray(frame.channel) * np.asarray(aligned.ramp)[:, None]

    def error(estimate):
        return np.mean(np.abs(np.asarray(estimate.channel) - truth) ** 2, axis=(1, 2))

    genie = receivers.estimate_genie(frame, aligned.ramp)
    lmmse = error(estimate_lmmse(aligned.csi, frame.n0, covariance))
    ls = error(estimate_ls(aligned.csi, frame.n0, covariance))
    assert error(genie).max() < 1e-10
    assert np.all(np.asarray(genie.error_variance) == 0.0)
    assert lmmse.min() > 0.0
    assert z_score(ls - lmmse) > 5


def test_demapper_wants_the_estimation_error_in_its_noise(covariance):
    """256-QAM behind LS at 20 dB: leaving out the estimation error costs bits, paired over 512
    frames."""
    frame = frames(4, 20.0, modulation=3)
    aligned = align(frame.grid, frame.csi)
    estimate = estimate_ls(aligned.csi, frame.n0, covariance)

    def gmi(estimate):
        llr = np.asarray(demap(aligned.grid, estimate, frame.n0, frame.modulation).llr)
        loss = np.logaddexp(0.0, (1.0 - 2.0 * np.asarray(frame.bits)) * llr) / np.log(2.0)
        return 8.0 - loss.sum(axis=-1).mean(axis=-1)

    whole = gmi(estimate)
    noise_only = gmi(estimate._replace(error_variance=np.zeros((CHUNK, 8, 32), np.float32)))
    assert z_score(whole - noise_only) > 5
    assert (whole - noise_only).mean() > 0.05


def test_demap_is_the_demapper_of_equalised_symbols(covariance):
    frame = frames(5, 10.0)
    aligned = align(frame.grid, frame.csi)
    estimate = estimate_lmmse(aligned.csi, frame.n0, covariance)
    got = np.asarray(demap(aligned.grid, estimate, frame.n0, frame.modulation).llr)
    y, h, error = (
        np.asarray(link.data_elements(CONFIG, x))[:64] for x in (aligned.grid, *estimate)
    )
    noise = (np.asarray(frame.n0)[:64, None] + error) / np.abs(h) ** 2
    for i, m in enumerate(CONFIG.bits_per_symbol):
        own = np.asarray(frame.modulation)[:64] == i
        expected = qam.demap(y[own] / h[own], noise[own], m)
        # Beyond 40 the mixed demapper compresses.
        moderate = np.abs(expected) < mixed_qam.EXACT_NATS - 2
        assert moderate.mean() > 0.3
        close = np.isclose(got[:64][own][..., :m], expected, rtol=2e-3, atol=2e-3)
        assert np.all(close | ~moderate)
        assert np.all(got[:64][own][..., m:] == 0.0)


def test_a_batch_is_a_loop(covariance):
    @jax.jit
    def receive(grid, csi, n0, modulation):
        aligned = receivers.align_timing(CONFIG, grid, csi)
        lmmse = receivers.estimate_lmmse(CONFIG, aligned.csi, n0, covariance)
        return lmmse, receivers.demap(CONFIG, aligned.grid, lmmse, n0, modulation).llr

    frame = first(3, frames(8, 15.0))
    arguments = (frame.grid, frame.csi, frame.n0, frame.modulation)
    together = receive(*arguments)
    for i in range(3):
        alone = receive(*(x[i : i + 1] for x in arguments))
        for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(a[i], b[0], rtol=2e-3, atol=2e-3)
