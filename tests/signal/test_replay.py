"""Replay of given impulse responses: which are drawn, their energies, what a link makes of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from wfm_jax.signal import link, mixed_qam, ofdm
from wfm_jax.signal.replay import Replay

N = 20_000
DELAYS_S = np.array([0.0, 50e-9, 100e-9, 150e-9])
RNG = np.random.default_rng(0)
# Energies a factor of 100 apart: a weak link stays a weak one.
TAPS = (RNG.normal(size=(5, 4)) + 1j * RNG.normal(size=(5, 4))) * np.logspace(-1, 0, 5)[:, None]
SCALED = TAPS / np.sqrt(np.mean(np.sum(np.abs(TAPS) ** 2, axis=1)))
REPLAY = Replay.of(TAPS, DELAYS_S)

sample = jax.jit(link.sample_frames, static_argnames=("config", "batch_size"))


def which_of(specular):
    """Index of the response that each row is."""
    distance = np.abs(np.asarray(specular)[:, None] - SCALED).max(-1)
    assert distance.min(1).max() < 1e-5
    return distance.argmin(1)


@pytest.fixture(scope="module")
def drawn():
    draw = jax.jit(Replay.draw, static_argnames=("self", "batch_size"))
    return draw(REPLAY, key=jax.random.key(1), batch_size=N)


def test_responses_are_kept_as_given():
    np.testing.assert_array_equal(REPLAY.responses, TAPS)
    np.testing.assert_array_equal(REPLAY.delays_s, DELAYS_S)
    single = Replay.of(TAPS[2], DELAYS_S)
    np.testing.assert_array_equal(single.responses, TAPS[2:3])
    # Real amplitudes and plain lists will do.
    assert Replay.of([[1, 2]], [0, 1e-7]) == Replay.of(np.array([1.0, 2.0]), np.array([0, 1e-7]))


def test_each_response_is_drawn_as_often(drawn):
    counts = np.bincount(which_of(drawn.profile.specular), minlength=5)
    assert stats.chisquare(counts).pvalue > 1e-6


def test_energies_keep_their_ratios_and_have_a_mean_of_one(drawn):
    which = which_of(drawn.profile.specular)
    energy = np.sum(np.abs(np.asarray(drawn.profile.specular, np.complex128)) ** 2, axis=1)
    given = np.sum(np.abs(TAPS) ** 2, axis=1)
    np.testing.assert_allclose(energy / energy[0], given[which] / given[which[0]], rtol=1e-5)
    z = (energy.mean() - 1.0) / (energy.std() / np.sqrt(N))
    assert abs(z) < 5
    assert energy.max() / energy.min() > 20


def test_a_replayed_link_stands_still_without_a_k(drawn):
    assert np.all(np.isnan(drawn.k_db))
    assert np.all(drawn.los)
    np.testing.assert_array_equal(drawn.profile.k_linear, np.inf)
    np.testing.assert_array_equal(drawn.doppler_hz, 0.0)
    np.testing.assert_allclose(drawn.profile.delays_s, np.broadcast_to(DELAYS_S, (N, 4)), rtol=1e-6)


def common_phase(got, expected):
    """got / expected, after the check that it is one phase in every row."""
    got, expected = (x.reshape(len(x), -1).astype(np.complex128) for x in (got, expected))
    phase = np.sum(got * np.conj(expected), axis=1)
    phase = phase / np.abs(phase)
    scale = np.abs(expected).max(1, keepdims=True)
    np.testing.assert_allclose(got / scale, expected * phase[:, None] / scale, atol=2e-5)
    return phase


@pytest.mark.parametrize("max_timing_offset", [0, 3])
def test_channel_on_the_grid_is_the_dft_of_the_given_taps(max_timing_offset):
    """Up to one phase per frame, uniform over frames; the SNR and delay spread are its own."""
    config = link.LinkConfig(
        n_symbols=2,
        pilot_symbols=(0,),
        scenario=REPLAY,
        max_timing_offset=max_timing_offset,
    )
    assert (config.n_filter, config.n_taps) == (0, 4 + max_timing_offset)
    batch = 4_000
    key_draw, key_send = jax.random.split(jax.random.key(2))
    draw = link.draw_links(config, key=key_draw, batch_size=batch)
    frame = jax.jit(link.transmit, static_argnums=0)(config, draw, key=key_send)
    which = which_of(draw.propagation.profile.specular)
    late = np.asarray(draw.timing_offset, np.float64)[:, None] / config.sample_rate_hz
    delays_s = DELAYS_S + late
    steering = np.exp(-2j * np.pi * delays_s[:, :, None] * config.frequencies_hz)
    expected = np.einsum("bl,blf->bf", SCALED[which], steering)[:, None].repeat(2, 1)
    phase = common_phase(np.asarray(frame.channel), expected)
    uniform = stats.kstest(np.angle(phase) / (2 * np.pi) + 0.5, "uniform").statistic
    assert np.sqrt(batch) * uniform < 2.6

    power = np.mean(np.abs(expected) ** 2, axis=(1, 2))
    np.testing.assert_allclose(frame.snr_db, 10 * np.log10(power / frame.n0), atol=1e-3)
    weights = np.abs(SCALED[which]) ** 2
    weights /= weights.sum(1, keepdims=True)
    mean = weights @ DELAYS_S
    spread_s = np.sqrt(np.sum(weights * (DELAYS_S - mean[:, None]) ** 2, axis=1))
    np.testing.assert_allclose(frame.delay_spread_s, spread_s, rtol=1e-4)
    assert np.all(np.isnan(frame.k_db))


def test_channel_off_the_grid_is_that_of_the_given_delays():
    """Between samples, beside a guard band: to -50 dB, and nothing interferes."""
    replay = Replay.of(TAPS, DELAYS_S + np.array([0.0, 13e-9, 1e-9, 30e-9]))
    assert replay.delay_grid_s is None
    config = link.LinkConfig(
        n_subcarriers=24, fft_size=32, cp_samples=26, scenario=replay, max_timing_offset=0
    )
    assert config.n_filter == 8
    draw = link.draw_links(config, key=jax.random.key(3), batch_size=64)
    draw = draw._replace(snr_db=jnp.full(64, 120.0))
    frame = jax.jit(link.transmit, static_argnums=0)(config, draw, key=jax.random.key(4))
    delays_s = np.asarray(replay.delays_s) + config.n_filter * config.sample_s
    steering = np.exp(-2j * np.pi * delays_s[:, None] * config.frequencies_hz)
    expected = SCALED[which_of(draw.propagation.profile.specular)] @ steering
    got = np.asarray(frame.channel)[:, 0]
    phase = np.sum(got * np.conj(expected), axis=1, keepdims=True)
    error = np.abs(got - expected * phase / np.abs(phase)) ** 2
    assert 10 * np.log10(error.mean() / np.mean(np.abs(expected) ** 2)) < -60
    symbols = mixed_qam.modulate(frame.bits, frame.modulation, config.bits_per_symbol)
    sent = ofdm.place(symbols, config.pilots, config.pilot_mask)
    np.testing.assert_allclose(frame.grid, frame.channel * sent, atol=2e-4)


@pytest.mark.parametrize(
    "delays_s, grid_s",
    [
        ([0.0, 5e-8, 1e-7], 5e-8),
        ([0.0, 5e-8, 1.1e-7], None),
        ([5e-8, 1e-7, 1.5e-7], None),
        ([0.0, 5e-8], 5e-8),
        ([0.0], np.inf),
        ([2e-8], None),
    ],
)
def test_delay_grid(delays_s, grid_s):
    replay = Replay.of(np.ones(len(delays_s)), delays_s)
    assert replay.delay_grid_s == grid_s
    assert replay.longest_delay_s == max(delays_s)


def test_a_single_tap_needs_no_filter():
    config = link.LinkConfig(scenario=Replay.of([2.0j], [0.0]), cp_samples=6)
    assert (config.n_filter, config.n_taps) == (0, 7)
    frame = sample(config, key=jax.random.key(5), batch_size=16)
    np.testing.assert_allclose(np.abs(frame.channel), 1.0, atol=1e-5)


def test_replays_are_hashable_and_one_compile_serves_equal_ones():
    again = Replay.of(TAPS.copy(), DELAYS_S.copy())
    assert again == REPLAY
    assert hash(again) == hash(REPLAY)
    assert again != Replay.of(2 * TAPS, DELAYS_S)
    assert dataclasses.replace(link.LinkConfig(), scenario=again) == link.LinkConfig(
        scenario=REPLAY
    )


@pytest.mark.parametrize(
    "name, taps, delays_s",
    [
        ("delays_s", np.ones((2, 3)), [0.0, -1e-9, 1e-7]),
        ("delays_s", np.ones((2, 3)), [0.0, 1e-7, np.nan]),
        ("delays_s", np.ones((2, 3)), [1e-7, 0.0, 2e-7]),
        ("delays_s", np.ones((2, 3)), [[0.0, 1e-7, 2e-7]]),
        ("delays_s", np.ones((2, 3)), 0.0),
        ("delays_s", np.ones((2, 0)), []),
        ("taps", np.ones((2, 3)), [0.0, 1e-7]),
        ("taps", np.ones((0, 3)), [0.0, 1e-7, 2e-7]),
        ("taps", np.ones((2, 3, 1)), [0.0, 1e-7, 2e-7]),
        ("taps", [[1.0, np.nan]], [0.0, 1e-7]),
        ("taps", [[1.0, 1j * np.inf]], [0.0, 1e-7]),
        ("taps", [[1.0, 0.0], [0.0, 0.0]], [0.0, 1e-7]),
    ],
)
def test_bad_arguments_are_named(name, taps, delays_s):
    with pytest.raises(ValueError, match=f"^{name} must") as error:
        Replay.of(taps, delays_s)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "real, imag",
    [(((1.0, 2.0),), ()), ((), ()), (((1.0,),), ((1.0, 2.0),)), (((1.0,),), ((1.0,),))],
)
def test_bad_fields_are_named(real, imag):
    with pytest.raises(ValueError, match=r"^real and imag must"):
        Replay(delays_s=(0.0, 1e-7), real=real, imag=imag)
