"""The extra SNR that a receiver needs to reach the teacher's bit error rate.

At the reference SNR a receiver has some BER; the teacher's own curve over SNR says at which SNR the
teacher would have it. Both stand on the same frames, so that what is common to them (deep fades)
cancels: some hundred frames resolve 0.2 dB.

The curve is log BER, interpolated linearly over SNR in dB, made falling by a running minimum, and
never below half an error in all bits. It ends at the SNRs that were measured: what is worse or
better than all of it reads as its end.
"""

import numpy as np

from wfm_jax.evaluate.frames import REFERENCE_SNR_DB
from wfm_jax.evaluate.metrics import ratio
from wfm_jax.evaluate.scores import Scored

# Slope that makes a flat stretch readable, in nepers per point: far below any error of the BER.
_TILT = 1e-9


def snr_loss_db(scored: Scored, teacher: Scored, weights: np.ndarray) -> np.ndarray:
    """Loss of every constellation in dB; negative for a receiver better than the teacher.

    Args:
        scored: the receiver, measured at the reference SNR.
        teacher: the teacher on the same frames, measured there and at other SNRs, rising.
        weights: float64[n_resamples, n_frames].

    Returns:
        float64[n_resamples, n_modulations].
    """
    n_modulations = len(scored.test_set.link.bits_per_symbol)
    reference = teacher.row(REFERENCE_SNR_DB)
    columns = []
    for modulation in range(n_modulations):
        of = scored.test_set.modulation == modulation
        curve = log_ber(
            teacher.scores.bit_errors[:, of], teacher.scores.n_bits[:, of], weights[:, of]
        )
        at = scored.at(REFERENCE_SNR_DB)
        own = log_ber(at.bit_errors[None, of], at.n_bits[None, of], weights[:, of])[:, 0]
        columns.append(
            read_snr_db(curve, teacher.snrs_db, curve[:, reference])
            - read_snr_db(curve, teacher.snrs_db, own)
        )
    return np.stack(columns, axis=1)


def worst_snr_loss_db(scored: Scored, teacher: Scored, weights: np.ndarray) -> np.ndarray:
    """Loss of the worst constellation, float64[n_resamples]."""
    return snr_loss_db(scored, teacher, weights).max(axis=1)


def log_ber(bit_errors: np.ndarray, n_bits: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Natural logarithm of the BER, float64[n_resamples, n_snr], of scores [n_snr, n_frames]."""
    bits = weights @ n_bits.T
    return np.log(ratio(np.maximum(weights @ bit_errors.T, 0.5), bits))


def read_snr_db(curve: np.ndarray, snrs_db: tuple[float, ...], level: np.ndarray) -> np.ndarray:
    """The SNR at which each curve has come down to its level.

    Args:
        curve: log BER, float64[n_resamples, n_snr].
        snrs_db: rising, at least two.
        level: log BER, float64[n_resamples].

    Returns:
        float64[n_resamples], between the first and the last of ``snrs_db``.

    Raises:
        ValueError: fewer than two SNRs, or SNRs that do not rise.
    """
    snrs = np.asarray(snrs_db)
    if snrs.size < 2 or np.any(np.diff(snrs) <= 0):
        raise ValueError(f"a curve needs two SNRs or more, rising, got {snrs_db}")
    falling = np.minimum.accumulate(curve, axis=1) - _TILT * np.arange(snrs.size)
    left = np.clip(np.sum(falling > level[:, None], axis=1) - 1, 0, snrs.size - 2)
    row = np.arange(level.size)
    high, low = falling[row, left], falling[row, left + 1]
    share = np.clip((high - level) / (high - low), 0.0, 1.0)
    return snrs[left] + share * (snrs[left + 1] - snrs[left])
