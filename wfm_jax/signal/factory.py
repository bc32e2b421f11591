"""Factory scenarios: the distributions from which a link's statistics are drawn.

Values: 3GPP TR 38.901 InF gives a median rms delay spread of 53-61 ns for halls of
120 x 60 x 10 m and 300 x 150 x 10 m with a spread of 0.15-0.19 decades, and K of 7 dB in the mean;
measured factories (arXiv 1906.12145 at 3.7 GHz) show K of -2 to +2 dB. The default scenario
therefore draws K uniformly over both, and a fifth of its frames has no LOS ray at all.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

SPEED_OF_LIGHT_M_S = 299_792_458.0


class Propagation(NamedTuple):
    """Statistics of a batch of links, each float32[batch] but ``los``, bool[batch].

    Attributes:
        k_db: LOS over all scattered power; NaN where there is no LOS ray.
        los: whether there is a LOS ray.
        decay_s: decay constant of the scattered exponential profile.
        doppler_hz: maximal Doppler shift.
    """

    k_db: jax.Array
    los: jax.Array
    decay_s: jax.Array
    doppler_hz: jax.Array

    @property
    def k_linear(self) -> jax.Array:
        """K as a power ratio; 0 where there is no LOS ray."""
        k_db = jnp.where(self.los, self.k_db, 0.0)
        return jnp.where(self.los, 10.0 ** (k_db / 10.0), 0.0)


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A factory hall, as distributions: copy it with ``dataclasses.replace`` and change it.

    Attributes:
        k_db_range: K of frames with a LOS ray is uniform between these.
        rayleigh_fraction: share of frames without a LOS ray.
        decay_median_s: median of the log-normal decay constant of the scattered profile.
        decay_std_decades: its standard deviation in decades.
        decay_range_s: the draw is clipped to this range.
        speed_range_m_s: speed of the receiver, uniform.
        carrier_hz: carrier frequency.
    """

    k_db_range: tuple[float, float] = (-6.0, 20.0)
    rayleigh_fraction: float = 0.2
    decay_median_s: float = 55e-9
    decay_std_decades: float = 0.17
    decay_range_s: tuple[float, float] = (20e-9, 120e-9)
    speed_range_m_s: tuple[float, float] = (0.5, 1.5)
    carrier_hz: float = 3.7e9

    def __post_init__(self):
        if not 0.0 <= self.rayleigh_fraction <= 1.0:
            raise ValueError(f"rayleigh_fraction must be in [0, 1], got {self.rayleigh_fraction}")
        for name in ("k_db_range", "decay_range_s", "speed_range_m_s"):
            low, high = getattr(self, name)
            if not low <= high:
                raise ValueError(f"{name} must be (low, high) with low <= high, got {low, high}")
        if self.decay_range_s[0] <= 0.0:
            raise ValueError(f"decay_range_s must be positive, got {self.decay_range_s}")


FACTORY_HALL = Scenario()


def draw_propagation(scenario: Scenario, *, key: jax.Array, batch_size: int) -> Propagation:
    """Draws the statistics of ``batch_size`` links."""
    key_los, key_k, key_decay, key_speed = jax.random.split(key, 4)
    los = jax.random.uniform(key_los, (batch_size,)) >= scenario.rayleigh_fraction
    low, high = scenario.k_db_range
    k_db = jax.random.uniform(key_k, (batch_size,), minval=low, maxval=high)
    decades = scenario.decay_std_decades * jax.random.normal(key_decay, (batch_size,))
    decay_s = jnp.clip(scenario.decay_median_s * 10.0**decades, *scenario.decay_range_s)
    low, high = scenario.speed_range_m_s
    speed = jax.random.uniform(key_speed, (batch_size,), minval=low, maxval=high)
    return Propagation(
        k_db=jnp.where(los, k_db, jnp.nan),
        los=los,
        decay_s=decay_s,
        doppler_hz=speed * (scenario.carrier_hz / SPEED_OF_LIGHT_M_S),
    )
