"""The link: views of one draw, exact labels, and the genie's bit error rate against theory.

Mutations that were tried in the package, and what then failed (here unless a module is named):

- noise 0.25 dB too strong: all twelve genie rates, their sum, the grid's noise and the LS error;
- K 0.5 dB too high inside ``fading.ray_gains``: the four genie rates at K = 7 dB (where they depend
  on K most) and the sum, resource elements, realised delay spread; in test_fading the gain at 7 and
  15 dB, the autocorrelations given the angle of arrival, the rays' powers;
- every draw normalised to unit energy: all genie rates and their sum, mean channel power, resource
  elements, realised delay spread; in test_fading every gain, the autocorrelations, the rays;
- ``qam.demap`` with the other sign: all genie rates, the sent bits; in test_qam brute force, sign,
  calibration, gradient; in test_mixed_qam the comparison of orders;
- ``mixed_qam.demap`` with the other sign: in test_mixed_qam the comparison of orders.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats

from tests import optimized
from wfm_jax.signal import link, mixed_qam, ofdm, profiles, propagation, qam, theory
from wfm_jax.signal.factory import FactoryHall

CONFIG = link.LinkConfig()
SHORT = link.LinkConfig(n_symbols=2, pilot_symbols=(0,))
# So small that a second draws many independent fades.
SMALL = link.LinkConfig(
    n_symbols=2,
    n_subcarriers=8,
    sample_rate_hz=8e6,
    cp_samples=4,
    pilot_symbols=(0,),
    pilot_spacing=8,
    max_timing_offset=2,
    n_sinusoids=2,
    scenario=FactoryHall(n_rays=3, ray_spacing_s=1 / 8e6),
)
BATCH = 4096


def z_score(samples, expected):
    return (np.mean(samples) - expected) / (np.std(samples) / np.sqrt(np.size(samples)))


@pytest.fixture(scope="module")
def frame():
    """A batch of the default link."""
    sample = optimized.jit(link.sample_frames, static_argnames=("config", "batch_size"))
    frame = sample(CONFIG, key=jax.random.key(11), batch_size=BATCH)
    return jax.tree.map(np.asarray, frame)


@functools.partial(jax.jit, static_argnames=("batch", "config"))
def hand_made(
    batch, *, config=CONFIG, modulation=0, snr_db=100.0, k_db=3.0, timing_offset=0, decay_s=55e-9
):
    """A draw where every frame has the same statistics."""
    full = jnp.full(batch, 1.0)
    hall = config.scenario
    k_linear = 10.0 ** (k_db * full / 10.0)
    return link.Draw(
        modulation=jnp.full(batch, modulation, jnp.int32),
        snr_db=snr_db * full,
        timing_offset=timing_offset * full,
        carrier_offset_hz=None,
        propagation=propagation.Propagation(
            profiles.exponential(decay_s * full, k_linear, hall.n_rays, hall.ray_spacing_s),
            los=full > 0.0,
            doppler_hz=10.0 * full,
            arrival_rad=full,
            path_loss_db=0.0 * full,
        ),
    )


def transmit(config, draw, jit=jax.jit):
    send = jit(link.transmit, static_argnums=0)
    return jax.tree.map(np.asarray, send(config, draw, key=jax.random.key(0)))


def sent_grid(config, frame):
    """The transmitted grid, from the frame's labels."""

    @jax.jit
    def place(bits, modulation):
        symbols = mixed_qam.modulate(bits, modulation, config.bits_per_symbol)
        return ofdm.place(symbols, config.pilots, config.pilot_mask)

    return np.asarray(place(frame.bits, frame.modulation))


def test_shapes_and_dtypes(frame):
    m_max, n_data = CONFIG.max_bits_per_symbol, 8 * 32 - 32
    expected = {
        "iq": ((8 * 48,), np.complex64),
        "grid": ((8, 32), np.complex64),
        "csi": ((2, 16), np.complex64),
        "spectrogram": ((15, 32), np.float32),
        "modulation": ((), np.int32),
        "bits": ((n_data, m_max), np.int8),
        "channel": ((8, 32), np.complex64),
        "k_db": ((), np.float32),
        "delay_spread_s": ((), np.float32),
        "snr_db": ((), np.float32),
        "los": ((), np.bool_),
        "n0": ((), np.float32),
        "doppler_hz": ((), np.float32),
    }
    assert set(expected) == set(frame._fields)
    for name, (shape, dtype) in expected.items():
        value = getattr(frame, name)
        assert value.shape == (BATCH, *shape), name
        assert value.dtype == dtype, name
        assert name == "k_db" or np.all(np.isfinite(value)), name


def test_grid_is_the_fft_of_iq(frame):
    blocks = frame.iq.reshape(BATCH, 8, 48)[..., 16:]
    expected = np.fft.fftshift(np.fft.fft(blocks, axis=-1, norm="ortho"), axes=-1)
    np.testing.assert_allclose(frame.grid, expected, atol=1e-4)


def test_csi_is_the_grid_over_the_pilots(frame):
    received = frame.grid[:, (1, 6), ::2].reshape(BATCH, -1)
    pilots = sent_grid(CONFIG, frame)[:, (1, 6), ::2].reshape(BATCH, -1)
    np.testing.assert_array_equal(pilots, np.broadcast_to(CONFIG.pilots, pilots.shape))
    np.testing.assert_allclose(frame.csi.reshape(BATCH, -1), received / pilots, atol=1e-4)


def test_spectrogram_is_log_power_of_windowed_iq(frame):
    window = np.sin(np.pi * np.arange(32) / 32) ** 2
    for i in (0, 7, 14):
        part = frame.iq[:, 24 * i : 24 * i + 32] * window
        power = np.abs(np.fft.fftshift(np.fft.fft(part, axis=-1, norm="ortho"), axes=-1)) ** 2
        got = 10 ** (frame.spectrogram[:, i] / 10)
        np.testing.assert_allclose(got, power, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "n_samples, fft_size", [(384, 32), (64, 64), (127, 64), (111, 64), (90, 7)]
)
def test_spectrogram_windows_fill_the_frame(n_samples, fft_size):
    """They start at zero, three quarters of a window apart, each whole; no other one would fit."""
    starts = link.spectrogram_starts(n_samples, fft_size)
    hop = 3 * fft_size // 4
    np.testing.assert_array_equal(starts, hop * np.arange(starts.size))
    assert starts[-1] + fft_size <= n_samples < starts[-1] + hop + fft_size
    iq = jax.ShapeDtypeStruct((1, n_samples), jnp.complex64)
    shown = jax.eval_shape(lambda iq: link.spectrogram(iq, fft_size, fft_size), iq)
    assert shown.shape == (1, starts.size, fft_size)


def test_received_grid_is_channel_times_sent_plus_white_noise(frame):
    noise = frame.grid - frame.channel * sent_grid(CONFIG, frame)
    noise = noise.astype(np.complex128) / np.sqrt(frame.n0)[:, None, None]
    power = np.abs(noise) ** 2
    assert abs(z_score(power.mean((1, 2)), 1)) < 5
    assert abs(z_score((power**2).mean((1, 2)), 2)) < 5
    # White over subcarriers and symbols; and the prefix carries noise of its own.
    for neighbours in (
        noise[..., 1:] * noise[..., :-1].conj(),
        noise[:, 1:] * noise[:, :-1].conj(),
        noise**2,
    ):
        assert abs(z_score(neighbours.real.mean((1, 2)), 0)) < 5
        assert abs(z_score(neighbours.imag.mean((1, 2)), 0)) < 5
    prefix, end = (frame.iq.reshape(BATCH, 8, 48)[..., part] for part in (slice(16), slice(32, 48)))
    loud = frame.n0 > 0.1
    assert np.all(np.abs(prefix - end)[loud].max((1, 2)) > 0.1)


def test_ls_error_is_the_noise_at_the_pilots(frame):
    """LS mean squared error is n0 per unit-energy pilot."""
    error = frame.csi - frame.channel[:, (1, 6), ::2]
    relative = (np.abs(error) ** 2).mean((1, 2)) / frame.n0
    assert abs(z_score(relative, 1)) < 5


@pytest.mark.parametrize("timing_offset", [0, 3, 6])
def test_without_noise_the_grid_is_the_channel_times_the_symbols(timing_offset):
    """Up to the last sample of the prefix nothing leaks between symbols or subcarriers."""
    config = dataclasses.replace(CONFIG, cp_samples=15)  # 10 taps and 6 samples, none to spare
    frame = transmit(config, hand_made(64, modulation=2, timing_offset=timing_offset))
    np.testing.assert_allclose(frame.grid, frame.channel * sent_grid(config, frame), atol=2e-4)
    np.testing.assert_allclose(frame.csi, frame.channel[:, (1, 6), ::2], atol=2e-4)


def test_timing_offset_turns_the_channel():
    early, on_time = (
        transmit(CONFIG, hand_made(64, timing_offset=offset)).channel for offset in (5, 0)
    )
    ramp = np.exp(-2j * np.pi * 5 * np.arange(-16, 16) / 32)
    np.testing.assert_allclose(early, on_time * ramp, atol=1e-5)


@pytest.mark.parametrize("modulation", range(4))
def test_bits_are_those_that_were_sent(modulation):
    frame = transmit(CONFIG, hand_made(64, modulation=modulation, snr_db=60.0, k_db=20.0))
    h, y = (link.data_elements(CONFIG, x) for x in (frame.channel, frame.grid))
    m = CONFIG.bits_per_symbol[modulation]
    llr = qam.demap(y / h, frame.n0[:, None] / np.abs(h) ** 2, m)
    np.testing.assert_array_equal(llr > 0, frame.bits[..., :m] == 1)


def test_bits_are_fair_and_independent(frame):
    signs = 1.0 - 2.0 * frame.bits
    n = signs[..., 0].size
    assert np.abs(signs.mean((0, 1))).max() * np.sqrt(n) < 5
    correlation = np.einsum("bni,bnj->ij", signs, signs) / n
    assert np.abs(correlation - np.eye(8)).max() * np.sqrt(n) < 5
    assert abs((signs[:, 1:] * signs[:, :-1]).mean()) * np.sqrt(8 * n) < 5


def test_labels_are_exact(frame):
    power = np.mean(np.abs(frame.channel.astype(np.complex128)) ** 2, axis=(1, 2))
    np.testing.assert_allclose(frame.snr_db, 10 * np.log10(power / frame.n0), atol=1e-4)
    np.testing.assert_array_equal(np.isnan(frame.k_db), ~frame.los)

    draw = hand_made(64, k_db=jnp.linspace(-6, 20, 64), snr_db=jnp.linspace(0, 30, 64))
    labelled = transmit(CONFIG, draw)
    np.testing.assert_allclose(labelled.k_db, np.linspace(-6, 20, 64), atol=1e-5)
    assert np.all(labelled.los)
    np.testing.assert_allclose(labelled.n0, 10 ** (-np.linspace(0, 3, 64)), rtol=1e-5)
    np.testing.assert_array_equal(labelled.doppler_hz, draw.propagation.doppler_hz)
    delays_s = np.arange(10) / 20e6
    powers = np.exp(-delays_s / 55e-9)
    k_linear = 10 ** np.linspace(-0.6, 2, 64)
    for k, spread_s in zip(k_linear, labelled.delay_spread_s, strict=True):
        whole = powers / powers.sum()
        whole[0] += k
        whole /= k + 1
        expected = np.sqrt(whole @ delays_s**2 - (whole @ delays_s) ** 2)
        np.testing.assert_allclose(spread_s, expected, rtol=1e-5)


def test_labelled_delay_spread_is_that_of_the_realised_taps():
    """Second moments of the mean power over taps: E|a_l|^2 is the profile with its LOS ray."""
    frame = transmit(SHORT, hand_made(20_000, k_db=2.0), optimized.jit)
    taps = np.fft.ifft(np.fft.ifftshift(frame.channel[:, 0], axes=-1), axis=-1)[:, :10]
    profile = (np.abs(taps.astype(np.complex128)) ** 2).mean(0)
    delays_s = np.arange(10) / 20e6
    mean = profile @ delays_s / profile.sum()
    spread_s = np.sqrt(profile @ (delays_s - mean) ** 2 / profile.sum())
    np.testing.assert_allclose(spread_s, frame.delay_spread_s[0], rtol=0.02)


def test_draws_follow_their_distributions(frame):
    assert abs((frame.los.mean() - 0.8) / np.sqrt(0.16 / BATCH)) < 5
    counts = np.bincount(frame.modulation, minlength=4)
    assert stats.chisquare(counts).pvalue > 1e-6
    assert np.sqrt(BATCH) * stats.kstest(frame.k_db[frame.los], stats.uniform(-6, 26).cdf)[0] < 2.6
    nominal = -10 * np.log10(frame.n0)
    assert np.sqrt(BATCH) * stats.kstest(nominal, stats.uniform(0, 30).cdf)[0] < 2.6
    draw = link.draw_links(CONFIG, key=jax.random.key(5), batch_size=BATCH)
    assert draw.timing_offset.dtype == np.float32
    np.testing.assert_array_equal(draw.timing_offset, np.round(draw.timing_offset))
    offsets = np.bincount(np.asarray(draw.timing_offset, int), minlength=7)
    assert offsets.size == 7
    assert stats.chisquare(offsets).pvalue > 1e-6


def test_mean_channel_power_is_one_and_no_frame_is_normalised(frame):
    power = np.mean(np.abs(frame.channel.astype(np.complex128)) ** 2, axis=(1, 2))
    assert abs(z_score(power, 1)) < 5
    assert power[~frame.los].std() > 0.3
    # Every resource element of Rayleigh frames: E|h|^4 = 2.
    fourth = np.mean(np.abs(frame.channel[~frame.los].astype(np.complex128)) ** 4, axis=(1, 2))
    assert abs(z_score(fourth, 2)) < 5


def test_resource_elements_are_rician():
    """Variance of |h|^2 is (1+2K)/(1+K)^2 at every subcarrier, the last symbol's too."""
    k = 10**0.3
    frame = transmit(SHORT, hand_made(20_000, k_db=3.0, timing_offset=2), optimized.jit)
    for h in (frame.channel[:, 0, 0], frame.channel[:, 1, 21]):
        power = np.abs(h.astype(np.complex128)) ** 2
        assert abs(z_score(power, 1)) < 5
        assert abs(z_score((power - 1) ** 2, (1 + 2 * k) / (1 + k) ** 2)) < 5
        distance = stats.kstest(np.abs(h), lambda r: theory.envelope_cdf(r, 3.0)).statistic
        assert np.sqrt(h.size) * distance < 2.6


def test_one_compile_serves_all_keys_and_equal_configs():
    traces = []

    def sample(config, key):
        traces.append(config)
        return link.sample_frames(config, key=key, batch_size=2).grid

    jitted = jax.jit(sample, static_argnums=0)
    first, second = jitted(CONFIG, jax.random.key(0)), jitted(CONFIG, jax.random.key(1))
    again = jitted(link.LinkConfig(), jax.random.key(0))
    assert len(traces) == 1
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - second).max() > 0.1


def test_vmap_over_keys_is_a_loop():
    keys = jax.random.split(jax.random.key(2), 3)

    def sample(key):
        return link.sample_frames(SMALL, key=key, batch_size=2)

    mapped = jax.device_get(jax.jit(jax.vmap(sample))(keys))
    alone = jax.jit(sample)
    for i, key in enumerate(keys):
        single = alone(key)
        for name in link.Frame._fields:
            got, expected = getattr(mapped, name)[i], getattr(single, name)
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    "name, changes",
    [
        ("n_symbols", {"n_symbols": 0}),
        ("n_subcarriers", {"n_subcarriers": -8}),
        ("n_sinusoids", {"n_sinusoids": 0}),
        ("sample_rate_hz", {"sample_rate_hz": 0.0}),
        ("bits_per_symbol", {"bits_per_symbol": (2, 3)}),
        ("bits_per_symbol", {"bits_per_symbol": (4, 2)}),
        ("bits_per_symbol", {"bits_per_symbol": (2, 2)}),
        ("bits_per_symbol", {"bits_per_symbol": ()}),
        ("pilot_symbols", {"pilot_symbols": (1, 8)}),
        ("pilot_symbols", {"pilot_symbols": (-1,)}),
        ("pilot_symbols", {"pilot_symbols": ()}),
        ("pilot_symbols", {"pilot_symbols": (1, 1)}),
        ("pilot_symbols", {"n_symbols": 1, "pilot_symbols": (0,), "pilot_spacing": 1}),
        ("pilot_spacing", {"pilot_spacing": 3}),
        ("pilot_spacing", {"pilot_spacing": 0}),
        ("cp_samples", {"cp_samples": 33}),
        ("cp_samples", {"cp_samples": -1}),
        ("fft_size", {"fft_size": 31}),
        ("filter_half_width", {"filter_half_width": 0}),
        ("max_timing_offset", {"max_timing_offset": -1}),
        ("max_carrier_offset_hz", {"max_carrier_offset_hz": -1.0}),
        ("snr_db_range", {"snr_db_range": (10.0, 0.0)}),
    ],
)
def test_bad_config_is_named(name, changes):
    with pytest.raises(ValueError, match=f"^{name}") as error:
        link.LinkConfig(**changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changes, missing",
    [
        # Ten rays 50 ns apart are 9 samples late, the window up to 6 early.
        ({"cp_samples": 14}, 1),
        ({"cp_samples": 0}, 15),
        ({"max_timing_offset": 9}, 2),
        ({"scenario": FactoryHall(n_rays=17)}, 6),
        # A filter of 8 samples on either side for delays off the grid.
        ({"fractional_timing": True}, 15),
        ({"fractional_timing": True, "filter_half_width": 2}, 3),
        ({"sample_rate_hz": 15e6}, 13),
    ],
)
def test_short_prefix_warns_by_how_many_samples(changes, missing):
    with pytest.warns(UserWarning, match=f"shorter than the channel by {missing} samples"):
        config = link.LinkConfig(**changes)
    enough = {**changes, "cp_samples": config.cp_samples + missing}
    if enough["cp_samples"] <= config.n_fft:
        assert link.LinkConfig(**enough).n_taps == config.cp_samples + missing + 1


CHUNKS, CHUNK = 20, 4096


@pytest.fixture(scope="module")
def genie_rates():
    """Bit error rates of frames whose receiver knows the channel: mean, standard error, theory.

    The SNR of each case puts the theoretical rate at 0.03. Bits of a frame fade together, so the
    standard error is that of the frames' error rates.
    """

    def measure(key, snr_db, k_db, modulation):
        m = SMALL.bits_per_symbol[modulation]

        def chunk(total, key):
            key_time, key_send = jax.random.split(key)
            offset = jax.random.randint(key_time, (CHUNK,), 0, SMALL.max_timing_offset + 1)
            draw = hand_made(
                CHUNK,
                config=SMALL,
                modulation=modulation,
                snr_db=snr_db,
                k_db=k_db,
                timing_offset=offset,
            )
            frame = link.transmit(SMALL, draw, key=key_send)
            h, y = (link.data_elements(SMALL, x) for x in (frame.channel, frame.grid))
            llr = qam.demap(y / h, frame.n0[:, None] / jnp.square(jnp.abs(h)), m)
            wrong = jnp.mean((llr > 0) != (frame.bits[..., :m] == 1), axis=(1, 2))
            return total + jnp.stack([jnp.mean(wrong), jnp.mean(wrong**2)]) / CHUNKS, None

        return jax.lax.scan(chunk, jnp.zeros(2), jax.random.split(key, CHUNKS))[0]

    measure = optimized.jit(measure, static_argnums=3)
    rates = {}
    for modulation, m in enumerate(SMALL.bits_per_symbol):
        for k_db in (-3.0, 7.0, 15.0):
            # SNR is Es/N0 of a resource element; Eb/N0 is less by 10 lg m.
            ebn0_db = optimize.brentq(
                lambda x, m=m, k=k_db: theory.ber_rician(m, x, k) - 0.03, -10, 40
            )
            snr_db = ebn0_db + 10 * np.log10(m)
            key = jax.random.fold_in(jax.random.key(2024), len(rates))
            mean, square = np.asarray(measure(key, snr_db, k_db, modulation), np.float64)
            error = np.sqrt((square - mean**2) / (CHUNKS * CHUNK))
            rates[m, k_db] = mean, error, theory.ber_rician(m, ebn0_db, k_db)
    return rates


@pytest.mark.slow
@pytest.mark.parametrize("k_db", [-3.0, 7.0, 15.0])
@pytest.mark.parametrize("m", [2, 4, 6, 8])
def test_genie_bit_error_rate_is_that_of_theory(genie_rates, m, k_db):
    mean, error, expected = genie_rates[m, k_db]
    assert error / expected < 0.02
    assert abs(mean - expected) / error < 5


@pytest.mark.slow
def test_genie_bit_error_rates_are_not_biased_together(genie_rates):
    """Twelve independent z-scores, so their sum over sqrt(12) is one too: it sees a small common
    bias, such as noise 0.25 dB off, more clearly than a single case."""
    z = [(mean - expected) / error for mean, error, expected in genie_rates.values()]
    assert abs(np.sum(z)) / np.sqrt(12) < 5
