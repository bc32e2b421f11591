"""Delay profiles: where a channel's power arrives, what of it fades, and its rescaling.

A profile is a set of rays. The scattered part of a ray fades; the specular part does not: the LOS
ray of a Rician channel, or every ray of a measured response. K and delay spread are those of the
**whole** profile:

    K = specular over scattered power,    power of ray l = (K |s_l|^2 + p_l) / (K + 1).

Setting K on a profile follows 3GPP TR 38.901 section 7.7.6: the scattered powers are scaled, the
total is normalised, and the delays are rescaled so that the rms delay spread stays as asked. The
profile is normalised, never a draw of it: a draw of unit energy would not fade.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.signal.checks import check_array


class Profile(NamedTuple):
    """A delay profile, or a batch of them; any leading axes.

    Attributes:
        delays_s: float32[..., n_rays], the delay of each ray; the earliest is not negative.
        scattered: float32[..., n_rays], powers of the fading parts, of sum one.
        specular: complex64[..., n_rays], amplitudes of the parts that do not fade; their squared
            magnitudes sum to one, over many draws at least. A LOS ray is one at the first ray and
            zero elsewhere.
        k_linear: float32[...], specular over scattered power; 0 is Rayleigh, inf does not fade.
    """

    delays_s: jax.Array
    scattered: jax.Array
    specular: jax.Array
    k_linear: jax.Array


def delay_profile(
    delays_s: Sequence[float], powers: Sequence[float], k_db: float = -np.inf
) -> Profile:
    """A Rician profile of the user's own, its LOS ray at the first delay.

    Args:
        delays_s: delays of the scattered rays in seconds, the first one the earliest.
        powers: their powers (linear), of sum one.
        k_db: LOS power over all scattered power; -inf is Rayleigh, +inf leaves the LOS ray alone.

    Raises:
        ValueError: negative delays, a first delay that is not the earliest, lengths that differ,
            powers that are negative or do not sum to one, K of NaN.
    """
    delays, scattered = np.asarray(delays_s, np.float64), np.asarray(powers, np.float64)
    check_delays(delays)
    if scattered.shape != delays.shape:
        raise ValueError(
            f"powers must have one entry per delay ({delays.size}), got shape {scattered.shape}"
        )
    if not np.all(scattered >= 0.0) or abs(scattered.sum() - 1.0) > 1e-4:
        raise ValueError(f"powers must be non-negative and sum to one, got {scattered.sum():.6g}")
    los = np.zeros(delays.shape, np.complex64)
    los[0] = 1.0
    return Profile(
        jnp.asarray(delays, jnp.float32),
        jnp.asarray(scattered / scattered.sum(), jnp.float32),
        jnp.asarray(los),
        jnp.asarray(10.0 ** (check_k_db(k_db) / 10.0), jnp.float32),
    )


def flat(k_db: float = -np.inf) -> Profile:
    """One ray: flat Rician fading."""
    return delay_profile([0.0], [1.0], k_db)


def exponential(decay_s: jax.Array, k_linear: jax.Array, n_rays: int, spacing_s: float) -> Profile:
    """Equally spaced rays of exponentially decaying power, one profile per entry; traceable.

    Args:
        decay_s: float32[...], decay constant of the scattered powers.
        k_linear: float32[...], LOS over all scattered power.
        n_rays: rays of each profile.
        spacing_s: their distance.

    Raises:
        ValueError: fewer than one ray.
    """
    if n_rays < 1:
        raise ValueError(f"n_rays must be at least 1, got {n_rays}")
    delays_s = spacing_s * jnp.arange(n_rays, dtype=jnp.float32)
    decay_s = jnp.asarray(decay_s, jnp.float32)
    powers = jnp.exp(-delays_s / decay_s[..., None])
    shape = powers.shape
    los = jnp.broadcast_to(jnp.eye(1, n_rays, dtype=jnp.complex64)[0], shape)
    return Profile(
        jnp.broadcast_to(delays_s, shape),
        powers / jnp.sum(powers, axis=-1, keepdims=True),
        los,
        jnp.broadcast_to(jnp.asarray(k_linear, jnp.float32), shape[:-1]),
    )


def shares(profile: Profile) -> tuple[jax.Array, jax.Array]:
    """Specular and scattered share of the power, float32[...]: K/(K+1) and 1/(K+1), K inf too."""
    # K/(K+1) without cancellation at a small K, and without inf/inf.
    return -jnp.expm1(-jnp.log1p(profile.k_linear)), 1.0 / (profile.k_linear + 1.0)


def mean_powers(profile: Profile) -> jax.Array:
    """Mean power of each ray, specular and scattered, float32[..., n_rays]."""
    specular, scattered = shares(profile)
    return (
        specular[..., None] * jnp.square(jnp.abs(profile.specular))
        + scattered[..., None] * profile.scattered
    )


def rms_delay_spread_s(profile: Profile) -> jax.Array:
    """RMS delay spread of the whole profile, float32[...]: a LOS ray shrinks it."""
    powers = mean_powers(profile)
    powers = powers / jnp.sum(powers, axis=-1, keepdims=True)
    mean = jnp.sum(powers * profile.delays_s, axis=-1, keepdims=True)
    return jnp.sqrt(jnp.sum(powers * jnp.square(profile.delays_s - mean), axis=-1))


def with_delay_spread(profile: Profile, delay_spread_s: jax.Array | float) -> Profile:
    """Rescales the delays to the given rms delay spread; a profile without spread stays as it is.

    Args:
        profile: any leading axes.
        delay_spread_s: float32, broadcast against them.
    """
    spread = rms_delay_spread_s(profile)
    scale = jnp.where(spread > 0.0, delay_spread_s / jnp.where(spread > 0.0, spread, 1.0), 1.0)
    return profile._replace(delays_s=profile.delays_s * scale[..., None])


def with_k(profile: Profile, k_linear: jax.Array | float) -> Profile:
    """Sets K and keeps the rms delay spread (TR 38.901 section 7.7.6).

    Args:
        profile: any leading axes.
        k_linear: LOS over all scattered power, broadcast against them; 0 is Rayleigh. At inf no
            scattered power is left, and a single LOS ray has no delay spread to keep.
    """
    k = jnp.broadcast_to(jnp.asarray(k_linear, jnp.float32), profile.k_linear.shape)
    return with_delay_spread(profile._replace(k_linear=k), rms_delay_spread_s(profile))


def tile(profile: Profile, batch_size: int) -> Profile:
    """The same profile ``batch_size`` times, along a new first axis."""
    return Profile(*(jnp.broadcast_to(x, (batch_size, *x.shape)) for x in profile))


def frequency_covariance(profile: Profile, frequencies_hz: np.ndarray) -> jax.Array:
    """E[h h^H] of the frequency response, complex64[..., n, n]: the profile's Fourier transform.

    The mean is over fading and over independent phases of the specular rays.

    Args:
        profile: any leading axes.
        frequencies_hz: [n], of the subcarriers, relative to the carrier.
    """
    check_array("frequencies_hz", frequencies_hz, "n", real=True)
    turns = profile.delays_s[..., None] * jnp.asarray(frequencies_hz, jnp.float32)
    steering = jnp.exp(-2j * jnp.pi * turns)
    powers = mean_powers(profile).astype(jnp.complex64)
    weighted = powers[..., None] * steering
    return jnp.einsum("...li,...lj->...ij", weighted, jnp.conj(steering), precision="highest")


def check_delays(delays: np.ndarray, name: str = "delays_s") -> None:
    """Raises ValueError unless delays are a vector, finite, not negative, the earliest first."""
    if delays.ndim != 1 or not delays.size:
        raise ValueError(f"{name} must be a non-empty vector, got shape {delays.shape}")
    if not np.all(np.isfinite(delays) & (delays >= 0.0)):
        raise ValueError(f"{name} must be finite and not negative, got {delays.tolist()}")
    if delays[0] > delays.min():
        raise ValueError(f"{name} must begin with the earliest ray, got {delays.tolist()}")


def check_k_db(k_db: float) -> float:
    """The argument, or ValueError where it is NaN."""
    if np.isnan(k_db):
        raise ValueError("k_db must be a number (-inf is Rayleigh, +inf no fading), got nan")
    return float(k_db)
