"""How far a receiver is behind another one, in dB of SNR.

At each SNR a receiver has some bit error rate; the reference's own curve says at which SNR the
reference would have it. The difference is the extra SNR that the receiver needs, negative where it
is the better one. Both stand on the same frames, so that what is common to them cancels.

Curves are read as in ``snr_loss``: log BER, linear between the SNRs that were measured.
"""

import numpy as np

from wfm_jax.evaluate.scores import Scored
from wfm_jax.evaluate.snr_loss import log_ber, read_snr_db


def behind_db(
    scored: Scored, reference: Scored, weights: np.ndarray, modulation: int
) -> np.ndarray:
    """Extra SNR for the reference's bit error rate, of one constellation, at every SNR.

    Args:
        scored: the receiver.
        reference: on the same frames; measure it at a few SNRs beyond the receiver's too, or the
            ends of the curve cannot be read.
        weights: float64[n_resamples, n_frames]; the same for both, so the difference is paired.
        modulation: index into ``link.bits_per_symbol``.

    Returns:
        float64[n_resamples, n_snr] over the receiver's SNRs; all resamples NaN where its rate is
        beyond the ends of the reference's curve, or not a single bit is wrong.
    """
    of = scored.test_set.modulation == modulation
    own, curve = (
        log_ber(x.scores.bit_errors[:, of], x.scores.n_bits[:, of], weights[:, of])
        for x in (scored, reference)
    )
    columns = []
    for i, snr_db in enumerate(scored.snrs_db):
        known = curve[0].min() <= own[0, i] <= curve[0, 0]
        known &= scored.scores.bit_errors[i, of].sum() >= 1.0
        reading = read_snr_db(curve, reference.snrs_db, own[:, i])
        columns.append(np.where(known, snr_db - reading, np.nan))
    return np.stack(columns, axis=1)
