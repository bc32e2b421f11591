"""Delay spread, K and shadowing drawn jointly for a link, and the profile that has them.

In the words of 3GPP TR 38.901 section 7.5 these are the large-scale parameters: the delay spread is
normal in decades, K and shadowing are normal in dB, and they are correlated. The profile is
exponential, its K and its delay spread are exactly the drawn ones. The angles, clusters and
polarisations of section 7.5 are not modelled.

A LOS ray has no delay spread of its own, so at a high K the scattered rays must arrive late for the
whole profile to keep the spread that was drawn: sqrt(K/2) times as late for an exponential profile,
10 times at 23 dB. (TR 38.901 does the same with its delay scaling C_tau, 11.5 at 23 dB.) Without a
limit on the draws no delay would be the longest.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.signal import profiles
from wfm_jax.signal.propagation import Propagation, moving
from wfm_jax.signal.words import random_uniform


@dataclasses.dataclass(frozen=True)
class LargeScale:
    """Statistics of the links that have a line of sight, or of those that have none.

    Attributes:
        lg_delay_spread_mean: mean of the decimal logarithm of the rms delay spread in seconds.
        lg_delay_spread_std: its standard deviation in decades.
        k_mean_db: mean of K in dB; -inf is Rayleigh.
        k_std_db: its standard deviation.
        shadowing_std_db: of the shadowing.
        k_delay_spread: correlation of K in dB and lg delay spread, -1...0.
        delay_spread_shadowing: of lg delay spread and shadowing gain.
        k_shadowing: of K in dB and shadowing gain. The gain is that of the sources: positive is
            more power, thus less path loss.
    """

    lg_delay_spread_mean: float
    lg_delay_spread_std: float
    k_mean_db: float = -math.inf
    k_std_db: float = 0.0
    shadowing_std_db: float = 0.0
    k_delay_spread: float = 0.0
    delay_spread_shadowing: float = 0.0
    k_shadowing: float = 0.0

    @property
    def mixing(self) -> np.ndarray:
        """float64[3, 3], lower triangular: independent normals to those of K, delay spread and
        shadowing."""
        k_ds, k_sf, ds_sf = self.k_delay_spread, self.k_shadowing, self.delay_spread_shadowing
        return np.linalg.cholesky([[1.0, k_ds, k_sf], [k_ds, 1.0, ds_sf], [k_sf, ds_sf, 1.0]])


class Limits(NamedTuple):
    """Shape of the profiles, and how far the draws may go.

    Attributes:
        n_rays: rays of a profile, equally spaced.
        ray_spacing: their distance over the decay constant of the scattered powers.
        highest_k_db: a higher K becomes this one.
        clip_std: the independent normals of K and delay spread are clipped to this many standard
            deviations, either way.
    """

    n_rays: int
    ray_spacing: float
    highest_k_db: float
    clip_std: float


class Draw(NamedTuple):
    """Large-scale parameters of a batch of links.

    Attributes:
        delay_spread_s: float32[batch], rms delay spread of the whole profile.
        k_linear: float32[batch], LOS over all scattered power; 0 is Rayleigh.
        shadowing_db: float32[batch], gain by shadowing, of mean zero.
    """

    delay_spread_s: jax.Array
    k_linear: jax.Array
    shadowing_db: jax.Array


def draw(
    los: jax.Array, with_los: LargeScale, without_los: LargeScale, limits: Limits, *, key: jax.Array
) -> Draw:
    """Draws the large-scale parameters of links, each from the statistics of its kind.

    Args:
        los: bool[batch], whether a link has a line of sight.
        with_los: statistics of those that have one.
        without_los: statistics of the others.
        limits: how far the draws may go.
        key: typed PRNG key.
    """

    def pick(name: str) -> jax.Array:
        return jnp.where(los, getattr(with_los, name), getattr(without_los, name))

    normals = jax.random.normal(key, (*los.shape, 3))
    clip = jnp.asarray([limits.clip_std, limits.clip_std, math.inf], jnp.float32)
    normals = jnp.clip(normals, -clip, clip)
    mixing = jnp.where(
        los[..., None, None],
        jnp.asarray(with_los.mixing, jnp.float32),
        jnp.asarray(without_los.mixing, jnp.float32),
    )
    k, spread, shadowing = jnp.moveaxis(jnp.sum(mixing * normals[..., None, :], axis=-1), -1, 0)
    k_db = jnp.minimum(pick("k_mean_db") + pick("k_std_db") * k, limits.highest_k_db)
    lg_spread = pick("lg_delay_spread_mean") + pick("lg_delay_spread_std") * spread
    return Draw(10.0**lg_spread, 10.0 ** (k_db / 10.0), pick("shadowing_std_db") * shadowing)


def exponential_profiles(drawn: Draw, limits: Limits) -> profiles.Profile:
    """Exponential profiles [batch] of exactly the drawn K and rms delay spread.

    The LOS ray is the first one, at delay 0; ``n_rays`` scattered rays begin there, too.
    """
    decay = jnp.ones_like(drawn.k_linear)
    raw = profiles.exponential(decay, drawn.k_linear, limits.n_rays, limits.ray_spacing)
    return profiles.with_delay_spread(raw, drawn.delay_spread_s)


class Hall(Protocol):
    """What links of a hall are drawn from: the fields of ``InfHall`` and ``MeasuredFactory``."""

    @property
    def distance_range_m(self) -> tuple[float, float]:
        """Two-dimensional distance of a link, uniform."""
        ...

    @property
    def height_difference_m(self) -> float:
        """Of the two antennas."""
        ...

    @property
    def speed_range_m_s(self) -> tuple[float, float]:
        """Speed of the user, uniform."""
        ...

    @property
    def carrier_hz(self) -> float:
        """Carrier frequency."""
        ...

    @property
    def with_los(self) -> LargeScale:
        """Statistics of the links with a line of sight."""
        ...

    @property
    def without_los(self) -> LargeScale:
        """Statistics of the others."""
        ...

    @property
    def limits(self) -> Limits:
        """How far the draws may go."""
        ...


def draw_links(
    hall: Hall,
    los_probability: Callable[[Any, jax.Array], jax.Array],
    path_loss_db: Callable[[Any, jax.Array, jax.Array], jax.Array],
    *,
    key: jax.Array,
    batch_size: int,
) -> Propagation:
    """Draws links at uniform two-dimensional distances: line of sight, then the parameters of its
    kind, then the path loss with shadowing.

    Args:
        hall: where they are.
        los_probability: of a hall and two-dimensional distances in m.
        path_loss_db: of a hall, distances of the antennas in m and line of sight, no shadowing.
        key: typed PRNG key.
        batch_size: number of links.
    """
    key_distance, key_los, key_scale, key_motion = jax.random.split(key, 4)
    distance_m = random_uniform(key_distance, (batch_size,), *hall.distance_range_m)
    distance_3d_m = jnp.hypot(distance_m, hall.height_difference_m)
    los = random_uniform(key_los, (batch_size,)) < los_probability(hall, distance_m)
    drawn = draw(los, hall.with_los, hall.without_los, hall.limits, key=key_scale)
    return moving(
        exponential_profiles(drawn, hall.limits),
        key=key_motion,
        speed_range_m_s=hall.speed_range_m_s,
        carrier_hz=hall.carrier_hz,
        los=los,
        path_loss_db=path_loss_db(hall, distance_3d_m, los) - drawn.shadowing_db,
    )


def longest_delay_s(statistics: Sequence[LargeScale], limits: Limits) -> float:
    """The longest delay that a draw can have, in float64; rounded up by 1e-5 for float32's sake.

    With z the normal of K, a profile is longest where the independent normal of the delay spread is
    at its limit. Over z that length has no inner maximum, apart from the kink where K meets
    ``highest_k_db``: with a falling delay spread (``k_delay_spread`` <= 0) its derivative changes
    sign once, from falling to rising.
    """
    delays = limits.ray_spacing * np.arange(limits.n_rays, dtype=np.float64)
    powers = np.exp(-delays) / np.exp(-delays).sum()
    first, second = powers @ delays, powers @ delays**2
    lengths = []
    for s in statistics:
        of_k, rest = s.mixing[1, :2]
        kink = (limits.highest_k_db - s.k_mean_db) / s.k_std_db if s.k_std_db > 0.0 else 0.0
        for z in np.clip([-math.inf, kink, math.inf], -limits.clip_std, limits.clip_std):
            k_db = min(s.k_mean_db + s.k_std_db * z, limits.highest_k_db)
            scattered = 1.0 / (1.0 + 10.0 ** (k_db / 10.0))
            spread = math.sqrt(scattered * second - (scattered * first) ** 2)
            lg_spread = s.lg_delay_spread_mean + s.lg_delay_spread_std * (
                of_k * z + rest * limits.clip_std
            )
            lengths.append(delays[-1] / spread * 10.0**lg_spread)
    return float(max(lengths)) * (1.0 + 1e-5)


def check_limits(limits: Limits) -> None:
    """Raises ValueError that names the limit unless profiles have a spread and draws an end."""
    if not limits.n_rays >= 2:
        raise ValueError(f"n_rays must be at least 2, got {limits.n_rays}")
    for name in ("ray_spacing", "clip_std"):
        check_positive(name, getattr(limits, name))
    if not math.isfinite(limits.highest_k_db):
        raise ValueError(f"highest_k_db must be finite, got {limits.highest_k_db}")


def check_positive(name: str, value: float) -> None:
    """Raises ValueError that names the argument unless it is a positive, finite number."""
    if not 0.0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}")
