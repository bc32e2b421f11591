"""What a model keeps of each task when views of the frame are missing.

Retention is (m - m_prior) / (m_full - m_prior): m_full is the model with all views, m_prior what
one scores who never saw the frame (a guessed modulation, LLRs and a channel of zero, the best
constant of every label). Of the channel m is the NMSE in dB.

The null model of compression, every prunable weight zero, is no yardstick here: its LLRs can be
confidently wrong, and zero LLRs, which know nothing, would then retain most of the bits. Retention
over it stands in the rows beside (``retention_null``).

The SNR error is a mean over 10, 15 and 20 dB: at one SNR alone a constant would do.
"""

from typing import NamedTuple

import numpy as np

from wfm_jax.evaluate import metrics
from wfm_jax.evaluate.frames import REFERENCE_SNR_DB
from wfm_jax.evaluate.intervals import interval
from wfm_jax.evaluate.metrics import Metric, ratio
from wfm_jax.evaluate.scores import Scored
from wfm_jax.evaluate.stacked import with_interval
from wfm_jax.evaluate.view_information import told_by
from wfm_jax.evaluate.view_removal import SNRS_DB, Measured
from wfm_jax.results.rows import Row

ENOUGH = 0.9


class Task(NamedTuple):
    """A score of a task.

    Attributes:
        metric: the score.
        column: its name with its unit.
        least_gain: what the full model must be ahead of null by, for retention to mean anything;
            negative for errors.
    """

    metric: Metric
    column: str
    least_gain: float


def _snr_mae_db(scored: Scored, weights: np.ndarray) -> np.ndarray:
    errors = [scored.at(snr_db).snr_error_db for snr_db in SNRS_DB]
    return metrics.weighted_mean(np.mean(errors, axis=0), weights)


def _delay_spread_mae_ns(scored: Scored, weights: np.ndarray) -> np.ndarray:
    return metrics.weighted_mean(1e9 * scored.at(REFERENCE_SNR_DB).delay_spread_error_s, weights)


TASKS = {
    "modulation": Task(metrics.amc_accuracy, "amc_accuracy", 0.01),
    "bits": Task(metrics.gmi_fraction, "gmi_fraction", 0.01),
    "channel": Task(metrics.channel_nmse_db, "channel_nmse_db", -0.1),
    "snr": Task(_snr_mae_db, "snr_mae_db", -0.05),
    "k": Task(metrics.k_mae_db, "k_mae_db", -0.05),
    "los": Task(metrics.los_accuracy, "los_accuracy", 0.01),
    "delay_spread": Task(_delay_spread_mae_ns, "delay_spread_mae_ns", -0.5),
}


def rows_of_views(measured: Measured, weights: np.ndarray) -> list[Row]:
    """Rows of ``results.view_rows.COLUMNS`` without the hashes: subset by subset, task by task.

    Args:
        measured: of :func:`measure`.
        weights: float64[n_resamples, n_frames].
    """
    rows: list[Row] = []
    everything = next(iter(measured.by_subset))
    for subset, scored in measured.by_subset.items():
        gone = [view for view in everything if view not in subset]
        for name, task in TASKS.items():
            own, full, null, prior = (
                task.metric(of, weights)
                for of in (scored, measured.full, measured.null, measured.prior)
            )
            told = told_by(subset, name)
            kept = _retention(own, full, prior, task.least_gain)
            rows.append(
                {
                    "views": "+".join(subset),
                    "removed": "+".join(gone) or None,
                    "task": name,
                    "information": told.level,
                    "reason": told.reason,
                    "metric": task.column,
                    **with_interval("score", own),
                    "full": float(full[0]),
                    "prior": float(prior[0]),
                    "null": float(null[0]),
                    **with_interval("retention", kept),
                    **with_interval("retention_null", _retention(own, full, null, task.least_gain)),
                    "verdict": verdict(kept) if told.level == "yes" else None,
                }
            )
    return rows


def verdict(retention: np.ndarray) -> str | None:
    """``kept``, ``lost`` or ``open``: whether the 95 % interval of a retention is above
    :data:`ENOUGH`, below it, or around it; None where there is nothing to retain.

    Args:
        retention: float64[1 + n_resamples], first as drawn.
    """
    low, high = interval(retention)
    if np.isnan(retention[0]):
        return None
    return "kept" if low >= ENOUGH else "lost" if high < ENOUGH else "open"


def _retention(
    own: np.ndarray, full: np.ndarray, none: np.ndarray, least_gain: float
) -> np.ndarray:
    """NaN where the full model is not ahead: there is nothing to retain."""
    if not (full[0] - none[0]) / least_gain >= 1.0:
        return np.full(len(own), np.nan)
    return ratio(own - none, full - none)
