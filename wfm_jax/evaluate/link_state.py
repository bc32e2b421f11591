"""The labels of the link state, and what one would score who always answers the same.

An error of 2 dB in K means nothing beside no other number. The yardstick is the constant answer
that is best in hindsight, on the very test frames: the median of the labels (it has the least mean
absolute error of all constants) and the more frequent LOS flag.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from wfm_jax.evaluate.scores import FrameScores, no_scores
from wfm_jax.signal import link


class Labels(NamedTuple):
    """Labels of frames as in ``Frame``, NumPy [n_frames]; ``k_db`` NaN where there is no K."""

    k_db: np.ndarray
    snr_db: np.ndarray
    los: np.ndarray
    delay_spread_s: np.ndarray
    doppler_hz: np.ndarray


def labels(frame: link.Frame) -> Labels:
    """The labels of frames, on the host."""
    return Labels(*(np.asarray(getattr(frame, name)) for name in Labels._fields))


def constant_answers(labels: Sequence[Labels]) -> FrameScores:
    """Scores of the best constant answers.

    Args:
        labels: of the same frames at every SNR; the constants are the same at all of them.

    Returns:
        NumPy float32[n_snr, n_frames]; NaN in all that is not of the link state.
    """
    at = Labels(*(np.stack(values) for values in zip(*labels, strict=True)))
    has_k = np.isfinite(at.k_db)
    middle = np.median(at.k_db[has_k]) if has_k.any() else np.nan
    return no_scores(at.los.shape)._replace(
        k_error_db=np.where(has_k, np.abs(at.k_db - middle), 0.0),
        has_k=has_k.astype(np.float32),
        snr_error_db=np.abs(at.snr_db - np.median(at.snr_db)),
        los_correct=(at.los == (np.mean(at.los) >= 0.5)).astype(np.float32),
        delay_spread_error_s=np.abs(at.delay_spread_s - np.median(at.delay_spread_s)),
        doppler_error_hz=np.abs(at.doppler_hz - np.median(at.doppler_hz)),
    )
