"""The default factory hall: what an exponential profile, K, delay spread and speed are drawn from.

Values: 3GPP TR 38.901 InF gives a median rms delay spread of 53-61 ns for halls of
120 x 60 x 10 m and 300 x 150 x 10 m with a spread of 0.15-0.19 decades, and K of 7 dB in the mean;
measured factories (arXiv 1906.12145 at 3.7 GHz) show K of -2 to +2 dB. The default scenario
therefore draws K uniformly over both, and a fifth of its frames has no LOS ray at all. The halls
themselves are in ``inf`` and ``measured_factory``.
"""

import dataclasses

import jax
import jax.numpy as jnp

from wfm_jax.signal import profiles
from wfm_jax.signal.propagation import Propagation, check_motion, check_range, moving
from wfm_jax.signal.words import random_uniform


@dataclasses.dataclass(frozen=True)
class FactoryHall:
    """Uniform K over rays of exponentially decaying power: copy it with ``dataclasses.replace``.

    The decay is drawn before K, and a LOS ray then shrinks the delay spread.

    Attributes:
        k_db_range: K of frames with a LOS ray is uniform between these.
        rayleigh_fraction: share of frames without a LOS ray.
        decay_median_s: median of the log-normal decay constant of the scattered profile.
        decay_std_decades: its standard deviation in decades.
        decay_range_s: the draw is clipped to this range.
        n_rays: rays of the profile.
        ray_spacing_s: their distance; that of the default link's samples.
        speed_range_m_s: speed of the receiver, uniform.
        carrier_hz: carrier frequency.
    """

    k_db_range: tuple[float, float] = (-6.0, 20.0)
    rayleigh_fraction: float = 0.2
    decay_median_s: float = 55e-9
    decay_std_decades: float = 0.17
    decay_range_s: tuple[float, float] = (20e-9, 120e-9)
    n_rays: int = 10
    ray_spacing_s: float = 50e-9
    speed_range_m_s: tuple[float, float] = (0.5, 1.5)
    carrier_hz: float = 3.7e9

    def __post_init__(self):
        if not 0.0 <= self.rayleigh_fraction <= 1.0:
            raise ValueError(f"rayleigh_fraction must be in [0, 1], got {self.rayleigh_fraction}")
        check_range("k_db_range", self.k_db_range)
        for name in ("decay_median_s", "carrier_hz"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if not self.decay_std_decades >= 0.0:
            raise ValueError(f"decay_std_decades must be at least 0, got {self.decay_std_decades}")
        check_range("decay_range_s", self.decay_range_s, above=0.0)
        check_motion(self.speed_range_m_s, self.carrier_hz)
        if not self.n_rays >= 1:
            raise ValueError(f"n_rays must be at least 1, got {self.n_rays}")
        if not self.ray_spacing_s > 0.0:
            raise ValueError(f"ray_spacing_s must be positive, got {self.ray_spacing_s}")

    @property
    def longest_delay_s(self) -> float:
        return (self.n_rays - 1) * self.ray_spacing_s

    @property
    def delay_grid_s(self) -> float:
        return self.ray_spacing_s

    def draw(self, *, key: jax.Array, batch_size: int) -> Propagation:
        """Draws the statistics of ``batch_size`` links."""
        key_los, key_k, key_decay, key_motion = jax.random.split(key, 4)
        los = random_uniform(key_los, (batch_size,)) >= self.rayleigh_fraction
        k_db = random_uniform(key_k, (batch_size,), *self.k_db_range)
        decades = self.decay_std_decades * jax.random.normal(key_decay, (batch_size,))
        decay_s = jnp.clip(self.decay_median_s * 10.0**decades, *self.decay_range_s)
        k_linear = jnp.where(los, 10.0 ** (k_db / 10.0), 0.0)
        return moving(
            profiles.exponential(decay_s, k_linear, self.n_rays, self.ray_spacing_s),
            key=key_motion,
            speed_range_m_s=self.speed_range_m_s,
            carrier_hz=self.carrier_hz,
        )


FACTORY_HALL = FactoryHall()
