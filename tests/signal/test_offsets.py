"""Offsets of oscillator and window against float64, and against what they do to a grid."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from wfm_jax.signal import channel, link, mixed_qam, ofdm, offsets

SAMPLE_S = 50e-9
N_FFT, CP, N_SYMBOLS = 32, 8, 5
SPACING_HZ = 1 / (N_FFT * SAMPLE_S)
SYMBOL_S = (N_FFT + CP) * SAMPLE_S

turn = jax.jit(offsets.oscillator, static_argnames=("n_samples", "sample_s"))


def random_complex(seed, shape):
    rng = np.random.default_rng(seed)
    return ((rng.normal(size=shape) + 1j * rng.normal(size=shape)) / 2**0.5).astype(np.complex64)


@jax.jit
def received(grid, offset_hz):
    """The grid that an oscillator sees that is off."""
    samples = ofdm.to_time(grid, CP)
    samples = samples * offsets.oscillator(offset_hz, samples.shape[1], SAMPLE_S)
    return ofdm.to_grid(samples, N_SYMBOLS, CP)


@functools.partial(jax.jit, static_argnums=0)
def sent_grid(config, bits, modulation):
    symbols = mixed_qam.modulate(bits, modulation, config.bits_per_symbol)
    return ofdm.place(symbols, config.pilots, config.pilot_mask)


# --- oscillator


def test_carrier_offset_is_the_exponential():
    """In float64, over as many samples as a long frame has."""
    offset_hz = np.array([0.0, 123.0, -7_654.0, 40_000.0], np.float32)
    t = SAMPLE_S * np.arange(10_000)
    expected = np.exp(2j * np.pi * offset_hz[:, None].astype(np.float64) * t)
    got = np.asarray(turn(offset_hz, n_samples=10_000, sample_s=SAMPLE_S))
    assert got.dtype == np.complex64
    np.testing.assert_array_equal(got[0], 1.0)
    np.testing.assert_allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize("shift", [-3, 1, 8])
def test_whole_subcarriers_shift_the_grid(shift):
    """By as many, upwards where the offset is positive; around the end of the band, and with a
    phase per symbol that the prefix adds."""
    grid = random_complex(1, (2, N_SYMBOLS, N_FFT))
    got = received(grid, np.full(2, shift * SPACING_HZ, np.float32))
    symbols = CP * SAMPLE_S + SYMBOL_S * np.arange(N_SYMBOLS)
    phase = np.exp(2j * np.pi * shift * SPACING_HZ * symbols)
    expected = np.roll(grid, shift, axis=-1) * phase[:, None]
    np.testing.assert_allclose(got, expected, atol=2e-4)


def test_small_offset_turns_symbols_by_a_common_phase():
    """2 pi offset times the middle of each FFT window; what leaks is (pi e)^2 / 3 for an offset of
    e subcarriers, and the wanted part shrinks by sin(pi e) / (N sin(pi e / N))."""
    share = 0.02
    grid = random_complex(2, (400, N_SYMBOLS, N_FFT))
    offset_hz = share * SPACING_HZ
    got = np.asarray(received(grid, np.full(400, offset_hz, np.float32)), np.complex128)
    middle = (CP + (N_FFT - 1) / 2) * SAMPLE_S + SYMBOL_S * np.arange(N_SYMBOLS)
    gain = np.sin(np.pi * share) / (N_FFT * np.sin(np.pi * share / N_FFT))
    expected = gain * np.exp(2j * np.pi * offset_hz * middle)
    wanted = np.mean(got * np.conj(grid), axis=(0, 2)) / np.mean(np.abs(grid) ** 2, axis=(0, 2))
    np.testing.assert_allclose(wanted, expected, atol=5 * np.pi * share / np.sqrt(400 * N_FFT))
    leaked = np.mean(np.abs(got - grid * expected[:, None]) ** 2, axis=(1, 2))
    z = (leaked.mean() - (1 - gain**2)) / (leaked.std() / np.sqrt(400))
    assert abs(z) < 5
    np.testing.assert_allclose(1 - gain**2, (np.pi * share) ** 2 / 3, rtol=2e-3)


def test_offsets_of_opposite_sign_cancel():
    offset_hz = np.array([3e3, -9e4], np.float32)
    there, back = (turn(x, n_samples=400, sample_s=SAMPLE_S) for x in (offset_hz, -offset_hz))
    np.testing.assert_allclose(there * back, 1.0, atol=1e-5)


# --- window


def test_window_offset_is_a_phase_slope():
    """exp(-2j pi f offset) on every response, at fractions of a sample too."""
    gains = random_complex(4, (3, 2, 4))
    delays_s = SAMPLE_S * np.array([0.0, 0.3, 2.0, 4.7], np.float32) * np.ones((3, 1), np.float32)
    frequencies = ofdm.subcarrier_frequencies_hz(N_FFT, SPACING_HZ)
    offset = np.array([0.0, 2.0, 3.7], np.float32)
    shifted = offsets.window_offset(delays_s, offset, SAMPLE_S)
    assert shifted.shape == (3, 4)
    slope = np.exp(-2j * np.pi * frequencies * offset[:, None].astype(np.float64) * SAMPLE_S)
    on_time = np.asarray(channel.frequency_response(gains, delays_s, frequencies))
    got = channel.frequency_response(gains, shifted, frequencies)
    np.testing.assert_allclose(got, on_time * slope[:, None], atol=2e-5)


@pytest.mark.parametrize("offset", [1, 3])
def test_whole_offsets_inside_the_prefix_only_turn_the_grid(offset):
    """The same samples, cut earlier: no noise, no interference, a slope."""
    grid = random_complex(5, (2, N_SYMBOLS, N_FFT))
    gains = np.broadcast_to(random_complex(6, (2, 1, 4)), (2, N_SYMBOLS, 4))
    delays_s = SAMPLE_S * np.broadcast_to(np.array([0, 1, 2, 5], np.float32), (2, 4))

    @jax.jit
    def send(offset):
        late_s = offsets.window_offset(delays_s, offset, SAMPLE_S)
        taps = channel.sample_taps(gains, late_s, sample_s=SAMPLE_S, n_taps=9, half_width=0)
        samples = channel.apply_taps(ofdm.to_time(grid, CP), taps)
        return samples, ofdm.to_grid(samples, N_SYMBOLS, CP)

    samples, on_time = send(np.zeros(2, np.float32))
    late_samples, late = send(np.full(2, offset, np.float32))
    slope = np.exp(-2j * np.pi * np.arange(-N_FFT // 2, N_FFT // 2) * offset / N_FFT)
    np.testing.assert_allclose(late, np.asarray(on_time) * slope, atol=5e-5)
    # Tap by tap: the samples of the first taps come later, by as many.
    np.testing.assert_allclose(late_samples[:, offset:], samples[:, :-offset], atol=1e-5)


# --- a link's draws


def drawn(config, n=20_000):
    draw = jax.jit(link.draw_links, static_argnames=("config", "batch_size"))
    return draw(config, key=jax.random.key(7), batch_size=n)


def ks(samples, cdf):
    """sqrt(n) D: beyond 2.6 with a probability of 3e-6."""
    return np.sqrt(samples.size) * stats.kstest(samples, cdf).statistic


def test_a_link_draws_offsets_in_their_range():
    config = link.LinkConfig(
        n_subcarriers=48,
        fft_size=64,
        cp_samples=32,
        max_timing_offset=5,
        fractional_timing=True,
        max_carrier_offset_hz=2e3,
    )
    draw = drawn(config)
    assert ks(np.asarray(draw.timing_offset), stats.uniform(0, 5).cdf) < 2.6
    assert ks(np.asarray(draw.carrier_offset_hz), stats.uniform(-2e3, 4e3).cdf) < 2.6
    correlation = np.corrcoef(draw.timing_offset, draw.carrier_offset_hz)[0, 1]
    assert abs(correlation) * np.sqrt(20_000) < 5


def test_the_default_link_has_whole_timing_offsets_and_no_carrier_offset():
    draw = drawn(link.LinkConfig())
    assert draw.carrier_offset_hz is None
    np.testing.assert_array_equal(draw.timing_offset, np.round(draw.timing_offset))
    assert set(np.unique(draw.timing_offset)) == set(range(7))


def test_a_link_applies_the_offsets_that_were_drawn():
    """The grid of a noiseless link with an oscillator that is off by a subcarrier is that of one
    that is not, shifted: all other draws are the same."""
    config = link.LinkConfig(max_carrier_offset_hz=1e6, cp_samples=32)
    draw = drawn(config, 8)._replace(snr_db=jnp.full(8, 120.0))
    send = jax.jit(functools.partial(link.transmit, config))
    tuned = send(draw._replace(carrier_offset_hz=jnp.zeros(8)), key=jax.random.key(8))
    spacing = jnp.full(8, config.sample_rate_hz / config.n_fft)
    # A prefix of one FFT's length: whole turns per symbol, so nothing else changes.
    off = send(draw._replace(carrier_offset_hz=spacing), key=jax.random.key(8))
    np.testing.assert_allclose(off.grid, np.roll(tuned.grid, 1, axis=-1), atol=2e-4)
    sent = sent_grid(config, tuned.bits, tuned.modulation)
    np.testing.assert_allclose(tuned.grid, np.asarray(tuned.channel) * sent, atol=2e-4)
    # A whole turn per window leaves nothing of a symbol where it was; the label says so.
    np.testing.assert_allclose(off.channel, 0.0, atol=1e-5)


def test_the_channel_label_turns_with_the_oscillator():
    """A fiftieth of a subcarrier off: what the label leaves of the received grid is the leaked
    power, (pi e)^2 / 3 of the signal's, and nothing is correlated with what was sent."""
    e = 0.02
    config = link.LinkConfig(max_carrier_offset_hz=1.0)
    draw = drawn(config, 256)._replace(
        snr_db=jnp.full(256, 120.0),
        carrier_offset_hz=jnp.full(256, e * config.sample_rate_hz / config.n_fft),
    )
    frame = jax.jit(functools.partial(link.transmit, config))(draw, key=jax.random.key(9))
    sent = np.asarray(sent_grid(config, frame.bits, frame.modulation))
    frame = jax.device_get(frame)
    rest = np.abs(frame.grid - frame.channel * sent) ** 2
    share = rest.mean(axis=(1, 2)) / (np.abs(frame.channel) ** 2).mean(axis=(1, 2))
    error = share.std() / np.sqrt(share.size)
    assert abs(share.mean() - (np.pi * e) ** 2 / 3) < 5 * error + 1e-4


DELAYS_S = np.zeros((2, 4), np.float32)


@pytest.mark.parametrize(
    "name, call",
    [
        ("offset_hz", lambda: offsets.oscillator(np.zeros((2, 3)), 12, SAMPLE_S)),
        ("offset_hz", lambda: offsets.oscillator(np.float32(1.0), 12, SAMPLE_S)),
        ("delays_s", lambda: offsets.window_offset(DELAYS_S[0], np.zeros(2), SAMPLE_S)),
        ("offset_samples", lambda: offsets.window_offset(DELAYS_S, np.zeros(4), SAMPLE_S)),
    ],
)
def test_bad_arguments_are_named_before_tracing(name, call):
    with pytest.raises(ValueError, match=f"^{name} must") as error:
        jax.eval_shape(call)
    assert "\n" not in str(error.value)
