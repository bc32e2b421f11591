"""Which modulation is taken for which."""

import numpy as np

from wfm_jax.evaluate.scores import Scored


def confusion(scored: Scored, snr_db: float) -> np.ndarray:
    """Frames of each modulation (row) by what was decided on (column), at one SNR.

    Returns:
        int64[n_modulations, n_modulations], indices into ``link.bits_per_symbol``; a row sums to
        the frames of its modulation.

    Raises:
        ValueError: an SNR that was not measured, or a receiver that does not classify.
    """
    decided = scored.at(snr_db).modulation
    if np.isnan(decided).any():
        raise ValueError("the receiver does not tell modulations")
    n = len(scored.test_set.link.bits_per_symbol)
    pairs = n * scored.test_set.modulation + decided.astype(np.int64)
    return np.bincount(pairs, minlength=n * n).reshape(n, n)
