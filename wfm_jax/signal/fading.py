"""Fading: gains of the rays of a Rician delay profile over time.

    a_l(t) = sqrt(K/(K+1)) s_l exp(j(phi + 2 pi f_D t cos theta)) + sqrt(p_l/(K+1)) g_l(t)

with the specular amplitudes s_l and scattered powers p_l of a :class:`~wfm_jax.signal.profiles.
Profile`, a random phase phi and the angle theta at which the LOS ray arrives. Each g_l is a sum of
sinusoids with complex Gaussian amplitudes and stratified random angles of arrival: at any time it
is exactly CN(0, 1), and its autocorrelation over draws is exactly J0(2 pi f_D t) (Clarke 1968).
"""

import jax
import jax.numpy as jnp

from wfm_jax.signal import profiles
from wfm_jax.signal.checks import check_array
from wfm_jax.signal.noise import complex_normal
from wfm_jax.signal.profiles import Profile
from wfm_jax.signal.words import random_uniform


def scattered(
    key: jax.Array, shape: tuple[int, ...], phase: jax.Array, n_sinusoids: int
) -> jax.Array:
    """Unit-power scattered gains at the times given by their maximal Doppler phase.

    Args:
        key: typed PRNG key.
        shape: leading shape of independent processes, for instance (batch, n_rays).
        phase: float32[..., n_times], 2 pi f_D t; broadcast against ``shape + (n_times,)``.
        n_sinusoids: waves per process; 1 is exact for a channel that stands still.

    Returns:
        complex64[*shape, n_times].
    """
    key_gain, key_angle = jax.random.split(key)
    gains = complex_normal(key_gain, (*shape, n_sinusoids))
    offset = random_uniform(key_angle, (*shape, n_sinusoids))
    angles = 2.0 * jnp.pi * (jnp.arange(n_sinusoids) + offset) / n_sinusoids
    rotation = jnp.exp(1j * phase[..., None, :] * jnp.cos(angles)[..., :, None])
    waves = jnp.einsum("...n,...nt->...t", gains, rotation, precision="highest")
    return waves / n_sinusoids**0.5


def ray_gains(
    key: jax.Array,
    profile: Profile,
    doppler_hz: jax.Array,
    arrival_rad: jax.Array,
    times_s: jax.Array,
    *,
    n_sinusoids: int = 8,
) -> jax.Array:
    """Gains of all rays over time: at samples, at OFDM symbols, at any times.

    Args:
        key: typed PRNG key.
        profile: [batch] delay profiles.
        doppler_hz: float32[batch], maximal Doppler shift.
        arrival_rad: float32[batch], angle between the LOS ray and the direction of motion.
        times_s: float32[n_times].
        n_sinusoids: waves per scattered ray.

    Returns:
        complex64[batch, n_times, n_rays]; the mean over draws of the sum of squares is one.

    Raises:
        ValueError: batches that differ, times that are not a vector, fewer than one wave.
    """
    check_array("profile.k_linear", profile.k_linear, "batch", real=True)
    batch = profile.k_linear.shape[0]
    check_array("doppler_hz", doppler_hz, batch, real=True)
    check_array("arrival_rad", arrival_rad, batch, real=True)
    check_array("times_s", times_s, "n_times", real=True)
    if n_sinusoids < 1:
        raise ValueError(f"n_sinusoids must be at least 1, got {n_sinusoids}")
    key_scatter, key_phase = jax.random.split(key)
    specular, diffuse = profiles.shares(profile)
    doppler_phase = 2.0 * jnp.pi * doppler_hz[:, None] * times_s
    gains = scattered(key_scatter, profile.scattered.shape, doppler_phase[:, None], n_sinusoids)
    gains = gains * jnp.sqrt(profile.scattered * diffuse[:, None])[..., None]
    start = 2.0 * jnp.pi * random_uniform(key_phase, doppler_hz.shape)
    turn = jnp.exp(1j * (start[:, None] + doppler_phase * jnp.cos(arrival_rad)[:, None]))
    still = profile.specular * jnp.sqrt(specular)[:, None]
    return jnp.moveaxis(gains, 1, 2) + turn[..., None] * still[:, None]


def block_gains(key: jax.Array, profile: Profile, *, n_sinusoids: int = 1) -> jax.Array:
    """Gains of a channel that stands still, complex64[batch, n_rays]: block fading. ``n_sinusoids``
    waves make a scattered ray; one is Gaussian already."""
    still = jnp.zeros(profile.k_linear.shape, jnp.float32)
    return ray_gains(key, profile, still, still, jnp.zeros(1), n_sinusoids=n_sinusoids)[:, 0]
