"""Links that all have one delay profile: TDL-D, TDL-E, flat Rician, Rayleigh, white noise.

TDL-D and TDL-E are the LOS profiles of 3GPP TR 38.901 tables 7.7.2-4 and 7.7.2-5, with delays in
units of the delay spread. Their 13.3 and 22.0 dB are the K of the *first tap*; over the whole
profile K is 8.98 and 9.27 dB, which is what ``k_db`` means. A ``k_db`` and a ``delay_spread_s`` of
the user's own are set as section 7.7.6 says.
"""

import dataclasses

import jax
import numpy as np

from wfm_jax.signal import profiles
from wfm_jax.signal.propagation import Propagation, check_motion, moving


@dataclasses.dataclass(frozen=True)
class TappedDelayLine:
    """One delay profile: copy it with ``dataclasses.replace`` and change it.

    Attributes:
        delays: of the scattered rays, the earliest first, in units of its own: they are rescaled to
            ``delay_spread_s``.
        powers_db: their powers; only ratios matter.
        k_db: LOS power over all scattered power; -inf is Rayleigh, +inf no fading.
        delay_spread_s: rms delay spread of the whole profile, LOS ray included. A single ray, or
            ``k_db`` of inf, has none, and arrives without delay.
        speed_range_m_s: speed of the receiver, uniform.
        carrier_hz: carrier frequency.
    """

    delays: tuple[float, ...]
    powers_db: tuple[float, ...]
    k_db: float
    delay_spread_s: float = 55e-9
    speed_range_m_s: tuple[float, float] = (0.0, 0.0)
    carrier_hz: float = 3.7e9

    def __post_init__(self):
        profiles.check_delays(np.asarray(self.delays), "delays")
        if len(self.powers_db) != len(self.delays) or not np.all(np.isfinite(self.powers_db)):
            raise ValueError(
                f"powers_db must be {len(self.delays)} finite numbers, one per delay, "
                f"got {self.powers_db}"
            )
        profiles.check_k_db(self.k_db)
        if not 0.0 <= self.delay_spread_s < np.inf:
            raise ValueError(
                f"delay_spread_s must be finite and not negative, got {self.delay_spread_s}"
            )
        check_motion(self.speed_range_m_s, self.carrier_hz)

    @property
    def _delays_s(self) -> np.ndarray:
        """float64[n_rays], rescaled; zeros where there is no spread to rescale."""
        delays = np.asarray(self.delays, np.float64)
        powers = 10.0 ** (np.asarray(self.powers_db, np.float64) / 10.0)
        whole = powers / powers.sum() / (1.0 + 10.0 ** (self.k_db / 10.0))
        whole[0] += 1.0 - whole.sum()
        late = delays - delays[0]  # exactly zero of a single ray, whatever its delay
        spread = np.sqrt(whole @ (late - whole @ late) ** 2)
        return delays * (self.delay_spread_s / spread if spread > 0.0 else 0.0)

    @property
    def profile(self) -> profiles.Profile:
        """The profile as it is drawn, without a batch axis."""
        powers = 10.0 ** (np.asarray(self.powers_db) / 10.0)
        return profiles.delay_profile(self._delays_s.tolist(), powers / powers.sum(), self.k_db)

    @property
    def longest_delay_s(self) -> float:
        return float(self._delays_s.max())

    @property
    def delay_grid_s(self) -> float | None:
        return np.inf if self.longest_delay_s == 0.0 else None

    def draw(self, *, key: jax.Array, batch_size: int) -> Propagation:
        """``batch_size`` links of this profile, each with its own speed and angle of arrival."""
        return moving(
            profiles.tile(self.profile, batch_size),
            key=key,
            speed_range_m_s=self.speed_range_m_s,
            carrier_hz=self.carrier_hz,
        )


def whole_profile_k_db(los_db: float, powers_db: tuple[float, ...]) -> float:
    """K over the whole profile, of a LOS ray's and the scattered taps' powers in dB."""
    scattered = np.sum(10.0 ** (np.asarray(powers_db) / 10.0))
    return float(los_db - 10.0 * np.log10(scattered))


_D_POWERS_DB = (-13.5, -18.8, -21.0, -22.8, -17.9, -20.1, -21.9, -22.9, -27.8, -23.6, -24.8,
                -30.0, -27.7)  # fmt: skip
_E_POWERS_DB = (-22.03, -15.8, -18.1, -19.8, -22.9, -22.4, -18.6, -20.8, -22.6, -22.3, -25.6,
                -20.2, -29.8, -29.2)  # fmt: skip

TDL_D = TappedDelayLine(
    delays=(0.0, 0.035, 0.612, 1.363, 1.405, 1.804, 2.596, 1.775, 4.042, 7.937, 9.424, 9.708,
            12.525),
    powers_db=_D_POWERS_DB,
    k_db=whole_profile_k_db(-0.2, _D_POWERS_DB),
)  # fmt: skip
TDL_E = TappedDelayLine(
    delays=(0.0, 0.5133, 0.544, 0.563, 0.544, 0.7112, 1.9092, 1.9293, 1.9589, 2.6426, 3.7136,
            5.4524, 12.0034, 20.6519),
    powers_db=_E_POWERS_DB,
    k_db=whole_profile_k_db(-0.03, _E_POWERS_DB),
)  # fmt: skip
RICIAN = TappedDelayLine(delays=(0.0,), powers_db=(0.0,), k_db=7.0)
RAYLEIGH = dataclasses.replace(RICIAN, k_db=-np.inf)
AWGN = dataclasses.replace(RICIAN, k_db=np.inf)
