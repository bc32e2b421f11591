"""How much of what the teacher learned a model keeps: (m - m_null) / (m_teacher - m_null).

The null model is the teacher with every prunable weight zero: what preprocessing and biases alone
achieve. The same quotient serves errors, where both differences are negative.
"""

from typing import NamedTuple

import numpy as np

from wfm_jax.evaluate import metrics
from wfm_jax.evaluate.metrics import Metric
from wfm_jax.evaluate.scores import Scored


class Task(NamedTuple):
    """A score to retain.

    Attributes:
        metric: the score.
        least_gain: what the teacher must be ahead of null by, for retention to mean anything;
            negative for errors. For LOS ten points: most of a hall's frames have a line of sight,
            guessing is right for 80 %, and over a lead of some points the noise of a thousand
            frames is all that retention would show.
    """

    metric: Metric
    least_gain: float


TASKS = {
    "amc": Task(metrics.amc_accuracy, 0.01),
    "gmi": Task(metrics.gmi_fraction, 0.01),
    "los": Task(metrics.los_accuracy, 0.1),
    "snr": Task(metrics.snr_mae_db, -0.05),
    "k": Task(metrics.k_mae_db, -0.05),
}


def retentions(
    scored: Scored, teacher: Scored, null: Scored, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Retention by task, each float64[n_resamples]; weights as in ``metrics``.

    Tasks where the teacher is not ahead of null (by ``least_gain``, judged by the first row of
    weights) are left out: there is nothing to retain. Tasks that ``scored`` lacks are NaN.
    """
    kept = {}
    for name, task in TASKS.items():
        own, full, none = (task.metric(of, weights) for of in (scored, teacher, null))
        if (full[0] - none[0]) / task.least_gain >= 1.0:
            kept[name] = metrics.ratio(own - none, full - none)
    return kept


def smallest_retention(
    scored: Scored, teacher: Scored, null: Scored, weights: np.ndarray
) -> np.ndarray:
    """The smallest retention over tasks, float64[n_resamples]; NaN if any is, or without tasks;
    arguments as of :func:`retentions`."""
    kept = retentions(scored, teacher, null, weights)
    return np.min(list(kept.values()), axis=0) if kept else np.full(len(weights), np.nan)
