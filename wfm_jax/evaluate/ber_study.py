"""What error-rate curves are asked for: links, levels, receivers, and when a point has enough."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from wfm_jax.signal.link import LinkConfig

AXES = ("snr", "ebn0", "ebn0_charged")


@dataclasses.dataclass(frozen=True)
class StopRule:
    """When a point has frames enough, and when a curve is followed no further.

    Attributes:
        target_frame_errors: a point ends when each receiver has as many wrong frames.
        target_bit_errors: or as many wrong bits; None: only frames count.
        max_frames: or after as many frames, rounded up to whole batches.
        early_stop: a curve ends at a point where no frame was wrong.
        target_ber: a curve ends at a point whose bit error rate is below this.
    """

    target_frame_errors: int = 1000
    target_bit_errors: int | None = None
    max_frames: int = 10_000
    early_stop: bool = True
    target_ber: float = 0.0

    def __post_init__(self):
        for name in ("target_frame_errors", "target_bit_errors", "max_frames"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not 0.0 <= self.target_ber < 1.0:
            raise ValueError(f"target_ber must be in [0, 1), got {self.target_ber}")

    def status(self, bit_errors: float, frame_errors: float, n_frames: int) -> str:
        """Why a receiver needs no more frames; empty where it does."""
        if frame_errors >= self.target_frame_errors:
            return "target frame errors"
        if self.target_bit_errors is not None and bit_errors >= self.target_bit_errors:
            return "target bit errors"
        return "max frames" if n_frames >= self.max_frames else ""

    def ends_curve(self, ber: float, frame_errors: float) -> bool:
        """Whether a receiver is not followed to higher SNRs."""
        return (self.early_stop and frame_errors == 0) or ber < self.target_ber


class Point(NamedTuple):
    """One SNR of a curve.

    Attributes:
        scenario: name of its link.
        modulation: index into the link's ``bits_per_symbol``.
        bits_per_symbol: of the constellation.
        snr_db: mean SNR of a resource element.
        ebn0_db: of uncoded bits on a data element.
        ebn0_charged_db: the same, pilots and cyclic prefix charged to the bits.
    """

    scenario: str
    modulation: int
    bits_per_symbol: int
    snr_db: float
    ebn0_db: float
    ebn0_charged_db: float

    def __str__(self) -> str:
        return f"{self.scenario} {2**self.bits_per_symbol}-QAM {self.snr_db:g} dB"


@dataclasses.dataclass(frozen=True)
class Study:
    """Curves to measure: every link, constellation and receiver at every level.

    Attributes:
        links: by name of their scenario; the constellations are a link's ``bits_per_symbol``.
        levels_db: of the axis, in any order.
        seed: of all frames, not negative.
        receivers: of ``estimators.RECEIVERS``; all see the same frames.
        axis: "snr" of a resource element, "ebn0" of uncoded bits on a data element, or
            "ebn0_charged" with pilots and cyclic prefix charged to the bits.
        stop: when a point, and a curve, is done.
        batch_frames: frames simulated at once; another number means other frames.
        demapping, decisions: see :func:`wfm_jax.evaluate.detection.link_step`.
        over_time: see :func:`wfm_jax.evaluate.estimators.classical_estimators`.
    """

    links: Mapping[str, LinkConfig]
    levels_db: tuple[float, ...]
    seed: int
    receivers: tuple[str, ...] = ("genie", "lmmse", "ls")
    axis: str = "snr"
    stop: StopRule = StopRule()
    batch_frames: int = 256
    demapping: str = "exact"
    decisions: str = "nearest"
    over_time: str = "average"

    def __post_init__(self):
        if self.axis not in AXES:
            raise ValueError(f"axis must be one of {', '.join(AXES)}, got {self.axis!r}")
        for name in ("links", "levels_db"):
            if not getattr(self, name):
                raise ValueError(f"{name} must not be empty")
        if not np.all(np.isfinite(self.levels_db)):
            raise ValueError(f"levels_db must be finite, got {self.levels_db}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")

    def curves(self) -> list[list[Point]]:
        """The points of one scenario and constellation after the other, SNRs rising."""
        return [
            [self._point(scenario, i, level) for level in sorted(set(self.levels_db))]
            for scenario, config in self.links.items()
            for i in range(len(config.bits_per_symbol))
        ]

    def _point(self, scenario: str, modulation: int, level_db: float) -> Point:
        config = self.links[scenario]
        m = config.bits_per_symbol[modulation]
        bits_db = 10.0 * float(np.log10(m))
        charged_db = 10.0 * float(np.log10(overhead(config)))
        offset_db = {"snr": 0.0, "ebn0": bits_db, "ebn0_charged": bits_db - charged_db}
        snr_db = round(level_db + offset_db[self.axis], 6)
        ebn0_db = snr_db - bits_db
        return Point(scenario, modulation, m, snr_db, ebn0_db, ebn0_db + charged_db)


def overhead(config: LinkConfig) -> float:
    """Energy sent over energy of the data elements, linear: what pilots and prefix add."""
    elements = config.n_symbols * config.n_subcarriers
    return elements * (1.0 + config.cp_samples / config.n_fft) / config.n_data
