"""Ray gains against their moments, distribution and Doppler law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from wfm_jax.signal import fading, profiles, theory

DOPPLER_HZ = 10.0
# Thirteen OFDM symbols, and thirteen of the samples in them (no equal steps: any times will do).
SYMBOLS_S = np.linspace(0.0, 0.12, 13).astype(np.float32)
SAMPLES_S = (np.array([0, 1, 2, 5, 17, 40, 99, 230, 404, 640, 641, 999, 1200]) * 1e-4).astype(
    np.float32
)

gains_of = jax.jit(fading.ray_gains, static_argnames="n_sinusoids")
block_of = jax.jit(fading.block_gains, static_argnames="n_sinusoids")


def z_score(samples, expected=0.0):
    samples = np.asarray(samples, np.float64)
    return (samples.mean() - expected) / (samples.std() / np.sqrt(samples.size))


def ks(samples, cdf):
    """sqrt(n) D: beyond 2.6 with a probability of 3e-6."""
    return np.sqrt(samples.size) * stats.kstest(samples, cdf).statistic


def batch_of(profile, n):
    return profiles.tile(profile, n)


@pytest.mark.parametrize("k_db", [-np.inf, -3.0, 7.0, 15.0])
def test_gain_of_a_subcarrier_is_rician(k_db):
    """The sum over rays, as on the carrier itself."""
    n, k = 200_000, 10 ** (k_db / 10)
    decay_s, k_linear = np.full(n, 60e-9, np.float32), np.full(n, k, np.float32)
    profile = profiles.exponential(decay_s, k_linear, 3, 50e-9)
    full = np.ones(n, np.float32)
    gains = gains_of(jax.random.key(7), profile, 5 * full, full, np.zeros(1), n_sinusoids=2)
    gains = np.asarray(gains)[:, 0].sum(-1).astype(np.complex128)
    power = np.abs(gains) ** 2
    assert abs(z_score(power, 1)) < 5
    assert abs(z_score((power - 1) ** 2, (1 + 2 * k) / (1 + k) ** 2)) < 5
    for part in (gains.real, gains.imag, (gains**2).real, (gains**2).imag):
        assert abs(z_score(part)) < 5
    assert ks(np.abs(gains), lambda r: theory.envelope_cdf(r, k_db)) < 2.6


def test_scattered_process_has_clarkes_autocorrelation():
    """E conj(g(0)) g(t) = J0(2 pi f_D t), and every instant is CN(0, 1)."""
    phase = np.linspace(0, 12, 25, dtype=np.float32)
    process = np.asarray(
        jax.jit(fading.scattered, static_argnums=(1, 3))(
            jax.random.key(0), (40_000,), np.broadcast_to(phase, (40_000, 25)), 8
        )
    )
    product = np.conj(process[:, :1]) * process
    for i, x in enumerate(phase):
        if i:
            assert abs(z_score(product[:, i].real, special.j0(float(x)))) < 5
            assert abs(z_score(product[:, i].imag, 0)) < 5
        assert abs(z_score(np.abs(process[:, i]) ** 2, 1)) < 5
        assert abs(z_score(np.abs(process[:, i]) ** 4, 2)) < 5


@pytest.mark.parametrize("times_s", [SYMBOLS_S, SAMPLES_S], ids=["symbols", "samples"])
@pytest.mark.parametrize("k, arrival", [(0.5, 0.4), (4.0, 2.0), (1.0, np.pi / 2)])
def test_autocorrelation_given_the_angle_of_arrival(k, arrival, times_s):
    """[K exp(j 2 pi f_D t cos theta_0) + J0(2 pi f_D t)]/(K+1), theta_0 the same in all draws."""
    n = 40_000
    profile = batch_of(profiles.flat(10 * np.log10(k)), n)
    doppler_hz, arrival_rad = (np.full(n, x, np.float32) for x in (DOPPLER_HZ, arrival))
    gains = np.asarray(gains_of(jax.random.key(1), profile, doppler_hz, arrival_rad, times_s))
    product = np.conj(gains[:, :1, 0]) * gains[..., 0]
    x = 2 * np.pi * DOPPLER_HZ * times_s.astype(np.float64)
    expected = (k * np.exp(1j * x * np.cos(arrival)) + special.j0(x)) / (k + 1)
    for i in range(1, times_s.size):
        assert abs(z_score(product[:, i].real, expected[i].real)) < 5
        assert abs(z_score(product[:, i].imag, expected[i].imag)) < 5


def test_autocorrelation_over_all_angles_of_arrival_is_clarkes():
    n = 40_000
    arrival_rad = np.random.default_rng(0).uniform(0, 2 * np.pi, n).astype(np.float32)
    doppler_hz = np.full(n, DOPPLER_HZ, np.float32)
    profile = batch_of(profiles.flat(6.0), n)
    gains = np.asarray(gains_of(jax.random.key(2), profile, doppler_hz, arrival_rad, SYMBOLS_S))
    product = np.conj(gains[:, :1, 0]) * gains[..., 0]
    for i, t in enumerate(SYMBOLS_S[1:], start=1):
        assert abs(z_score(product[:, i].real, special.j0(2 * np.pi * DOPPLER_HZ * t))) < 5
        assert abs(z_score(product[:, i].imag)) < 5


def test_los_ray_alone_turns_from_a_uniform_phase():
    """K = inf: magnitude one, exp(j(phi + 2 pi f_D t cos theta)), phi uniform."""
    n = 40_000
    arrival_rad = np.linspace(0, np.pi, n, dtype=np.float32)
    doppler_hz = np.linspace(0, 20, n, dtype=np.float32)
    profile = batch_of(profiles.flat(np.inf), n)
    ray = np.asarray(gains_of(jax.random.key(3), profile, doppler_hz, arrival_rad, SYMBOLS_S))
    ray = ray[..., 0].astype(np.complex128)
    turn = 2 * np.pi * np.outer(doppler_hz * np.cos(arrival_rad.astype(np.float64)), SYMBOLS_S)
    np.testing.assert_allclose(ray / ray[:, :1], np.exp(1j * turn), atol=3e-5)
    np.testing.assert_allclose(np.abs(ray), 1.0, atol=1e-5)
    assert ks(np.angle(ray[:, 0]) / (2 * np.pi) + 0.5, "uniform") < 2.6


def test_specular_rays_share_one_phase():
    """A measured response keeps its shape: all of its taps turn together."""
    response = np.array([0.6, 0.48j, -0.64], np.complex64)
    profile = profiles.Profile(
        np.arange(3, dtype=np.float32) * 1e-7,
        np.full(3, 1 / 3, np.float32),
        response,
        np.float32(np.inf),
    )
    gains = np.asarray(block_of(jax.random.key(4), batch_of(profile, 20_000)))
    common = gains[:, 0] / response[0]
    np.testing.assert_allclose(gains, common[:, None] * response, atol=1e-6)
    np.testing.assert_allclose(np.abs(common), 1.0, atol=1e-5)
    assert ks(np.angle(common) / (2 * np.pi) + 0.5, "uniform") < 2.6


def test_rays_are_uncorrelated_and_share_the_power():
    n, k = 100_000, 2.0
    powers = np.array([0.6, 0.3, 0.1])
    profile = profiles.delay_profile([0, 1e-7, 3e-7], powers, 10 * np.log10(k))
    gains = block_of(jax.random.key(5), batch_of(profile, n))
    assert gains.shape == (n, 3)
    assert gains.dtype == jnp.complex64
    gains = np.asarray(gains)
    expected = (powers + np.array([k, 0, 0])) / (k + 1)
    for i in range(3):
        assert abs(z_score(np.abs(gains[:, i]) ** 2, expected[i])) < 5
        cross = gains[:, i] * np.conj(gains[:, i - 1])
        assert abs(z_score(cross.real)) < 5
        assert abs(z_score(cross.imag)) < 5


def test_block_gains_are_ray_gains_of_a_channel_that_stands_still():
    profile = batch_of(profiles.delay_profile([0, 1e-7], [0.5, 0.5], 3.0), 4)
    still = np.zeros(4, np.float32)
    block = block_of(jax.random.key(6), profile, n_sinusoids=8)
    moving = gains_of(jax.random.key(6), profile, still, still + 1, SYMBOLS_S)
    np.testing.assert_allclose(moving, np.broadcast_to(block[:, None], (4, 13, 2)), atol=1e-6)


def test_vmap_over_keys_is_a_loop():
    keys = jax.random.split(jax.random.key(3), 3)
    profile = batch_of(profiles.delay_profile([0, 1e-7], [0.5, 0.5], 0.0), 4)
    doppler_hz, arrival_rad = np.full(4, 10, np.float32), np.arange(4, dtype=np.float32)

    def draw(key):
        return fading.ray_gains(key, profile, doppler_hz, arrival_rad, SYMBOLS_S)

    loop = jnp.stack([jax.jit(draw)(key) for key in keys])
    np.testing.assert_allclose(jax.jit(jax.vmap(draw))(keys), loop, atol=1e-5)


@pytest.mark.parametrize(
    "name, changes",
    [
        ("profile.k_linear", {"profile": profiles.flat(3.0)}),
        ("doppler_hz", {"doppler_hz": np.zeros(3, np.float32)}),
        ("doppler_hz", {"doppler_hz": np.float32(3)}),
        ("arrival_rad", {"arrival_rad": np.zeros((4, 1), np.float32)}),
        ("arrival_rad", {"arrival_rad": np.zeros(4, np.complex64)}),
        ("times_s", {"times_s": np.float32(0)}),
        ("n_sinusoids", {"n_sinusoids": 0}),
    ],
)
def test_bad_arguments_are_named_before_tracing(name, changes):
    arguments = {
        "profile": batch_of(profiles.flat(3.0), 4),
        "doppler_hz": np.zeros(4, np.float32),
        "arrival_rad": np.zeros(4, np.float32),
        "times_s": SYMBOLS_S,
        **changes,
    }
    with pytest.raises(ValueError, match=f"^{name} must") as error:
        fading.ray_gains(jax.random.key(0), **arguments)
    assert "\n" not in str(error.value)
