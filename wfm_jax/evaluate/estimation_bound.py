"""The least error that a linear channel estimate from the pilots can have, frame by frame.

The closed form of ``signal.theory.lmmse_error``, tr(R - R_:o (R_oo + n0/s)^-1 R_o:), of each
frame's own covariance over frequency: float64, from one eigendecomposition a frame for all noise
variances. (Below n0 = 1e-9 its difference would need more digits: there take ``lmmse_error``.)
Nothing is simulated but the statistics of the links.

An LMMSE receiver reaches it that is told the frame's delay profile, K and timing; one that reads
the data too, or knows that a LOS ray does not fade, may do better.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.signal import link, receivers


class Bound(NamedTuple):
    """``error`` float64[n_snr, n_frames] and ``power`` float64[n_frames], sums over the grid."""

    error: np.ndarray
    power: np.ndarray


def lmmse_bound(config: link.LinkConfig, draw: link.Draw, snrs_db: Sequence[float]) -> Bound:
    """The bound of frames whose channel stands still, their pilots averaged.

    Args:
        config: the link.
        draw: statistics of the frames; its SNRs are not read.
        snrs_db: nominal SNRs.
    """
    ramp = jnp.ones((draw.snr_db.size, config.n_subcarriers), jnp.complex64)
    covariance = jax.jit(receivers.true_covariance, static_argnums=0)(config, draw, ramp)
    r = np.asarray(covariance, np.complex128)
    r = 0.5 * (r + r.conj().swapaxes(1, 2))
    comb = slice(None, None, config.pilot_spacing)
    levels, basis = np.linalg.eigh(r[:, comb, comb])
    heard = np.sum(np.abs(r[:, :, comb] @ basis) ** 2, axis=1)  # [n_frames, n_modes]
    n0 = 10.0 ** (-np.asarray(snrs_db) / 10.0) / len(config.pilot_symbols)
    explained = np.sum(heard / (np.maximum(levels, 0.0) + n0[:, None, None]), axis=2)
    power = np.trace(r, axis1=1, axis2=2).real
    return Bound(config.n_symbols * (power - explained), config.n_symbols * power)
