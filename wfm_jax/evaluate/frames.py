"""Frozen test frames: the same draws for every model and at every SNR, balanced over strata.

A stratum is a modulation and a K bin, all of equal weight; what else a link draws (delay spread,
timing, speed) follows its scenario.
"""

import dataclasses
import functools
import hashlib
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.signal import link
from wfm_jax.signal.factory import FactoryHall

REFERENCE_SNR_DB = 20.0
TEST_STREAM = 0x7E57


@dataclasses.dataclass(frozen=True)
class TestSet:
    """Which frames a model is tested on; static.

    Attributes:
        link: the link; its SNR range is not read, its scenario's K range and LOS share give the
            bins.
        seed: draws everything. The key is ``fold_in(key(seed), TEST_STREAM)``: streams that fold
            another number into a seed's key, or split it, are disjoint from it, at equal seeds too
            (a split is a fold of its index, so below ``TEST_STREAM`` = 32343 parts).
        frames_per_stratum: frames of each modulation in each K bin.
        los_bins: equal bins of ``scenario.k_db_range``; frames without a LOS ray are one more bin,
            the last. Only a scenario of uniform K (``FactoryHall``) is binned.
    """

    link: link.LinkConfig
    seed: int
    frames_per_stratum: int = 40
    los_bins: int = 4

    def __post_init__(self):
        for name in ("frames_per_stratum", "los_bins"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def k_bins(self) -> tuple[str, ...]:
        """Names of the K bins, such as ``-6...0.5 dB``, those that the scenario can draw; a single
        bin where the scenario is not one of uniform K."""
        scenario = self.link.scenario
        if not isinstance(scenario, FactoryHall):
            return ("all",)
        edges = np.linspace(*scenario.k_db_range, self.los_bins + 1)
        los = [f"{a:g}...{b:g} dB" for a, b in itertools.pairwise(edges)]
        return tuple(
            (los if scenario.rayleigh_fraction < 1.0 else [])
            + (["rayleigh"] if scenario.rayleigh_fraction > 0.0 else [])
        )

    @property
    def n_frames(self) -> int:
        """Frames of all strata."""
        return len(self.link.bits_per_symbol) * len(self.k_bins) * self.frames_per_stratum

    @functools.cached_property
    def strata(self) -> np.ndarray:
        """int[n_frames], which stratum a frame belongs to: K bins within modulations."""
        return np.arange(self.n_frames) // self.frames_per_stratum

    @property
    def modulation(self) -> np.ndarray:
        """int[n_frames], index into ``link.bits_per_symbol``."""
        return self.strata // len(self.k_bins)

    @property
    def k_bin(self) -> np.ndarray:
        """int[n_frames], index into ``k_bins``."""
        return self.strata % len(self.k_bins)


def test_frames(test_set: TestSet, snr_db: jax.typing.ArrayLike) -> link.Frame:
    """The frames at one nominal SNR.

    Bits, fading and the direction of the noise are those of every other SNR: only n0 differs, so
    that curves over SNR are paired.

    Args:
        test_set: static under ``jit``.
        snr_db: nominal SNR, n0 = 10^(-snr_db/10); may be traced.

    Returns:
        ``n_frames`` frames in the order of ``test_set.strata``.
    """
    return test_links(test_set, snr_db)[1]


def test_links(test_set: TestSet, snr_db: jax.typing.ArrayLike) -> tuple[link.Draw, link.Frame]:
    """:func:`test_frames` with what was drawn of their links: what a receiver may look at that
    knows a frame's own statistics."""
    key = jax.random.key(test_set.seed, impl="threefry2x32")
    key_draw, key_send = jax.random.split(jax.random.fold_in(key, TEST_STREAM))
    draw = _draw_strata(test_set, key_draw)._replace(
        modulation=jnp.asarray(test_set.modulation, jnp.int32),
        snr_db=jnp.full((test_set.n_frames,), snr_db, jnp.float32),
    )
    return draw, link.transmit(test_set.link, draw, key=key_send)


def _draw_strata(test_set: TestSet, key: jax.Array) -> link.Draw:
    """Draws all links, their K in the bins of their strata."""
    scenario = test_set.link.scenario
    if not isinstance(scenario, FactoryHall):
        return link.draw_links(test_set.link, key=key, batch_size=test_set.n_frames)
    # Drawn as if every frame had its LOS ray, then each K is squeezed into its frame's bin.
    all_los = dataclasses.replace(
        test_set.link, scenario=dataclasses.replace(scenario, rayleigh_fraction=0.0)
    )
    draw = link.draw_links(all_los, key=key, batch_size=test_set.n_frames)
    low, high = scenario.k_db_range
    width = (high - low) / test_set.los_bins
    profile = draw.propagation.profile
    share = (10.0 * jnp.log10(profile.k_linear) - low) / test_set.los_bins
    k_linear = 10.0 ** ((low + width * test_set.k_bin + share) / 10.0)
    no_los = np.array([name == "rayleigh" for name in test_set.k_bins])[test_set.k_bin]
    profile = profile._replace(k_linear=jnp.where(no_los, 0.0, k_linear))
    propagation = draw.propagation._replace(profile=profile, los=jnp.asarray(~no_los))
    return draw._replace(propagation=propagation)


def frames_hash(test_set: TestSet) -> str:
    """Names the frames: :func:`hash_frame` of them at the reference SNR."""
    return hash_frame(jax.jit(test_frames, static_argnums=0)(test_set, REFERENCE_SNR_DB))


def hash_frame(frame: link.Frame) -> str:
    """sha256, its first 16 hex digits.

    Bits and modulation enter exactly. Of the received grid and the channel enters one projection
    each, taken in float64 and rounded to two decimals: another seed, link or simulator changes it,
    the last digits of another device's float32 do not.
    """
    digest = hashlib.sha256()
    digest.update(np.asarray(frame.bits, np.int8).tobytes())
    digest.update(np.asarray(frame.modulation, "<i4").tobytes())
    for view in (frame.grid, frame.channel):
        values = np.asarray(view, np.complex128).reshape(-1)
        projection = values @ np.cos(np.arange(values.size)) / np.sqrt(values.size)
        digest.update(f"{projection.real:.2f} {projection.imag:.2f}".encode())
    return digest.hexdigest()[:16]
