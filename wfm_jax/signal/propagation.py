"""What a link's channel is drawn from: statistics of a batch of links, and who draws them."""

import math
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

from wfm_jax.signal.profiles import Profile
from wfm_jax.signal.words import random_uniform

SPEED_OF_LIGHT_M_S = 299_792_458.0


class Propagation(NamedTuple):
    """Statistics of a batch of links.

    Attributes:
        profile: [batch], delays, powers and K.
        los: bool[batch], whether there is a line of sight. Where there is none a part of the power
            may still not fade: measured halls have a K there.
        doppler_hz: float32[batch], maximal Doppler shift.
        arrival_rad: float32[batch], angle between the LOS ray and the direction of motion.
        path_loss_db: float32[batch], with shadowing; 0 where the scenario has no geometry. It does
            not scale the channel: see :func:`received_snr_db`.
    """

    profile: Profile
    los: jax.Array
    doppler_hz: jax.Array
    arrival_rad: jax.Array
    path_loss_db: jax.Array

    @property
    def k_db(self) -> jax.Array:
        """float32[batch]; NaN where there is no K: nothing specular, or nothing scattered."""
        k = self.profile.k_linear
        rician = (k > 0.0) & jnp.isfinite(k)
        return jnp.where(rician, 10.0 * jnp.log10(jnp.where(rician, k, 1.0)), jnp.nan)


class Scenario(Protocol):
    """Where links come from: a frozen dataclass of numbers and tuples, hashable and static.

    Copy one with ``dataclasses.replace`` and change it. Any class with these members can be the
    ``scenario`` of a ``LinkConfig``.
    """

    @property
    def longest_delay_s(self) -> float:
        """No ray arrives later."""
        ...

    @property
    def delay_grid_s(self) -> float | None:
        """All delays are multiples of this, or None: a link whose sample duration divides it needs
        no interpolation filter."""
        ...

    def draw(self, *, key: jax.Array, batch_size: int) -> Propagation:
        """Draws ``batch_size`` independent links."""
        ...


def moving(
    profile: Profile,
    *,
    key: jax.Array,
    speed_range_m_s: tuple[float, float],
    carrier_hz: float,
    los: jax.Array | None = None,
    path_loss_db: jax.Array | float = 0.0,
) -> Propagation:
    """Adds motion to profiles [batch]: uniform speed, uniform angle of arrival of the LOS ray.

    Args:
        profile: of each link.
        key: typed PRNG key.
        speed_range_m_s: of the receiver.
        carrier_hz: carrier frequency, of which the Doppler shift is a share.
        los: bool[batch]; by default, whether there is a part that does not fade.
        path_loss_db: float32[batch] or a number; only carried along.
    """
    key_speed, key_arrival = jax.random.split(key)
    shape = profile.k_linear.shape
    speed = random_uniform(key_speed, shape, *speed_range_m_s)
    return Propagation(
        profile,
        los=profile.k_linear > 0.0 if los is None else los,
        doppler_hz=speed * (carrier_hz / SPEED_OF_LIGHT_M_S),
        arrival_rad=random_uniform(key_arrival, shape, 0.0, 2.0 * math.pi),
        path_loss_db=jnp.broadcast_to(jnp.asarray(path_loss_db, jnp.float32), shape),
    )


def received_snr_db(
    path_loss_db: jax.Array,
    *,
    transmit_power_dbm: float,
    bandwidth_hz: float,
    noise_figure_db: float = 7.0,
) -> jax.Array:
    """Mean SNR of a link budget: power minus path loss over thermal noise of -174 dBm/Hz.

    Example:
        ``draw._replace(snr_db=received_snr_db(draw.propagation.path_loss_db, ...))`` before
        ``link.transmit``.

    Args:
        path_loss_db: float32[batch].
        transmit_power_dbm: of the sender.
        bandwidth_hz: of the noise.
        noise_figure_db: of the receiver.

    Returns:
        float32[batch], in dB.
    """
    noise_dbm = -174.0 + 10.0 * jnp.log10(bandwidth_hz) + noise_figure_db
    return transmit_power_dbm - path_loss_db - noise_dbm


def check_range(
    name: str,
    bounds: tuple[float, float],
    *,
    at_least: float = -math.inf,
    above: float = -math.inf,
) -> None:
    """Raises ValueError that gives the argument's ``name`` unless ``bounds`` is (low, high), low <=
    high, both finite, ``at_least`` the one number and ``above`` the other."""
    low, high = bounds
    if not -math.inf < low <= high < math.inf:
        raise ValueError(f"{name} must be finite (low, high) with low <= high, got {low, high}")
    if low < at_least:
        raise ValueError(f"{name} must be at least {at_least:g}, got {low, high}")
    if low <= above:
        raise ValueError(f"{name} must be above {above:g}, got {low, high}")


def check_motion(speed_range_m_s: tuple[float, float], carrier_hz: float) -> None:
    """Raises ValueError that names the argument unless speeds and carrier make sense."""
    check_range("speed_range_m_s", speed_range_m_s, at_least=0.0)
    if not 0.0 < carrier_hz < math.inf:
        raise ValueError(f"carrier_hz must be positive and finite, got {carrier_hz}")
