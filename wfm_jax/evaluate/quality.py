"""The quality columns of a result row."""

import functools

import numpy as np

from wfm_jax.evaluate import metrics
from wfm_jax.evaluate.intervals import half_width
from wfm_jax.evaluate.metrics import Metric
from wfm_jax.evaluate.retention import smallest_retention
from wfm_jax.evaluate.scores import Scored
from wfm_jax.evaluate.snr_loss import worst_snr_loss_db


def quality_columns(
    scored: Scored,
    weights: np.ndarray,
    *,
    teacher: Scored | None = None,
    null: Scored | None = None,
) -> dict[str, float]:
    """Every quality column of the row schema, each interval as ``_ci95`` half-width.

    Args:
        scored: a model or reference, measured at 10, 15 and 20 dB.
        weights: from :func:`wfm_jax.evaluate.intervals.resample_weights`, the same for all rows.
        teacher: on the same frames, over the SNRs of its curve; without it ``snr_loss_db``,
            ``retention`` and ``teacher_agreement`` are left out.
        null: the teacher with every prunable weight zero; without it ``retention`` is left out.

    Returns:
        Column names to floats; NaN for tasks the receiver lacks, -inf dB for no error at all.
    """
    of: dict[str, Metric] = {
        "amc_accuracy": metrics.amc_accuracy,
        "gmi_fraction": metrics.gmi_fraction,
        "channel_nmse_db": metrics.channel_nmse_db,
        "k_mae_db": metrics.k_mae_db,
        "snr_mae_db": metrics.snr_mae_db,
        "los_accuracy": metrics.los_accuracy,
    }
    for index, m in enumerate(scored.test_set.link.bits_per_symbol):
        of[f"ber_{2**m}"] = functools.partial(metrics.bit_error_rate, modulation=index)
    if teacher is not None:
        of["snr_loss_db"] = lambda s, w: worst_snr_loss_db(s, teacher, w)
        if null is not None:
            of["retention"] = lambda s, w: smallest_retention(s, teacher, null, w)

    columns = {}
    for name, metric in of.items():
        values = metric(scored, weights)
        columns |= {name: float(values[0]), f"{name}_ci95": half_width(values)}
    once = weights[:1]
    columns["loss"] = float(metrics.loss(scored, once)[0])
    if teacher is not None:
        columns["teacher_agreement"] = float(metrics.agreement(scored, teacher, once)[0])
    return columns
