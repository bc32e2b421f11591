"""Delay profiles against moments in float64, TR 38.901's rescaling, and gains drawn from them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.signal import channel, fading, profiles
from wfm_jax.signal.tapped_delay_line import TDL_D, TDL_E

K_DB = (-10.0, -3.0, 0.0, 7.0, 8.98, 20.0, 30.0)
OWN = profiles.delay_profile([1e-8, 7e-8, 3e-8, 4e-7], [0.2, 0.5, 0.05, 0.25], 4.0)
PROFILES = {
    "exponential": profiles.exponential(np.float32(55e-9), np.float32(2.0), 10, 50e-9),
    "tdl_d": TDL_D.profile,
    "tdl_e": dataclasses.replace(TDL_E, delay_spread_s=300e-9).profile,
    "own": OWN,
}

with_k = jax.jit(profiles.with_k)
with_delay_spread = jax.jit(profiles.with_delay_spread)
mean_powers = jax.jit(profiles.mean_powers)
rms_delay_spread_s = jax.jit(profiles.rms_delay_spread_s)
exponential = jax.jit(profiles.exponential, static_argnums=(2, 3))
frequency_covariance = jax.jit(
    lambda profile, hz: profiles.frequency_covariance(profile, np.asarray(hz)), static_argnums=1
)


def z_score(samples, expected=0.0):
    samples = np.asarray(samples, np.float64)
    return (samples.mean(0) - expected) / (samples.std(0) / np.sqrt(len(samples)))


def moments(profile):
    """K and rms delay spread in float64, of one profile whose LOS ray is the first."""
    k = np.float64(profile.k_linear)
    scattered = np.asarray(profile.scattered, np.float64)
    delays_s = np.asarray(profile.delays_s, np.float64)
    powers = scattered / scattered.sum() / (k + 1)
    powers[0] += k / (k + 1)
    mean = powers @ delays_s
    return k, np.sqrt(powers @ (delays_s - mean) ** 2)


def test_a_profile_of_the_users_own():
    k = 10**0.4
    np.testing.assert_allclose(OWN.delays_s, [1e-8, 7e-8, 3e-8, 4e-7], rtol=1e-6)
    np.testing.assert_allclose(OWN.scattered, [0.2, 0.5, 0.05, 0.25], rtol=1e-6)
    np.testing.assert_array_equal(OWN.specular, [1, 0, 0, 0])
    np.testing.assert_allclose(OWN.k_linear, k, rtol=1e-6)
    dtypes = [x.dtype for x in OWN]
    assert dtypes == [np.float32, np.float32, np.complex64, np.float32]
    assert profiles.delay_profile([0.0], [1.0]).k_linear == 0.0
    assert profiles.delay_profile([0.0], [1.0], np.inf).k_linear == np.inf


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("delays_s", ([], [])),
        ("delays_s", (3e-7, [1.0])),
        ("delays_s", ([[0.0, 1e-7]], [[0.5, 0.5]])),
        ("delays_s", ([-1e-9, 1e-7], [0.5, 0.5])),
        ("delays_s", ([2e-7, 1e-7], [0.5, 0.5])),
        ("delays_s", ([0.0, np.inf], [0.5, 0.5])),
        ("delays_s", ([0.0, np.nan], [0.5, 0.5])),
        ("powers", ([0.0, 1e-7], [1.0])),
        ("powers", ([0.0], [[1.0]])),
        ("powers", ([0.0, 1e-7], [0.5, 0.6])),
        ("powers", ([0.0, 1e-7], [1.5, -0.5])),
        ("powers", ([0.0, 1e-7], [np.nan, 0.5])),
        ("k_db", ([0.0], [1.0], np.nan)),
    ],
)
def test_bad_arguments_are_named(name, arguments):
    with pytest.raises(ValueError, match=f"^{name} must") as error:
        profiles.delay_profile(*arguments)
    assert "\n" not in str(error.value)


def test_bad_static_arguments_are_named():
    with pytest.raises(ValueError, match=r"^n_rays must be at least 1, got 0"):
        profiles.exponential(jnp.ones(2), jnp.ones(2), 0, 1e-8)
    with pytest.raises(ValueError, match=r"^frequencies_hz must be real \[n\], got float"):
        profiles.frequency_covariance(OWN, np.zeros((2, 3)))


def test_exponential_powers():
    decay_s, k = np.array([20e-9, 55e-9, 120e-9], np.float32), np.array([0, 2, 30], np.float32)
    profile = exponential(decay_s, k, 10, 50e-9)
    assert [x.shape for x in profile] == [(3, 10), (3, 10), (3, 10), (3,)]
    np.testing.assert_allclose(profile.scattered.sum(-1), 1, rtol=1e-6)
    ratio = np.exp(-50e-9 / decay_s)[:, None].repeat(9, 1)
    np.testing.assert_allclose(profile.scattered[:, 1:] / profile.scattered[:, :-1], ratio, 1e-5)
    np.testing.assert_allclose(profile.delays_s, [50e-9 * np.arange(10)] * 3, rtol=1e-6)
    np.testing.assert_array_equal(profile.specular, np.eye(1, 10).repeat(3, 0))
    np.testing.assert_array_equal(profile.k_linear, k)
    scalar = exponential(decay_s[1], k[1], 10, 50e-9)
    np.testing.assert_allclose(scalar.scattered, profile.scattered[1], rtol=1e-6)


def test_shares_of_every_k():
    """K/(K+1) and 1/(K+1), a tiny K too, nothing NaN at 0 and inf."""
    k = np.array([0.0, 1e-9, 1e-4, 0.1, 1.0, 5.0, 1e3, 1e9, np.inf], np.float32)
    profile = profiles.tile(profiles.flat(), k.size)._replace(k_linear=jnp.asarray(k))
    specular, scattered = profiles.shares(profile)
    exact = np.float64(k[:-1])
    np.testing.assert_allclose(specular, [*(exact / (exact + 1)), 1.0], rtol=1e-6)
    np.testing.assert_allclose(scattered, [*(1 / (exact + 1)), 0.0], rtol=1e-6)


@pytest.mark.parametrize("k_db", [-np.inf, -6.0, 3.0, np.inf])
def test_mean_powers(k_db):
    share = 0.0 if k_db == -np.inf else 1.0 / (1.0 + 10 ** (-k_db / 10))
    response = np.array([0.6, 0.48j, -0.64])
    for specular in (np.array([1, 0, 0]), response):
        own = profiles.delay_profile([0, 1e-7, 2e-7], [0.5, 0.2, 0.3], k_db)
        own = own._replace(specular=jnp.asarray(specular, jnp.complex64))
        expected = share * np.abs(specular) ** 2 + (1 - share) * np.array([0.5, 0.2, 0.3])
        np.testing.assert_allclose(mean_powers(own), expected, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(mean_powers(own).sum(), 1, rtol=1e-6)


def test_delay_spread_of_profiles_with_a_closed_form():
    # Two rays: sqrt(p (1 - p)) times their distance. A long geometric profile: sqrt(q)/(1 - q).
    two = profiles.delay_profile([0.0, 2e-7], [0.7, 0.3])
    np.testing.assert_allclose(rms_delay_spread_s(two), np.sqrt(0.21) * 2e-7, rtol=1e-5)
    q = np.exp(-0.5)
    long = exponential(np.float32(2e-7), np.float32(0), 400, 1e-7)
    expected = 1e-7 * np.sqrt(q) / (1 - q)
    np.testing.assert_allclose(rms_delay_spread_s(long), expected, rtol=1e-4)


@pytest.mark.parametrize("k_db", [-6.0, 0.0, 7.0, 20.0])
def test_los_ray_shrinks_the_delay_spread(k_db):
    """By sqrt(2K+1)/(K+1) where the mean delay is the spread: a dense exponential."""
    k = np.float32(10 ** (k_db / 10))
    with_ray, without = (
        rms_delay_spread_s(exponential(np.float32(1e-7), x, 2000, 1e-9))
        for x in (k, np.float32(0.0))
    )
    np.testing.assert_allclose(with_ray / without, np.sqrt(2 * k + 1) / (k + 1), rtol=5e-3)


@pytest.mark.parametrize("name", PROFILES)
def test_delay_spread_is_the_second_moment(name):
    profile = PROFILES[name]
    np.testing.assert_allclose(rms_delay_spread_s(profile), moments(profile)[1], rtol=2e-5)


def test_delay_spread_does_not_depend_on_a_common_delay():
    later = OWN._replace(delays_s=OWN.delays_s + 3e-7)
    np.testing.assert_allclose(rms_delay_spread_s(later), rms_delay_spread_s(OWN), rtol=1e-5)


@pytest.mark.parametrize("k_db", K_DB)
@pytest.mark.parametrize("name", PROFILES)
def test_with_k_sets_k_and_keeps_the_delay_spread(name, k_db):
    """TR 38.901 section 7.7.6: scattered powers keep their ratios, delays theirs."""
    before, k = PROFILES[name], 10 ** (k_db / 10)
    after = with_k(before, k)
    got, spread_s = moments(after)
    np.testing.assert_allclose(got, k, rtol=1e-6)
    np.testing.assert_allclose(spread_s, moments(before)[1], rtol=5e-5)
    powers = np.asarray(mean_powers(after), np.float64)
    rest = powers[1:].sum() / np.asarray(before.scattered, np.float64)[1:].sum()
    np.testing.assert_allclose(powers[1:] / before.scattered[1:], rest, rtol=1e-5)
    np.testing.assert_allclose((powers.sum() - rest) / rest, k, rtol=5e-4)
    np.testing.assert_allclose(
        after.delays_s * before.delays_s[-1], before.delays_s * after.delays_s[-1], rtol=1e-5
    )


def test_with_k_is_batched_and_traced():
    k = np.float32(10) ** np.linspace(-1, 3, 5, dtype=np.float32)
    batch = profiles.tile(OWN, 5)
    together = with_k(batch, k)
    loop = [with_k(OWN, x) for x in k]
    mapped = jax.jit(jax.vmap(profiles.with_k, in_axes=(None, 0)))(OWN, k)
    together, mapped = jax.device_get((together, mapped))
    for i in range(5):
        for a, b, c in zip(together, loop[i], mapped, strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-5)
            np.testing.assert_allclose(c[i], b, rtol=1e-5)
    # One K for a whole batch of different profiles.
    spread_s = rms_delay_spread_s(with_k(together, np.float32(1.0)))
    np.testing.assert_allclose(spread_s, np.full(5, moments(OWN)[1]), rtol=5e-5)


def test_rayleigh_keeps_the_delay_spread_too():
    after = with_k(OWN, 0.0)
    assert after.k_linear == 0.0
    np.testing.assert_allclose(moments(after)[1], moments(OWN)[1], rtol=1e-5)


@pytest.mark.parametrize("name", PROFILES)
def test_with_delay_spread(name):
    before = PROFILES[name]
    for wanted_s in (1e-9, 55e-9, 3e-6):
        after = with_delay_spread(before, wanted_s)
        np.testing.assert_allclose(moments(after)[1], wanted_s, rtol=5e-5)
        for a, b in zip(after[1:], before[1:], strict=True):
            np.testing.assert_array_equal(a, b)
    spreads_s = np.array([1e-8, 2e-7], np.float32)
    batch = with_delay_spread(profiles.tile(before, 2), spreads_s)
    np.testing.assert_allclose(rms_delay_spread_s(batch), spreads_s, rtol=5e-5)
    assert np.all(np.asarray(with_delay_spread(before, 0.0).delays_s) == 0.0)


@pytest.mark.parametrize("k_db", [-np.inf, 7.0, np.inf])
def test_what_has_no_spread_stays_as_it_is(k_db):
    """A flat profile, a later one, and a LOS ray alone: nothing is NaN or inf."""
    later = profiles.delay_profile([3e-7], [1.0], k_db)
    for profile in (profiles.flat(k_db), later, with_k(OWN, np.inf)):
        assert rms_delay_spread_s(profile) == 0.0
        for changed in (
            with_delay_spread(profile, 1e-7),
            with_k(profile, profile.k_linear),
        ):
            for a, b in zip(changed, profile, strict=True):
                np.testing.assert_array_equal(a, b)
        covariance = frequency_covariance(profile, (0.0, 1e6))
        np.testing.assert_allclose(np.abs(covariance), 1.0, rtol=1e-6)


def test_tile_repeats_along_a_new_axis():
    tiled = profiles.tile(OWN, 3)
    for a, b in zip(tiled, OWN, strict=True):
        np.testing.assert_array_equal(a, np.stack([b] * 3))


FREQUENCIES_HZ = np.array([-9e6, -1e6, 0.0, 0.3e6, 5e6])


def test_frequency_covariance_is_the_profiles_fourier_transform():
    batch = with_k(profiles.tile(OWN, 3), np.array([0.0, 2.0, 100.0], np.float32))
    got = np.asarray(frequency_covariance(batch, tuple(FREQUENCIES_HZ)))
    assert got.shape == (3, 5, 5)
    assert got.dtype == np.complex64
    np.testing.assert_allclose(got, np.conj(np.swapaxes(got, -1, -2)), atol=1e-6)
    np.testing.assert_allclose(np.diagonal(got, axis1=1, axis2=2), 1.0, atol=1e-5)
    assert np.linalg.eigvalsh(got).min() > -1e-5
    difference = FREQUENCIES_HZ[:, None] - FREQUENCIES_HZ
    delays_s = np.asarray(batch.delays_s, np.float64)[:, :, None, None]
    powers = np.asarray(mean_powers(batch), np.float64)[:, :, None, None]
    expected = (powers * np.exp(-2j * np.pi * delays_s * difference)).sum(1)
    np.testing.assert_allclose(got, expected, atol=5e-6)


@pytest.mark.parametrize("k_db", [-np.inf, 3.0, np.inf])
def test_frequency_covariance_is_the_mean_over_draws(k_db):
    n = 50_000
    profile = profiles.delay_profile([1e-8, 7e-8, 3e-8, 4e-7], [0.2, 0.5, 0.05, 0.25], k_db)
    gains = jax.jit(fading.block_gains)(jax.random.key(1), profiles.tile(profile, n))
    h = channel.frequency_response(gains[:, None], profile.delays_s, FREQUENCIES_HZ)
    h = np.asarray(h, np.complex128)[:, 0]
    product = h[:, :, None] * np.conj(h[:, None])
    expected = np.asarray(frequency_covariance(profile, tuple(FREQUENCIES_HZ)))
    if k_db == np.inf:  # a single ray: every draw is the mean
        np.testing.assert_allclose(product, np.broadcast_to(expected, product.shape), atol=1e-4)
        return
    above = np.triu_indices(5, 1)
    product, expected, power = product[:, *above], expected[above], np.abs(h) ** 2
    assert np.abs(z_score(power, 1.0)).max() < 5
    assert np.abs(z_score(product.real, expected.real)).max() < 5
    assert np.abs(z_score(product.imag, expected.imag)).max() < 5
