"""Metrics: functions of a receiver's scores and of weights over frames.

Every metric takes ``weights`` float64[n_resamples, n_frames], how often each frame counts, and
returns float64[n_resamples]. Weights of one give the point estimate, resampled frames its interval
(see ``intervals``), and the same weights for two receivers a paired difference. A task that the
receiver lacks is NaN.

Quality is read at the reference SNR of 20 dB unless a metric says otherwise.
"""

from collections.abc import Callable

import numpy as np

from wfm_jax.evaluate.frames import REFERENCE_SNR_DB
from wfm_jax.evaluate.scores import Scored

AMC_SNRS_DB = (10.0, 15.0, 20.0)

Metric = Callable[[Scored, np.ndarray], np.ndarray]


def amc_accuracy(scored: Scored, weights: np.ndarray) -> np.ndarray:
    """Share of modulations told rightly, mean of 10, 15 and 20 dB."""
    correct = [scored.at(snr_db).amc_correct for snr_db in AMC_SNRS_DB]
    return weighted_mean(np.mean(correct, axis=0), weights)


def gmi_fraction(scored: Scored, weights: np.ndarray) -> np.ndarray:
    """GMI over bits per symbol, mean over constellations (of which there are equally many)."""
    return weighted_mean(scored.at(REFERENCE_SNR_DB).gmi_fraction, weights)


def bit_error_rate(scored: Scored, weights: np.ndarray, modulation: int) -> np.ndarray:
    """Bit error rate of one constellation, an index into ``link.bits_per_symbol``."""
    of = scored.test_set.modulation == modulation
    scores = scored.at(REFERENCE_SNR_DB)
    return ratio(weights[:, of] @ scores.bit_errors[of], weights[:, of] @ scores.n_bits[of])


def channel_nmse_db(scored: Scored, weights: np.ndarray) -> np.ndarray:
    """Ratio of the ensemble means of error and channel power, in dB; -inf without an error."""
    scores = scored.at(REFERENCE_SNR_DB)
    with np.errstate(divide="ignore"):
        nmse = ratio(weights @ scores.channel_error, weights @ scores.channel_power)
        return 10.0 * np.log10(nmse)


def k_mae_db(scored: Scored, weights: np.ndarray) -> np.ndarray:
    """Mean absolute error of the K-factor over frames with a LOS ray."""
    scores = scored.at(REFERENCE_SNR_DB)
    return ratio(weights @ scores.k_error_db, weights @ scores.has_k)


def snr_mae_db(scored: Scored, weights: np.ndarray) -> np.ndarray:
    """Mean absolute error of the frame's SNR."""
    return weighted_mean(scored.at(REFERENCE_SNR_DB).snr_error_db, weights)


def los_accuracy(scored: Scored, weights: np.ndarray) -> np.ndarray:
    """Share of frames whose LOS flag was told rightly."""
    return weighted_mean(scored.at(REFERENCE_SNR_DB).los_correct, weights)


def loss(scored: Scored, weights: np.ndarray) -> np.ndarray:
    """Sum of the cross entropies of bits, modulation and LOS flag, in bits."""
    return weighted_mean(scored.at(REFERENCE_SNR_DB).loss, weights)


def agreement(scored: Scored, teacher: Scored, weights: np.ndarray) -> np.ndarray:
    """Share of frames whose modulation is decided on as the teacher decides, right or wrong."""
    own, others = (of.at(REFERENCE_SNR_DB).modulation for of in (scored, teacher))
    return weighted_mean(own == others, weights)


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over frames of ``values`` [n_frames], float64[n_resamples]; NaN where none counts."""
    return ratio(weights @ values, weights.sum(axis=1))


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """``above / below``, NaN where there is nothing to divide by."""
    nothing = np.full(np.shape(below), np.nan)
    return np.divide(above, below, out=nothing, where=np.asarray(below) != 0)
