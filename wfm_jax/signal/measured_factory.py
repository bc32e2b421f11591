"""A factory as measured: halls of a Siemens site in Nuremberg at 2.37 and 5.4 GHz.

Source: Jaeckel et al., "Industrial Indoor Measurements from 2-6 GHz for the 3GPP-NR and QuaDRiGa
Channel Model", VTC Fall 2019, arXiv 1906.12145; path loss, shadowing and correlations from the
parameter files that QuaDRiGa ships for it. With f the carrier in GHz and h the access point's
height in m:

    LOS   lg(delay spread / s)  -8.30 + 1.26 lg f + 0.49 lg h    std 0.09 + 0.07 lg f
          K / dB                 7.80 -  7.3 lg f -  7.7 lg h    std 1.80 + 2.60 lg f
          path loss / dB         36.3 + 18.3 lg d + 19.5 lg f    std 1.80 - 0.30 lg f
    NLOS  lg(delay spread / s)  -8.19 + 1.37 lg f + 0.30 lg h    std 0.11
          K / dB                 4.22 - 11.7 lg f - 3.31 lg h    std 1.10 + 2.23 lg f
          path loss / dB         29.1 + 25.4 lg d + 25.4 lg f    std 1.15 + 3.15 lg f

K is far below the 7 dB of 3GPP: in the mean 2.3 dB (LOS) at 3.7 GHz with an access point at 1.5 m,
and -2.3 dB at 6 m. **A link without a line of sight has a K, too**: part of its power
does not fade either.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from wfm_jax.signal import large_scale
from wfm_jax.signal.propagation import Propagation, check_motion, check_range


@dataclasses.dataclass(frozen=True)
class MeasuredFactory:
    """Links of the measured halls: copy it with ``dataclasses.replace`` and change it.

    A link's two-dimensional distance is uniform. It has a line of sight with
    :func:`los_probability`; the others have a K as well. Delay spread, K and shadowing are
    correlated.

    Attributes:
        access_point_height_m: 1-10 m.
        user_height_m: 1-3 m.
        carrier_hz: carrier frequency, 2-6 GHz.
        distance_range_m: two-dimensional distance of a link, uniform, within 5-150 m.
        speed_range_m_s: speed of the user, uniform.
        highest_k_db: a higher K becomes this one; the default is six standard deviations away.
        clip_std: limit of the draws of K and delay spread in standard deviations.
        n_rays: rays of a profile, of exponentially decaying power.
        ray_spacing: their distance over the decay constant. It shapes the profile only: K and delay
            spread are the drawn ones.

    All ranges are those that the source calls valid.
    """

    access_point_height_m: float = 1.5
    user_height_m: float = 1.5
    carrier_hz: float = 3.7e9
    distance_range_m: tuple[float, float] = (5.0, 150.0)
    speed_range_m_s: tuple[float, float] = (0.5, 1.5)
    highest_k_db: float = 23.0
    clip_std: float = 3.0
    n_rays: int = 16
    ray_spacing: float = 0.2

    def __post_init__(self):
        for name, low, high in (
            ("access_point_height_m", 1.0, 10.0),
            ("user_height_m", 1.0, 3.0),
            ("carrier_hz", 2e9, 6e9),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be {low:g}-{high:g}, got {getattr(self, name)}")
        check_range("distance_range_m", self.distance_range_m, at_least=5.0)
        if self.distance_range_m[1] > 150.0:
            raise ValueError(f"distance_range_m must be at most 150, got {self.distance_range_m}")
        check_motion(self.speed_range_m_s, self.carrier_hz)
        large_scale.check_limits(self.limits)

    @property
    def limits(self) -> large_scale.Limits:
        """How far the draws may go."""
        return large_scale.Limits(self.n_rays, self.ray_spacing, self.highest_k_db, self.clip_std)

    @property
    def with_los(self) -> large_scale.LargeScale:
        """Statistics of the links with a line of sight."""
        lg_f, lg_h = math.log10(self.carrier_hz / 1e9), math.log10(self.access_point_height_m)
        return large_scale.LargeScale(
            lg_delay_spread_mean=-8.3 + 1.26 * lg_f + 0.49 * lg_h,
            lg_delay_spread_std=0.09 + 0.07 * lg_f,
            k_mean_db=7.8 - 7.3 * lg_f - 7.7 * lg_h,
            k_std_db=1.8 + 2.6 * lg_f,
            shadowing_std_db=1.8 - 0.3 * lg_f,
            k_delay_spread=-0.7,
            delay_spread_shadowing=-0.3,
            k_shadowing=0.4,
        )

    @property
    def without_los(self) -> large_scale.LargeScale:
        """Statistics of the links without one."""
        lg_f, lg_h = math.log10(self.carrier_hz / 1e9), math.log10(self.access_point_height_m)
        return large_scale.LargeScale(
            lg_delay_spread_mean=-8.19 + 1.37 * lg_f + 0.3 * lg_h,
            lg_delay_spread_std=0.11,
            k_mean_db=4.22 - 11.7 * lg_f - 3.31 * lg_h,
            k_std_db=1.1 + 2.23 * lg_f,
            shadowing_std_db=1.15 + 3.15 * lg_f,
            k_delay_spread=-0.6,
            delay_spread_shadowing=0.4,
        )

    @property
    def longest_delay_s(self) -> float:
        return large_scale.longest_delay_s((self.with_los, self.without_los), self.limits)

    @property
    def delay_grid_s(self) -> None:
        return None

    @property
    def height_difference_m(self) -> float:
        """Of access point and user."""
        return self.access_point_height_m - self.user_height_m

    def draw(self, *, key: jax.Array, batch_size: int) -> Propagation:
        """Draws the statistics of ``batch_size`` links."""
        return large_scale.draw_links(
            self, los_probability, path_loss_db, key=key, batch_size=batch_size
        )


def los_probability(factory: MeasuredFactory, distance_m: jax.Array | float) -> jax.Array:
    """Probability of a line of sight: exp(-(d + 20)/80) exp(h/5 - 1), at most 1.

    Args:
        factory: the factory; h is its access point's height in m.
        distance_m: float32[...], two-dimensional distance.
    """
    distance_m = jnp.asarray(distance_m, jnp.float32)
    lifted = factory.access_point_height_m / 5.0 - 1.0
    return jnp.minimum(jnp.exp(lifted - (distance_m + 20.0) / 80.0), 1.0)


def path_loss_db(
    factory: MeasuredFactory, distance_3d_m: jax.Array | float, los: jax.Array | bool
) -> jax.Array:
    """Path loss without shadowing; see the module's table.

    Args:
        factory: the factory.
        distance_3d_m: float32[...], distance of the antennas.
        los: bool[...], whether there is a line of sight; broadcast against the distance.
    """
    lg_f = math.log10(factory.carrier_hz / 1e9)
    lg_d = jnp.log10(jnp.asarray(distance_3d_m, jnp.float32))
    return jnp.where(los, 36.3 + 18.3 * lg_d + 19.5 * lg_f, 29.1 + 25.4 * lg_d + 25.4 * lg_f)


NUREMBERG = MeasuredFactory()
"""3.7 GHz and an access point at 1.5 m, as on a machine: 17 % of the links have a line of sight.
``replace(NUREMBERG, access_point_height_m=6.0)`` hangs it up: 41 %, and their K is 4.6 dB lower."""
