"""Conditions that a receiver was not made for, each a change of its own link.

*Anywhere in the prefix* means: wherever the longest delay still ends within the prefix, 0 to
``cp_samples`` minus that delay. A window that starts earlier receives parts of two symbols, whoever
looks through it; one condition does, by two samples, to tell the edge from what lies beyond it.

*Outside the training range by half* means: as far beyond an end of the range of K, in dB, as half
of its width; of the decay constants, which are drawn over decades, from the upper end to 1.5 times
it and from the lower end to half of it. The longer profiles get all the rays that the prefix holds,
and a window that starts on time: the delay spread is tested, not interference.
"""

import dataclasses
import math
import warnings

import jax
import jax.numpy as jnp

from wfm_jax.evaluate.frames import TestSet, test_links
from wfm_jax.evaluate.subsample_timing import transmit_between_samples
from wfm_jax.signal import link, words
from wfm_jax.signal.factory import FactoryHall

CONDITION_STREAM = 0x0DD5
BASELINE = "baseline"
CARRIER_SHARE = 0.01


@dataclasses.dataclass(frozen=True)
class Condition:
    """What frames are drawn from; static.

    Attributes:
        name: in result rows.
        words: what people read, at most 24 characters.
        link: what is drawn from.
        timing_samples: timing offsets are uniform between these, between samples too; None: as the
            link draws them.
        carrier_share: every carrier is off by exactly this share of the subcarrier spacing, every
            other frame's downwards; 0: as the link draws it.
        noise_db: noise stronger than the nominal SNR says.
    """

    name: str
    words: str
    link: link.LinkConfig
    timing_samples: tuple[float, float] | None = None
    carrier_share: float = 0.0
    noise_db: float = 0.0

    def __post_init__(self):
        if self.timing_samples is not None:
            low, high = self.timing_samples
            if not 0.0 <= low <= high <= self.link.max_timing_offset:
                raise ValueError(
                    f"timing_samples must rise within 0...{self.link.max_timing_offset}, the "
                    f"link's max_timing_offset, got {self.timing_samples}"
                )
            if self.carrier_share:
                raise ValueError("timing_samples and carrier_share exclude each other")
        if not abs(self.carrier_share) < 0.5:
            raise ValueError(f"carrier_share must be within 0.5, got {self.carrier_share}")

    def test_set(self, seed: int, frames: int) -> TestSet:
        """The frozen frames, ``frames`` of each constellation; same seed, same draws wherever two
        conditions draw alike.

        Raises:
            ValueError: frames that the K bins do not divide.
        """
        bins = len(TestSet(self.link, seed).k_bins)
        if frames < 1 or frames % bins:
            raise ValueError(f"frames must be a multiple of {bins} K bins, got {frames}")
        return TestSet(self.link, seed, frames_per_stratum=frames // bins)


def draw_condition(
    condition: Condition, test_set: TestSet, seed: jax.typing.ArrayLike, snr_db: jax.Array
) -> link.Frame:
    """The frames of a condition at one nominal SNR.

    Args:
        condition: static under ``jit``.
        test_set: of :meth:`Condition.test_set`, static; its seed is not read.
        seed: draws everything; may be traced, so that one program draws disjoint sets.
        snr_db: nominal SNR; may be traced.
    """
    seeded = dataclasses.replace(test_set, seed=seed)
    with warnings.catch_warnings(action="ignore"):  # of interference, when the link is copied
        draw = test_links(seeded, snr_db - condition.noise_db)[0]
    key = jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), CONDITION_STREAM)
    key_send, key_timing = jax.random.split(key)
    if condition.timing_samples is not None:
        shape = draw.timing_offset.shape
        offset = words.random_uniform(key_timing, shape, *condition.timing_samples)
        draw = draw._replace(timing_offset=offset)
        return transmit_between_samples(condition.link, draw, key=key_send)
    if condition.carrier_share:
        spacing_hz = condition.link.sample_rate_hz / condition.link.n_fft
        sign = 1.0 - 2.0 * (jnp.arange(draw.snr_db.size) % 2)
        draw = draw._replace(carrier_offset_hz=condition.carrier_share * spacing_hz * sign)
    return link.transmit(condition.link, draw, key=key_send)


def standard_conditions(config: link.LinkConfig) -> tuple[Condition, ...]:
    """The conditions of the module's docstring, the link itself first.

    Raises:
        ValueError: a scenario that is not a ``FactoryHall``, or a prefix shorter than its longest
            delay.
    """
    hall = config.scenario
    if not isinstance(hall, FactoryHall):
        raise ValueError(
            f"scenario must be a FactoryHall, whose ranges can be left, got {type(hall).__name__}"
        )
    latest = math.floor(config.cp_samples - hall.longest_delay_s * config.sample_rate_hz + 1e-3)
    if latest < 0:
        raise ValueError(f"cp_samples={config.cp_samples} is shorter than the longest delay")
    low, high = hall.k_db_range
    half = 0.5 * (high - low)
    shortest_s, longest_s = hall.decay_range_s
    rays = math.floor(config.cp_samples / (config.sample_rate_hz * hall.ray_spacing_s) + 1e-3) + 1

    def changed(max_timing_offset: int = config.max_timing_offset, **scenario) -> link.LinkConfig:
        with warnings.catch_warnings(action="ignore"):  # of interference, where it is meant
            return dataclasses.replace(
                config,
                max_timing_offset=max_timing_offset,
                scenario=dataclasses.replace(hall, **scenario),
            )

    def decay(from_s: float, to_s: float) -> dict:
        spread = 0.25 * math.log10(to_s / from_s)
        middle_s = math.sqrt(from_s * to_s)
        return {
            "decay_range_s": (from_s, to_s),
            "decay_median_s": middle_s,
            "decay_std_decades": spread,
        }

    def k_range(from_db: float, to_db: float) -> link.LinkConfig:
        return changed(k_db_range=(from_db, to_db), rayleigh_fraction=0.0)

    in_prefix, beyond = changed(latest), changed(latest + 2)
    long = changed(0, n_rays=max(rays, hall.n_rays), **decay(longest_s, 1.5 * longest_s))
    short = changed(**decay(0.5 * shortest_s, shortest_s))
    long_ns = f"{1e9 * longest_s:g}...{1.5e9 * longest_s:g}"
    short_ns = f"{0.5e9 * shortest_s:g}...{1e9 * shortest_s:g}"
    return (
        Condition(BASELINE, "the link itself", config),
        Condition("timing", f"timing 0...{latest}, whole", in_prefix),
        Condition(
            "timing_fraction", f"timing 0...{latest}, any", in_prefix, timing_samples=(0.0, latest)
        ),
        Condition("timing_end", f"timing {latest}", in_prefix, timing_samples=(latest, latest)),
        Condition(
            "timing_beyond", f"timing {latest + 2}, interfering", beyond,
            timing_samples=(latest + 2, latest + 2),
        ),
        Condition(
            "carrier", f"carrier off by {CARRIER_SHARE:.0%}", config, carrier_share=CARRIER_SHARE
        ),
        Condition("k_high", f"K {high:g}...{high + half:g} dB", k_range(high, high + half)),
        Condition("k_low", f"K {low - half:g}...{low:g} dB", k_range(low - half, low)),
        Condition("rayleigh", "Rayleigh", changed(rayleigh_fraction=1.0)),
        Condition("delay_long", f"decay {long_ns} ns", long),
        Condition("delay_short", f"decay {short_ns} ns", short),
        Condition("noise", "noise 1 dB stronger", config, noise_db=1.0),
    )  # fmt: skip
