"""Rician delay lines against their moments, distribution, Doppler law and delay spread."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from wfm_jax.signal import factory, fading, theory

ONE_TIME = np.zeros(1, np.float32)


def flat_gains(k_db, n=200_000, n_taps=3):
    """Independent draws of a subcarrier's gain: the sum of all taps of a delay line."""
    k = 10 ** (k_db / 10)

    @jax.jit
    def draw(key):
        powers = fading.exponential_powers(jnp.full(n, 60e-9), n_taps, 50e-9)
        return fading.rician_taps(
            key, powers, jnp.full(n, k), jnp.full(n, 5.0), ONE_TIME, n_sinusoids=2
        )

    return np.asarray(draw(jax.random.key(7)))[:, 0].sum(-1).astype(np.complex128)


def z_score(samples, expected):
    return (samples.mean() - expected) / (samples.std() / np.sqrt(samples.size))


@pytest.mark.parametrize("k_db", [-np.inf, -3.0, 7.0, 15.0])
def test_gain_is_rician(k_db):
    gains = flat_gains(k_db)
    k = 10 ** (k_db / 10)
    power = np.abs(gains) ** 2
    assert abs(z_score(power, 1)) < 5
    variance = (1 + 2 * k) / (1 + k) ** 2
    assert abs(z_score((power - 1) ** 2, variance)) < 5
    for part in (gains.real, gains.imag, (gains**2).real, (gains**2).imag):
        assert abs(z_score(part, 0)) < 5
    # Kolmogorov-Smirnov: sqrt(n) D > 2.6 has probability 3e-6.
    envelope = np.sort(np.abs(gains))
    steps = np.arange(envelope.size + 1) / envelope.size
    cdf = theory.envelope_cdf(envelope, k_db)
    distance = max(np.abs(cdf - steps[:-1]).max(), np.abs(cdf - steps[1:]).max())
    assert np.sqrt(envelope.size) * distance < 2.6


def test_scattered_process_has_clarkes_autocorrelation():
    """E conj(g(0)) g(t) = J0(2 pi f_D t), and every instant is CN(0, 1)."""
    phase = jnp.linspace(0, 12, 25)
    process = np.asarray(
        jax.jit(fading.scattered, static_argnums=(1, 3))(
            jax.random.key(0), (40_000,), jnp.broadcast_to(phase, (40_000, 25)), 8
        )
    )
    product = np.conj(process[:, :1]) * process
    for i, x in enumerate(phase):
        if i:
            assert abs(z_score(product[:, i].real, special.j0(float(x)))) < 5
            assert abs(z_score(product[:, i].imag, 0)) < 5
        assert abs(z_score(np.abs(process[:, i]) ** 2, 1)) < 5
        assert abs(z_score(np.abs(process[:, i]) ** 4, 2)) < 5


@pytest.mark.parametrize("k", [0.5, 4.0])
def test_tap_autocorrelation_given_the_rays_angle(k):
    """[K exp(j 2 pi f_D t cos theta_0) + J0(2 pi f_D t)]/(K+1), with theta_0 from the same draw.

    The same key at K = 1e9 leaves the ray alone, whose phase tells cos theta_0.
    """
    n, doppler_hz = 40_000, 10.0
    times_s = jnp.linspace(0, 0.1, 11)
    powers, doppler = jnp.ones((n, 1)), jnp.full(n, doppler_hz)

    @jax.jit
    def draw(k):
        taps = fading.rician_taps(jax.random.key(1), powers, jnp.full(n, k), doppler, times_s)
        return taps[..., 0]

    ray = np.asarray(draw(1e9))
    np.testing.assert_allclose(np.abs(ray), 1, atol=1e-3)
    turn = np.unwrap(np.angle(ray), axis=1)
    slope = (turn[:, -1] - turn[:, 0]) / (2 * np.pi * doppler_hz * 0.1)
    assert np.sqrt(n) * stats.kstest(slope, stats.arcsine(loc=-1, scale=2).cdf).statistic < 2.6
    start = np.angle(ray[:, 0]) / (2 * np.pi) + 0.5
    assert np.sqrt(n) * stats.kstest(start, "uniform").statistic < 2.6

    taps = np.asarray(draw(k))
    product = np.conj(taps[:, :1]) * taps
    for i, t in enumerate(np.asarray(times_s)[1:], start=1):
        x = 2 * np.pi * doppler_hz * t
        conditional = (k * np.exp(1j * x * slope) + special.j0(x)) / (k + 1)
        residual = product[:, i] - conditional
        assert abs(z_score(residual.real, 0)) < 5
        assert abs(z_score(residual.imag, 0)) < 5
        # Over all angles of arrival the ray's mean is J0 as well.
        assert abs(z_score(product[:, i].real, special.j0(x))) < 5


def test_taps_are_uncorrelated_and_share_the_power():
    n, k = 100_000, 2.0
    powers = np.array([0.6, 0.3, 0.1])
    taps = jax.jit(fading.rician_taps)(
        jax.random.key(2),
        jnp.broadcast_to(jnp.asarray(powers), (n, 3)),
        jnp.full(n, k),
        jnp.zeros(n),
        ONE_TIME,
    )
    assert taps.shape == (n, 1, 3)
    assert taps.dtype == jnp.complex64
    taps = np.asarray(taps)[:, 0]
    expected = (powers + np.array([k, 0, 0])) / (k + 1)
    for i in range(3):
        assert abs(z_score(np.abs(taps[:, i]) ** 2, expected[i])) < 5
        cross = taps[:, i] * np.conj(taps[:, i - 1])
        assert abs(z_score(cross.real, 0)) < 5
        assert abs(z_score(cross.imag, 0)) < 5


def test_exponential_powers():
    decay_s = jnp.asarray([20e-9, 55e-9, 120e-9])
    powers = fading.exponential_powers(decay_s, 10, 50e-9)
    assert powers.shape == (3, 10)
    np.testing.assert_allclose(powers.sum(-1), 1, rtol=1e-6)
    ratio = np.exp(-50e-9 / np.asarray(decay_s))[:, None]
    np.testing.assert_allclose(powers[:, 1:] / powers[:, :-1], np.repeat(ratio, 9, 1), rtol=1e-5)


def test_delay_spread_of_profiles_with_a_closed_form():
    delays_s = 1e-7 * np.arange(400)
    # Two taps: sqrt(p (1 - p)) times their distance. A long geometric profile: sqrt(q)/(1 - q).
    two = fading.rms_delay_spread_s(jnp.asarray([0.7, 0.3]), jnp.asarray([0.0, 2e-7]))
    np.testing.assert_allclose(two, np.sqrt(0.21) * 2e-7, rtol=1e-5)
    q = np.exp(-0.5)
    long = fading.exponential_powers(jnp.asarray(2e-7), 400, 1e-7)
    spread = fading.rms_delay_spread_s(long, jnp.asarray(delays_s))
    np.testing.assert_allclose(spread, 1e-7 * np.sqrt(q) / (1 - q), rtol=1e-4)


@pytest.mark.parametrize("k_db", [-6.0, 0.0, 7.0, 20.0])
def test_los_ray_shrinks_the_delay_spread(k_db):
    """By sqrt(2K+1)/(K+1) for a profile whose mean delay is its spread (a dense exponential), and
    to the moments of the whole profile in general."""
    k = 10 ** (k_db / 10)
    delays_s = jnp.asarray(1e-9 * np.arange(2000), jnp.float32)
    dense = fading.exponential_powers(jnp.asarray(100e-9), 2000, 1e-9)
    with_ray, without = (fading.rms_delay_spread_s(dense, delays_s, x) for x in (k, 0.0))
    np.testing.assert_allclose(with_ray / without, np.sqrt(2 * k + 1) / (k + 1), rtol=5e-3)

    powers, delays_s = np.array([0.5, 0.1, 0.4]), np.array([3.0, 5.0, 11.0]) * 1e-8
    whole = (powers + np.array([k, 0, 0])) / (k + 1)
    mean = whole @ delays_s
    expected = np.sqrt(whole @ (delays_s - mean) ** 2)
    got = fading.rms_delay_spread_s(jnp.asarray(powers), jnp.asarray(delays_s), k)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_vmap_over_keys_is_a_loop():
    keys = jax.random.split(jax.random.key(3), 3)
    powers, ones = jnp.full((4, 2), 0.5), jnp.ones(4)
    times_s = jnp.linspace(0, 1e-2, 5)

    def draw(key):
        return fading.rician_taps(key, powers, ones, 10 * ones, times_s)

    loop = jnp.stack([jax.jit(draw)(key) for key in keys])
    np.testing.assert_allclose(jax.jit(jax.vmap(draw))(keys), loop, atol=1e-5)


def test_propagation_follows_the_scenario():
    n = 50_000
    scenario = factory.Scenario(k_db_range=(-2.0, 9.0), rayleigh_fraction=0.3)
    prop = factory.draw_propagation(scenario, key=jax.random.key(4), batch_size=n)
    los = np.asarray(prop.los)
    assert abs((los.mean() - 0.7) / np.sqrt(0.21 / n)) < 5
    np.testing.assert_array_equal(np.isnan(prop.k_db), ~los)
    k_db = np.asarray(prop.k_db)[los]
    assert np.sqrt(k_db.size) * stats.kstest(k_db, stats.uniform(-2, 11).cdf).statistic < 2.6
    np.testing.assert_allclose(np.asarray(prop.k_linear)[los], 10 ** (k_db / 10), rtol=1e-5)
    np.testing.assert_array_equal(np.asarray(prop.k_linear)[~los], 0)

    decay_s = np.asarray(prop.decay_s)
    assert np.all((decay_s >= 19.99e-9) & (decay_s <= 120.01e-9))
    assert abs(np.mean(decay_s < 55e-9) - 0.5) * 2 * np.sqrt(n) < 5
    below = np.mean(decay_s < 55e-9 * 10**-0.17)
    p = stats.norm.cdf(-1)
    assert abs(below - p) / np.sqrt(p * (1 - p) / n) < 5
    wavelength_m = 299_792_458 / 3.7e9
    speed = np.asarray(prop.doppler_hz) * wavelength_m
    assert np.sqrt(n) * stats.kstest(speed, stats.uniform(0.5, 1).cdf).statistic < 2.6


@pytest.mark.parametrize(
    "name, value",
    [
        ("rayleigh_fraction", 1.1),
        ("rayleigh_fraction", -0.1),
        ("k_db_range", (3.0, -3.0)),
        ("decay_range_s", (0.0, 1e-7)),
        ("decay_range_s", (2e-7, 1e-7)),
        ("speed_range_m_s", (2.0, 1.0)),
    ],
)
def test_bad_scenario_is_named(name, value):
    with pytest.raises(ValueError, match=name):
        factory.Scenario(**{name: value})
