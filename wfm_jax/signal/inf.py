"""3GPP TR 38.901 InF, the indoor factory: five kinds of hall.

The sub-scenario says whether clutter is sparse (S) or dense (D), and whether the base station hangs
low (L), within the clutter, or high (H), above it; in HH the user is above the clutter as well.
Values: tables 7.2-4 (layout), 7.4.1-1 (path loss), 7.4.2-1 (LOS probability), 7.5-6 part 3 (delay
spread and K) and section 7.8 (halls). Not modelled: angles, clusters, the absolute time of arrival,
the likeness of links that are close to each other.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from wfm_jax.signal import large_scale
from wfm_jax.signal.propagation import Propagation, check_motion, check_range

LOS_PATH_LOSS = (31.84, 21.5, 19.0)
"""Path loss is a + b lg(distance / m) + c lg(carrier / GHz); these are a, b, c of table 7.4.1-1."""

NLOS_PATH_LOSS = {
    "SL": ((33.0, 25.5, 20.0),),
    "DL": ((18.6, 35.7, 20.0), (33.0, 25.5, 20.0)),
    "SH": ((32.4, 23.0, 20.0),),
    "DH": ((33.63, 21.9, 20.0),),
    "HH": (),
}
"""Where there is no line of sight the loss is the largest of these and of the LOS loss."""

NLOS_SHADOWING_STD_DB = {"SL": 5.7, "DL": 7.2, "SH": 5.9, "DH": 4.0}
"""Table 7.4.1-1; HH always has a line of sight."""


@dataclasses.dataclass(frozen=True)
class InfHall:
    """Links of one hall: copy one with ``dataclasses.replace`` and change it.

    A link's two-dimensional distance is uniform in ``distance_range_m``: simpler than positions in
    the hall, and a range says which links are meant. It has a line of sight with
    :func:`los_probability`; without one it is Rayleigh. K (LOS) and lg delay spread are normal,
    shadowing is independent of both (table 7.5-6: correlations of zero).

    Two limits keep delays finite, see :mod:`wfm_jax.signal.large_scale`: K above ``highest_k_db``
    becomes that, and the independent normals behind K and delay spread end at ``clip_std``. At the
    default 23 dB (mean + 2 std) 2.3 % of the LOS links are moved, K's mean falls from 7 to 6.9 dB
    and its std from 8 to 7.8 dB. ``longest_delay_s`` is then 2.7 us in the small halls and 3.1 us
    in the large ones (2.4 us at 20 dB), though 99 % of all links end within 1.7 us.

    Attributes:
        sub_scenario: "SL", "DL", "SH", "DH" or "HH": the column of the tables. The heights below
            must be those that it is defined for.
        length_m, width_m, height_m: of the hall; they set the delay spread.
        clutter_density: share of the floor that clutter covers, in (0, 1).
        clutter_distance_m: typical distance between clutter ("d_clutter" or its size).
        clutter_height_m: its effective height.
        base_station_height_m, user_height_m: of the antennas.
        distance_range_m: two-dimensional distance of a link, uniform; with the difference in height
            it is at least 1 m and at most 600 m, where the path loss holds.
        carrier_hz: carrier frequency, 0.5-100 GHz.
        speed_range_m_s: speed of the user, uniform.
        k_mean_db, k_std_db: of K in dB, for LOS.
        k_delay_spread_correlation: of K in dB and lg delay spread, for LOS, -1...0.
        los_shadowing_std_db: 4.3 from version 16.1 on; some copies of the table say 4.0.
        highest_k_db: a higher K becomes this one.
        clip_std: limit of the draws of K and delay spread in standard deviations.
        n_rays: rays of a profile, of exponentially decaying power.
        ray_spacing: their distance over the decay constant. It shapes the profile only: K and delay
            spread are the drawn ones.
    """

    sub_scenario: str
    length_m: float
    width_m: float
    height_m: float
    clutter_density: float
    clutter_distance_m: float
    clutter_height_m: float
    base_station_height_m: float
    user_height_m: float
    distance_range_m: tuple[float, float]
    carrier_hz: float = 3.7e9
    speed_range_m_s: tuple[float, float] = (0.5, 1.5)
    k_mean_db: float = 7.0
    k_std_db: float = 8.0
    k_delay_spread_correlation: float = -0.7
    los_shadowing_std_db: float = 4.3
    highest_k_db: float = 23.0
    clip_std: float = 3.0
    n_rays: int = 16
    ray_spacing: float = 0.2

    def __post_init__(self):
        if self.sub_scenario not in NLOS_PATH_LOSS:
            raise ValueError(
                f"sub_scenario must be one of {', '.join(NLOS_PATH_LOSS)}, got {self.sub_scenario}"
            )
        for name in ("length_m", "width_m", "height_m", "clutter_distance_m", "clutter_height_m",
                     "base_station_height_m", "user_height_m"):  # fmt: skip
            large_scale.check_positive(name, getattr(self, name))
        if not 0.0 < self.clutter_density < 1.0:
            raise ValueError(f"clutter_density must be in (0, 1), got {self.clutter_density}")
        for name in ("clutter_height_m", "base_station_height_m", "user_height_m"):
            if getattr(self, name) > self.height_m:
                raise ValueError(
                    f"{name} must be at most height_m={self.height_m}, got {getattr(self, name)}"
                )
        self._check_side_of_clutter("base_station_height_m", self.sub_scenario[1] == "H")
        self._check_side_of_clutter("user_height_m", self.sub_scenario == "HH")
        self._check_distances()
        if not 0.5e9 <= self.carrier_hz <= 100e9:
            raise ValueError(f"carrier_hz must be 0.5-100 GHz, got {self.carrier_hz}")
        check_motion(self.speed_range_m_s, self.carrier_hz)
        if not math.isfinite(self.k_mean_db):
            raise ValueError(f"k_mean_db must be finite, got {self.k_mean_db}")
        for name in ("k_std_db", "los_shadowing_std_db"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be finite, not negative: {getattr(self, name)}")
        if not -1.0 < self.k_delay_spread_correlation <= 0.0:
            raise ValueError(
                "k_delay_spread_correlation must be above -1 and at most 0, "
                f"got {self.k_delay_spread_correlation}"
            )
        large_scale.check_limits(self.limits)

    def _check_side_of_clutter(self, name: str, above: bool) -> None:
        height = getattr(self, name)
        if not (height > self.clutter_height_m if above else height < self.clutter_height_m):
            raise ValueError(
                f"{name} must be {'above' if above else 'below'} "
                f"clutter_height_m={self.clutter_height_m} in {self.sub_scenario}, got {height}"
            )

    def _check_distances(self) -> None:
        check_range("distance_range_m", self.distance_range_m, at_least=0.0)
        low, high = self.distance_range_m
        drop = self.base_station_height_m - self.user_height_m
        if high > math.hypot(self.length_m, self.width_m):
            raise ValueError(f"distance_range_m must lie within the hall, got {low, high}")
        if not 1.0 <= math.hypot(low, drop) <= math.hypot(high, drop) <= 600.0:
            raise ValueError(
                f"distance_range_m must give links of 1-600 m, got {low, high} "
                f"with antennas {abs(drop):g} m apart in height"
            )

    @property
    def limits(self) -> large_scale.Limits:
        """How far the draws may go."""
        return large_scale.Limits(self.n_rays, self.ray_spacing, self.highest_k_db, self.clip_std)

    @property
    def with_los(self) -> large_scale.LargeScale:
        """Statistics of the links with a line of sight."""
        return large_scale.LargeScale(
            *delay_spread_parameters(self, True),
            k_mean_db=self.k_mean_db,
            k_std_db=self.k_std_db,
            shadowing_std_db=self.los_shadowing_std_db,
            k_delay_spread=self.k_delay_spread_correlation,
        )

    @property
    def without_los(self) -> large_scale.LargeScale:
        """Statistics of the links without one, which have no K."""
        return large_scale.LargeScale(
            *delay_spread_parameters(self, False),
            shadowing_std_db=NLOS_SHADOWING_STD_DB.get(
                self.sub_scenario, self.los_shadowing_std_db
            ),
        )

    @property
    def longest_delay_s(self) -> float:
        kinds = (self.with_los,) if self.sub_scenario == "HH" else (self.with_los, self.without_los)
        return large_scale.longest_delay_s(kinds, self.limits)

    @property
    def delay_grid_s(self) -> None:
        return None

    @property
    def height_difference_m(self) -> float:
        """Of base station and user."""
        return self.base_station_height_m - self.user_height_m

    def draw(self, *, key: jax.Array, batch_size: int) -> Propagation:
        """Draws the statistics of ``batch_size`` links."""
        return large_scale.draw_links(
            self, los_probability, path_loss_db, key=key, batch_size=batch_size
        )


def los_probability(hall: InfHall, distance_m: jax.Array | float) -> jax.Array:
    """Probability of a line of sight, TR 38.901 table 7.4.2-1.

    exp(-d/k) with k = -d_clutter / ln(1 - r), for a high base station times
    (h_BS - h_UT) / (h_clutter - h_UT): the share of the way that lies within the clutter. HH: 1.

    Args:
        hall: the hall.
        distance_m: float32[...], two-dimensional distance.
    """
    distance_m = jnp.asarray(distance_m, jnp.float32)
    if hall.sub_scenario == "HH":
        return jnp.ones_like(distance_m)
    decay_m = -hall.clutter_distance_m / math.log1p(-hall.clutter_density)
    if hall.sub_scenario in ("SH", "DH"):
        above_user = hall.base_station_height_m - hall.user_height_m
        decay_m *= above_user / (hall.clutter_height_m - hall.user_height_m)
    return jnp.exp(-distance_m / decay_m)


def path_loss_db(
    hall: InfHall, distance_3d_m: jax.Array | float, los: jax.Array | bool
) -> jax.Array:
    """Path loss without shadowing, TR 38.901 table 7.4.1-1.

    Without a line of sight it is never below that with one, and in DL never below that of SL. HH
    always has a line of sight; ``los`` makes no difference there.

    Args:
        hall: the hall.
        distance_3d_m: float32[...], distance of the antennas, 1-600 m.
        los: bool[...], whether there is a line of sight; broadcast against the distance.
    """
    lg_distance = jnp.log10(jnp.asarray(distance_3d_m, jnp.float32))

    def loss(line: tuple[float, float, float]) -> jax.Array:
        intercept, slope, of_carrier = line
        return intercept + of_carrier * math.log10(hall.carrier_hz / 1e9) + slope * lg_distance

    with_los = without_los = loss(LOS_PATH_LOSS)
    for line in NLOS_PATH_LOSS[hall.sub_scenario]:
        without_los = jnp.maximum(without_los, loss(line))
    return jnp.where(los, with_los, without_los)


def shadowing_std_db(hall: InfHall, los: bool) -> float:
    """Standard deviation of the log-normal shadowing, TR 38.901 table 7.4.1-1."""
    return (hall.with_los if los else hall.without_los).shadowing_std_db


def delay_spread_parameters(hall: InfHall, los: bool) -> tuple[float, float]:
    """Mean and standard deviation of lg(delay spread / s), TR 38.901 table 7.5-6 part 3.

    LOS lg(26 V/S + 14) - 9.35 and 0.15, NLOS lg(30 V/S + 32) - 9.44 and 0.19, where V is the
    hall's volume in m^3 and S the surface of its walls, floor and ceiling in m^2.
    """
    volume = hall.length_m * hall.width_m * hall.height_m
    surface = 2.0 * (hall.length_m * hall.width_m + (hall.length_m + hall.width_m) * hall.height_m)
    if los:
        return math.log10(26.0 * volume / surface + 14.0) - 9.35, 0.15
    return math.log10(30.0 * volume / surface + 32.0) - 9.44, 0.19


INF_SL = InfHall(
    "SL",
    length_m=120.0,
    width_m=60.0,
    height_m=10.0,
    clutter_density=0.2,
    clutter_distance_m=10.0,
    clutter_height_m=2.0,
    base_station_height_m=1.5,
    user_height_m=1.5,
    distance_range_m=(1.0, 60.0),
)
"""Halls, clutter and heights of this and the next three are those of section 7.8; distances reach
half the hall's length, as from a base station in its middle. 54 % of the links have a line of sight
(DL 1 %, SH 88 %, DH 4 %)."""

INF_DL = InfHall(
    "DL",
    length_m=300.0,
    width_m=150.0,
    height_m=10.0,
    clutter_density=0.6,
    clutter_distance_m=2.0,
    clutter_height_m=6.0,
    base_station_height_m=1.5,
    user_height_m=1.5,
    distance_range_m=(1.0, 150.0),
)

INF_SH = dataclasses.replace(
    INF_DL,
    sub_scenario="SH",
    clutter_density=0.2,
    clutter_distance_m=10.0,
    clutter_height_m=2.0,
    base_station_height_m=8.0,
)

INF_DH = dataclasses.replace(
    INF_SL,
    sub_scenario="DH",
    clutter_density=0.6,
    clutter_distance_m=2.0,
    clutter_height_m=6.0,
    base_station_height_m=8.0,
)

INF_HH = dataclasses.replace(INF_SH, sub_scenario="HH", user_height_m=3.0)
"""A user on a mast or a crane. The source gives HH no hall: this is SH's with its clutter of 2 m,
and the user's height, above it, is a choice of ours."""
