"""Rician tapped delay lines: K-factor, power delay profile, Doppler.

One line-of-sight ray in the first tap over scattered taps,

    a_0(t) = sqrt(K/(K+1)) exp(j(phi + 2 pi f_D t cos theta_0)) + sqrt(p_0/(K+1)) g_0(t)
    a_l(t) = sqrt(p_l/(K+1)) g_l(t),    sum_l p_l = 1,

so K is the LOS power over **all** scattered power. Each g_l is a sum of sinusoids with complex
Gaussian amplitudes and stratified random angles of arrival: at any time it is exactly CN(0, 1), and
its autocorrelation over draws is exactly J0(2 pi f_D t) (Clarke 1968). The profile is normalised,
never the draw: a draw of unit energy would not fade.
"""

import jax
import jax.numpy as jnp


def exponential_powers(decay_s: jax.Array, n_taps: int, spacing_s: float) -> jax.Array:
    """Exponentially decaying tap powers of sum one: float32[..., n_taps] for decay_s[...]."""
    delays_s = spacing_s * jnp.arange(n_taps, dtype=jnp.float32)
    powers = jnp.exp(-delays_s / decay_s[..., None])
    return powers / jnp.sum(powers, axis=-1, keepdims=True)


def rms_delay_spread_s(
    powers: jax.Array, delays_s: jax.Array, k_linear: jax.Array | float = 0.0
) -> jax.Array:
    """RMS delay spread of a profile, its LOS ray at the first delay included.

    Args:
        powers: float32[..., n_taps], scattered powers of sum one.
        delays_s: float32[n_taps] or broadcast against ``powers``.
        k_linear: LOS power over all scattered power, [...]; 0 is Rayleigh.
    """
    k = jnp.asarray(k_linear, jnp.float32)
    excess_s = delays_s - delays_s[..., :1]
    mean = jnp.sum(powers * excess_s, axis=-1) / (k + 1.0)
    square = jnp.sum(powers * excess_s**2, axis=-1) / (k + 1.0)
    return jnp.sqrt(jnp.maximum(square - mean**2, 0.0))


def scattered(
    key: jax.Array, shape: tuple[int, ...], phase: jax.Array, n_sinusoids: int
) -> jax.Array:
    """Unit-power scattered gains at the times given by their maximal Doppler phase.

    Args:
        key: typed PRNG key.
        shape: leading shape of independent processes, for instance (batch, n_taps).
        phase: float32[..., n_times], 2 pi f_D t; broadcast against ``shape + (n_times,)``.
        n_sinusoids: rays per process; 1 is exact for a channel that stands still.

    Returns:
        complex64[*shape, n_times].
    """
    key_gain, key_angle = jax.random.split(key)
    gains = jax.random.normal(key_gain, (*shape, n_sinusoids), jnp.complex64)
    offset = jax.random.uniform(key_angle, (*shape, n_sinusoids))
    angles = 2.0 * jnp.pi * (jnp.arange(n_sinusoids) + offset) / n_sinusoids
    rotation = jnp.exp(1j * phase[..., None, :] * jnp.cos(angles)[..., :, None])
    return jnp.einsum("...n,...nt->...t", gains, rotation) / n_sinusoids**0.5


def rician_taps(
    key: jax.Array,
    powers: jax.Array,
    k_linear: jax.Array,
    doppler_hz: jax.Array,
    times_s: jax.Array,
    *,
    n_sinusoids: int = 8,
) -> jax.Array:
    """Gains of a Rician tapped delay line.

    Args:
        key: typed PRNG key.
        powers: float32[batch, n_taps], scattered powers of sum one.
        k_linear: float32[batch], LOS over all scattered power; 0 is Rayleigh.
        doppler_hz: float32[batch], maximal Doppler shift.
        times_s: float32[n_times].
        n_sinusoids: rays per scattered tap.

    Returns:
        complex64[batch, n_times, n_taps]; the mean over draws of the sum of squares is one.
    """
    key_scatter, key_phase, key_angle = jax.random.split(key, 3)
    batch, n_taps = powers.shape
    doppler_phase = 2.0 * jnp.pi * doppler_hz[:, None] * times_s
    gains = scattered(key_scatter, (batch, n_taps), doppler_phase[:, None, :], n_sinusoids)
    taps = gains * jnp.sqrt(powers / (k_linear[:, None] + 1.0))[..., None]
    start = jax.random.uniform(key_phase, (batch, 1), maxval=2.0 * jnp.pi)
    arrival = jax.random.uniform(key_angle, (batch, 1), maxval=2.0 * jnp.pi)
    ray = jnp.exp(1j * (start + doppler_phase * jnp.cos(arrival)))
    ray = ray * jnp.sqrt(k_linear / (k_linear + 1.0))[:, None]
    return jnp.moveaxis(taps.at[:, 0, :].add(ray), 1, 2)
