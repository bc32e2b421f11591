"""Are bits as uncertain as their LLRs say? Payload bits by the LLR that they were given.

A demapper that knows the law of what it receives is calibrated: of all bits with LLR L a share of
sigmoid(L) are ones. A decoder takes LLRs at their word, so a receiver that claims more than it
knows loses there what bit error rates do not show.

LLRs have a sign, so bins of them do: what is wrong with ones need not be wrong with zeros. Claims
are kept as the chance that the bit is *wrong*, which in the outer bins is a small number that one
minus a probability near one would not resolve.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.signal import link, mixed_qam

EDGES = (-12, -10, -8, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 8, 10, 12)
"""Between the bins of the LLR; the outer bins are open."""

N_BINS = len(EDGES) + 1

Array = Any
"""A ``jax.Array`` inside a program, a NumPy array on the host."""


class BitBins(NamedTuple):
    """Bits of frames by their LLR, each float32[..., n_frames, N_BINS].

    Attributes:
        n_bits: bits with an LLR in the bin.
        wrong: how many of them are not what the LLR's sign says.
        claimed: how many of them would be, by the LLRs: sum of sigmoid(-|LLR|).
    """

    n_bits: Array
    wrong: Array
    claimed: Array


def bin_bits(config: link.LinkConfig, frame: link.Frame, llr: jax.Array) -> BitBins:
    """Sorts the payload bits of frames.

    Args:
        config: the link.
        frame: the frames.
        llr: float32[n_frames, n_data, m_max]; unused slots are not read.

    Returns:
        float32[n_frames, N_BINS] each.
    """
    used = mixed_qam.bit_mask(frame.modulation[:, None], config.bits_per_symbol)
    wrong = (llr > 0.0) != (frame.bits > 0)
    rows = llr.reshape(llr.shape[0], -1)
    at = jnp.searchsorted(jnp.asarray(EDGES, jnp.float32), rows, method="compare_all")
    of_bit = jnp.stack([jnp.ones_like(llr), wrong, jax.nn.sigmoid(-jnp.abs(llr))], axis=-1)
    of_bit = jnp.where(used[..., None], of_bit, 0.0).reshape(*rows.shape, 3)
    in_bin = jax.nn.one_hot(at, N_BINS, dtype=jnp.float32)
    sums = jnp.einsum("fbi,fbk->kfi", in_bin, of_bit, precision="highest")
    return BitBins(*sums)


def log_odds(bins: BitBins, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What LLRs claim and what is observed, bin by bin, both as log odds of a one.

    Args:
        bins: NumPy, [n_frames, N_BINS].
        weights: float64[n_resamples, n_frames].

    Returns:
        Claimed and observed, float64[n_resamples, N_BINS]; NaN for bins without bits, and observed
        infinite for bins without a wrong (or a right) one.
    """
    n_bits, wrong, claimed = (weights @ np.asarray(values, np.float64) for values in bins)
    sign = np.where(np.arange(N_BINS) < N_BINS // 2, -1.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        believed, observed = (sign * np.log((n_bits - part) / part) for part in (claimed, wrong))
    return believed, observed
