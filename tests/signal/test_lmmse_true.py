"""LMMSE with each frame's own covariance, and interpolation over time.

The reference link of the bit error rates is the default one on time with a LOS ray in every frame.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import optimized
from wfm_jax.signal import link, mixed_qam, qam, receivers, theory
from wfm_jax.signal.factory import FACTORY_HALL
from wfm_jax.signal.tapped_delay_line import TDL_D

LOS = dataclasses.replace(FACTORY_HALL, rayleigh_fraction=0.0)
ON_TIME = link.LinkConfig(max_timing_offset=0, scenario=LOS)
STILL = link.LinkConfig(
    max_timing_offset=0, scenario=dataclasses.replace(FACTORY_HALL, speed_range_m_s=(0.0, 0.0))
)
BATCH = 1024
BARE = np.ones((BATCH, 32), np.complex64)


def z_score(samples, expected=0.0):
    samples = np.asarray(samples, np.float64)
    return (samples.mean(0) - expected) / (samples.std(0) / np.sqrt(len(samples)))


def power(x, axis=(1, 2)):
    return np.mean(np.abs(np.asarray(x, np.complex128)) ** 2, axis=axis)


@functools.partial(optimized.jit, static_argnums=0)
def received(config, key, snr_db, modulation):
    """BATCH frames at one SNR and of one modulation, and what they were drawn from."""
    key_draw, key_send = jax.random.split(key)
    draw = link.draw_links(config, key=key_draw, batch_size=BATCH)
    draw = draw._replace(
        snr_db=jnp.full(BATCH, snr_db), modulation=jnp.full(BATCH, modulation, jnp.int32)
    )
    return draw, link.transmit(config, draw, key=key_send)


draw_links = jax.jit(link.draw_links, static_argnames=("config", "batch_size"))
true_covariance = jax.jit(receivers.true_covariance, static_argnums=0)
align = jax.jit(receivers.align_timing, static_argnums=0)
demap = optimized.jit(receivers.demap, static_argnums=0, static_argnames="method")


@functools.partial(jax.jit, static_argnums=(0, 1))
def estimate(config, name, csi, n0, covariance):
    return getattr(receivers, f"estimate_{name}")(config, csi, n0, covariance)


def estimates(config, draw, frame):
    """By name, behind the bare channel: LMMSE with the frames' own covariance, with their mean over
    frames, and LS."""
    own = true_covariance(config, draw, BARE)
    mean = jnp.mean(own, axis=0)
    return {
        "true": estimate(config, "lmmse", frame.csi, frame.n0, own),
        "ensemble": estimate(config, "lmmse", frame.csi, frame.n0, mean),
        "ls": estimate(config, "ls", frame.csi, frame.n0, mean),
        "ls of its own": estimate(config, "ls", frame.csi, frame.n0, own),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        link.LinkConfig(),
        pytest.param(
            link.LinkConfig(fractional_timing=True, fft_size=64, cp_samples=48),
            marks=pytest.mark.slow,
        ),
        link.LinkConfig(scenario=TDL_D, cp_samples=40, fft_size=64, max_timing_offset=3),
    ],
    ids=["default", "fractional", "tdl_d"],
)
def test_true_covariance_is_the_mean_over_fades(config):
    """Three drawn links faded 4,096 times behind one ramp: every entry of E h h^H within 5 standard
    errors, edges of the band included."""
    draw = draw_links(config, key=jax.random.key(1), batch_size=3)
    turns = np.outer([0.3, -0.1, 0.02], np.arange(32))
    ramp = np.exp(2j * np.pi * turns).astype(np.complex64)
    got = np.asarray(true_covariance(config, draw, ramp))
    assert got.shape == (3, 32, 32)
    assert got.dtype == np.complex64
    np.testing.assert_allclose(got, got.conj().swapaxes(1, 2), atol=1e-6)

    def fade(key):
        frame = link.transmit(config, draw, key=key)
        return frame.channel[:, 0] * ramp

    @optimized.jit
    def fades(keys):
        return jax.lax.map(fade, keys, batch_size=256)

    h = np.asarray(fades(jax.random.split(jax.random.key(2), 4096)), np.complex128)
    for i in range(3):
        for j in (0, 5, 31):
            product = h[:, i] * h[:, i, j, None].conj()
            for part in ("real", "imag"):
                samples, expected = getattr(product, part), getattr(got[i, :, j], part)
                error = samples.std(0) / np.sqrt(len(samples)) + 1e-5
                assert np.abs((samples.mean(0) - expected) / error).max() < 5


def test_true_covariance_of_one_ray_is_its_phase_slope():
    config = link.LinkConfig(max_timing_offset=5, scenario=dataclasses.replace(LOS, n_rays=1))
    draw = draw_links(config, key=jax.random.key(0), batch_size=4)
    slope = np.exp(-2j * np.pi * np.outer(draw.timing_offset, np.arange(32)) / 32)
    got = true_covariance(config, draw, slope.conj().astype(np.complex64))
    np.testing.assert_allclose(got, np.ones((4, 32, 32)), atol=2e-5)


@pytest.mark.slow
def test_alignment_changes_nothing_for_who_knows_the_profile():
    """A ramp turns channel and covariance alike: the same LMMSE estimate but for the ramp."""
    config = link.LinkConfig()
    draw, frame = received(config, jax.random.key(4), 15.0, 0)
    aligned = align(config, frame.grid, frame.csi)
    own = true_covariance(config, draw, aligned.ramp)
    with_ramp = estimate(config, "lmmse", aligned.csi, frame.n0, own)
    bare = estimate(config, "lmmse", frame.csi, frame.n0, true_covariance(config, draw, BARE))
    turned = np.asarray(bare.channel) * np.asarray(aligned.ramp)[:, None]
    np.testing.assert_allclose(with_ramp.channel, turned, atol=1e-3)
    np.testing.assert_allclose(with_ramp.error_variance, bare.error_variance, rtol=0.02, atol=1e-6)


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 20.0, 30.0])
def test_true_lmmse_is_the_float64_solve(snr_db):
    """Estimate and predicted error, a covariance a frame: against the weights and the error of
    ``theory``."""
    config = link.LinkConfig()
    draw, frame = received(config, jax.random.key(5), snr_db, 0)
    own = true_covariance(config, draw, BARE)
    got = estimate(config, "lmmse", frame.csi, frame.n0, own)
    comb, noise = slice(None, None, 2), float(frame.n0[0]) / 2
    pilots = np.asarray(frame.csi, np.complex128).mean(axis=1)
    for i in range(8):
        r = np.asarray(own[i], np.complex128)
        h = theory.lmmse_weights(r, comb, noise) @ pilots[i]
        np.testing.assert_allclose(got.channel[i, 3], h, atol=2e-3)
        error = theory.lmmse_error(r, comb, noise)
        np.testing.assert_allclose(got.error_variance[i, 3], error, rtol=0.02, atol=1e-6)


def test_one_covariance_for_all_is_the_same_covariance_for_each():
    config = link.LinkConfig()
    draw, frame = received(config, jax.random.key(6), 12.0, 0)
    mean = jnp.mean(true_covariance(config, draw, BARE), axis=0)
    each = jnp.broadcast_to(mean, (BATCH, 32, 32))
    for name in ("ls", "lmmse"):
        one = estimate(config, name, frame.csi, frame.n0, mean)
        many = estimate(config, name, frame.csi, frame.n0, each)
        for a, b in zip(one, many, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module", params=[0.0, 10.0, 20.0, 30.0])
def errors(request):
    """Mean squared error measured and predicted, per frame, of 2,048 still frames at an SNR."""
    measured, predicted = {}, {}
    for seed in range(2):
        draw, frame = received(STILL, jax.random.key(seed), request.param, 0)
        for name, e in estimates(STILL, draw, frame).items():
            measured.setdefault(name, []).extend(power(e.channel - frame.channel))
            predicted.setdefault(name, []).extend(np.asarray(e.error_variance).mean((1, 2)))
    return tuple({k: np.array(v, np.float64) for k, v in x.items()} for x in (measured, predicted))


@pytest.mark.parametrize("name", ["true", "ensemble", "ls", "ls of its own"])
def test_predicted_error_is_the_measured_error(errors, name):
    """In the mean over frames, within 5 standard errors; the prediction of an estimate by the mean
    covariance holds over the ensemble."""
    measured, predicted = errors[0][name], errors[1][name]
    assert abs(z_score(measured - predicted)) < 5
    assert abs(measured.mean() / predicted.mean() - 1.0) < 0.1


def test_true_lmmse_is_better_than_the_ensembles_is_better_than_ls(errors):
    """At every SNR, paired over frames."""
    measured = errors[0]
    assert z_score(measured["ensemble"] - measured["true"]) > 5
    assert z_score(measured["ls"] - measured["ensemble"]) > 5


TABLE = {
    1: {"genie": 0.0061, "true": 0.0081, "ensemble": 0.0087},
    2: {"genie": 0.027, "true": 0.034, "ensemble": 0.036},
    3: {"genie": 0.085, "true": 0.095, "ensemble": 0.100},
}


@pytest.fixture(scope="module", params=list(TABLE))
def rates(request):
    """Bit error rate of each of 2,048 frames at 20 dB, by receiver; and the modulation."""
    modulation, out = request.param, {}
    m = ON_TIME.bits_per_symbol[modulation]
    for seed in range(2):
        draw, frame = received(ON_TIME, jax.random.key(40 + seed), 20.0, modulation)
        receiver = estimates(ON_TIME, draw, frame)
        receiver["genie"] = receivers.estimate_genie(frame, jnp.asarray(BARE))
        for name, e in receiver.items():
            llr = demap(ON_TIME, frame.grid, e, frame.n0, frame.modulation).llr[..., :m]
            wrong = (np.asarray(llr) > 0) != np.asarray(frame.bits)[..., :m]
            out.setdefault(name, []).extend(wrong.mean((1, 2)))
    return modulation, {name: np.array(values) for name, values in out.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["genie", "true", "ensemble"])
def test_bit_error_rates_are_those_of_an_independent_simulation(rates, name):
    """Within 5 standard errors of 2,048 frames, plus half a unit of the table's last digit."""
    modulation, measured = rates
    expected = TABLE[modulation][name]
    rounding = 5e-5 if modulation == 1 else 5e-4
    error = measured[name].std() / np.sqrt(len(measured[name]))
    assert abs(measured[name].mean() - expected) < 5 * error + rounding


@pytest.mark.slow
def test_bit_error_rates_rank_as_the_estimates_do(rates):
    """Paired over frames. The table's LS (.0128, .049, .118) is worse than this one, whose profile
    is shorter: a line between pilots misses less of it."""
    measured = rates[1]
    for better, worse in (("genie", "true"), ("true", "ensemble"), ("ensemble", "ls")):
        assert z_score(measured[worse] - measured[better]) > 3


@pytest.mark.slow
@pytest.mark.parametrize("method", ["exact", "maxlog"])
def test_a_link_of_one_constellation_has_both_demappers(method):
    config = dataclasses.replace(ON_TIME, bits_per_symbol=(4,))
    _, frame = received(config, jax.random.key(8), 15.0, 0)
    genie = receivers.estimate_genie(frame, jnp.asarray(BARE))
    got = demap(config, frame.grid, genie, frame.n0, frame.modulation, method=method)
    symbols, noise = receivers.equalise(config, frame.grid, genie, frame.n0)
    expected = qam.demap(symbols, noise, 4, method)
    np.testing.assert_allclose(got.llr, expected, rtol=1e-4, atol=1e-4)
    mixed = mixed_qam.demap(symbols, noise, frame.modulation, (4,))
    np.testing.assert_allclose(got.log_evidence, mixed.log_evidence, rtol=1e-5, atol=1e-4)


def test_unknown_or_unfit_methods_are_refused():
    _, frame = received(STILL, jax.random.key(8), 15.0, 0)
    genie = receivers.estimate_genie(frame, jnp.asarray(BARE))
    for method, message in (("maxlog", "one constellation"), ("hard", "method must be")):
        with pytest.raises(ValueError, match=message):
            receivers.demap(STILL, frame.grid, genie, frame.n0, frame.modulation, method=method)


def test_time_weights():
    config = link.LinkConfig()
    np.testing.assert_array_equal(receivers.average_over_time(config), np.full((8, 2), 0.5))
    share = np.array([0, 0, 0.2, 0.4, 0.6, 0.8, 1, 1], np.float32)
    expected = np.stack([1 - share, share], axis=1)
    np.testing.assert_allclose(receivers.interpolate_over_time(config), expected, atol=1e-7)
    one = dataclasses.replace(config, pilot_symbols=(3,))
    np.testing.assert_array_equal(receivers.interpolate_over_time(one), np.ones((8, 1)))
    unsorted = dataclasses.replace(config, pilot_symbols=(6, 1))
    np.testing.assert_allclose(receivers.interpolate_over_time(unsorted), expected, atol=1e-7)


@pytest.mark.parametrize("weights", [np.ones((8, 2)), np.full((7, 2), 0.5), np.full((8, 1), 1.0)])
def test_unfit_time_weights_are_refused(weights):
    _, frame = received(STILL, jax.random.key(8), 15.0, 0)
    for estimator in (receivers.estimate_ls, receivers.estimate_lmmse):
        with pytest.raises(ValueError, match="time_weights"):
            estimator(STILL, frame.csi, frame.n0, jnp.eye(32, dtype=jnp.complex64), weights)


def test_unfit_covariances_are_refused():
    _, frame = received(STILL, jax.random.key(8), 15.0, 0)
    for estimator in (receivers.estimate_ls, receivers.estimate_lmmse):
        for shape in ((16, 16), (3, 32, 32), (32,)):
            with pytest.raises(ValueError, match="covariance must have shape"):
                estimator(STILL, frame.csi, frame.n0, jnp.zeros(shape, jnp.complex64))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def over_time(config, name, interpolate, csi, n0, covariance):
    weights = receivers.interpolate_over_time(config) if interpolate else None
    return getattr(receivers, f"estimate_{name}")(config, csi, n0, covariance, weights)


@pytest.mark.parametrize("name", ["ls", "lmmse"])
def test_interpolation_over_time_costs_only_noise_where_nothing_moves(name):
    """Both predict their errors, symbol by symbol, within 5 standard errors; averaging is better by
    what they predict. Where a pilot symbol is held, no pilot helps but its own."""
    draw, frame = received(STILL, jax.random.key(11), 10.0, 0)
    own = true_covariance(STILL, draw, BARE)
    errors = []
    for interpolate in (False, True):
        e = over_time(STILL, name, interpolate, frame.csi, frame.n0, own)
        measured = power(e.channel - frame.channel, axis=2)
        predicted = np.asarray(e.error_variance, np.float64).mean(axis=2)
        assert np.abs(z_score(measured - predicted)).max() < 5
        errors.append(predicted.mean(axis=0))
    assert np.all(errors[0] < errors[1])
    if name == "ls":
        extra = np.sum(receivers.interpolate_over_time(STILL) ** 2, axis=1) - 0.5
        # At pilots; between two of them a line halves the noise, half a subcarrier's mean is 3/4.
        at_pilots = np.asarray(e.error_variance)[:, :, ::2].mean((0, 2))
        np.testing.assert_allclose(at_pilots, 0.1 * (extra + 0.5), rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        link.LinkConfig(max_timing_offset=0, max_carrier_offset_hz=8e3),
        link.LinkConfig(
            max_timing_offset=0,
            scenario=dataclasses.replace(FACTORY_HALL, speed_range_m_s=(300.0, 400.0)),
        ),
    ],
    ids=["carrier offset", "speed"],
)
@pytest.mark.parametrize("name", ["ls", "lmmse"])
def test_interpolation_over_time_follows_what_turns_and_moves(config, name):
    """Paired over frames at 20 dB. The oscillator's turn belongs to the channel."""
    draw, frame = received(config, jax.random.key(12), 20.0, 0)
    truth = np.asarray(frame.channel)
    own = true_covariance(config, draw, BARE)
    average, interpolated = (
        power(over_time(config, name, i, frame.csi, frame.n0, own).channel - truth)
        for i in (False, True)
    )
    assert z_score(average - interpolated) > 5
    assert interpolated.mean() < 0.7 * average.mean()
