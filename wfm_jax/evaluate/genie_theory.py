"""What a receiver that knows the channel reaches in a scenario: closed forms, averaged over its K.

Every resource element is flat Rician of its link's K (see ``wfm_jax.signal.theory``), so where a
scenario draws K, the mean over its own distribution is exact. That distribution is represented by
quantiles of a million draws, Rayleigh links apart: good to about 0.2 % of an error rate.
"""

from typing import NamedTuple

import jax
import numpy as np

from wfm_jax.signal import theory
from wfm_jax.signal.propagation import Scenario

_CHUNKS, _CHUNK, _QUANTILES = 16, 65536, 128


class KDistribution(NamedTuple):
    """K of a scenario's links: float64[n] in dB, -inf for Rayleigh, and their probabilities."""

    k_db: np.ndarray
    probability: np.ndarray


class Rates(NamedTuple):
    """Bit and symbol error rate of nearest-point decisions, and GMI of exact LLRs in bits per
    symbol; float64[n_snr]."""

    ber: np.ndarray
    ser: np.ndarray
    gmi: np.ndarray


def k_distribution(scenario: Scenario, *, key: jax.Array) -> KDistribution:
    """The K that a scenario draws, in at most 129 values."""

    def chunk(key: jax.Array) -> jax.Array:
        return scenario.draw(key=key, batch_size=_CHUNK).profile.k_linear

    draw = jax.jit(lambda key: jax.lax.map(chunk, jax.random.split(key, _CHUNKS)))
    k = np.sort(np.asarray(draw(key), np.float64), axis=None)
    values, shares = [], []
    for atom in (0.0, np.inf):
        if share := np.mean(k == atom):
            values.append(atom)
            shares.append(share)
    rician = k[(k > 0.0) & np.isfinite(k)]
    alike = rician.size > 0 and rician[0] == rician[-1]
    for group in np.array_split(rician, 1 if alike else _QUANTILES):
        if group.size:
            values.append(group[group.size // 2])
            shares.append(group.size / k.size)
    with np.errstate(divide="ignore"):
        return KDistribution(10.0 * np.log10(values), np.asarray(shares, np.float64))


def genie_rates(
    k: KDistribution, bits_per_symbol: int, snrs_db: np.ndarray | tuple[float, ...]
) -> Rates:
    """Means of the closed forms over K.

    Args:
        k: of :func:`k_distribution`.
        bits_per_symbol: m of the 2^m-QAM.
        snrs_db: [n_snr], mean SNR of a resource element.
    """
    m, snrs_db = bits_per_symbol, np.asarray(snrs_db, np.float64)
    ebn0s_db = snrs_db - 10.0 * np.log10(m)

    def mean(form, levels_db) -> np.ndarray:
        return np.array([form(m, level, k.k_db) @ k.probability for level in levels_db])

    return Rates(
        mean(theory.ber_rician, ebn0s_db),
        mean(theory.ser_rician, ebn0s_db),
        mean(theory.gmi_rician, snrs_db),
    )
