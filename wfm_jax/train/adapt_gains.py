"""What adaptations gain, and what share of full fine-tuning's gain: paired, with intervals."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from wfm_jax.evaluate import metrics
from wfm_jax.evaluate.intervals import interval, resample_weights
from wfm_jax.evaluate.metrics import Metric
from wfm_jax.evaluate.scores import Scored

FULL = "full"
"""The method whose gain the others are held against."""


class Score(NamedTuple):
    """A score, and which way is better."""

    metric: Metric
    larger_is_better: bool


SCORES = {
    "gmi_fraction": Score(metrics.gmi_fraction, True),
    "amc_accuracy": Score(metrics.amc_accuracy, True),
    "channel_nmse_db": Score(metrics.channel_nmse_db, False),
    "snr_mae_db": Score(metrics.snr_mae_db, False),
    "k_mae_db": Score(metrics.k_mae_db, False),
    "los_accuracy": Score(metrics.los_accuracy, True),
}
"""By name; as everywhere, at 20 dB, and AMC the mean of 10, 15 and 20 dB."""


def compare(
    before: Scored, after: Mapping[str, Sequence[Scored]], *, seed: int = 0
) -> dict[tuple[str, str], dict[str, float]]:
    """Gains of every method and score, with 95 % intervals, and their share of full fine-tuning's.

    Args:
        before: the model as it came.
        after: by method, the adapted models, one a labelled set, all on the frames of ``before``.
        seed: of the resampling: frames within their strata, and labelled sets; the same resamples
            for all, so that gains are paired.

    Returns:
        Columns of :mod:`wfm_jax.results.adapt_rows` by method and score. Scores that the target
        has not (no K without a line of sight) are left out. ``recovered`` is given where the
        interval of full fine-tuning's gain excludes zero.
    """
    n_sets = len(next(iter(after.values())))
    frames = resample_weights(before.test_set.strata, seed=seed)
    sets = resample_weights(np.zeros(n_sets, int), len(frames) - 1, seed=seed + 1)
    sets = sets / sets.sum(axis=1, keepdims=True)
    found = {}
    for score, (metric, larger_is_better) in SCORES.items():
        start = metric(before, frames)
        if not np.isfinite(start).all():
            continue
        ends = {
            name: np.sum(sets * np.stack([metric(one, frames) for one in scored], axis=1), axis=1)
            for name, scored in after.items()
        }
        sign = 1.0 if larger_is_better else -1.0
        gains = {name: sign * (end - start) for name, end in ends.items()}
        certain = FULL in gains and _excludes_zero(gains[FULL])
        for name, gain in gains.items():
            columns = {
                "larger_is_better": int(larger_is_better),
                "before": start[0],
                "after": ends[name][0],
                **_with_interval("gain", gain),
            }
            if certain:
                columns |= _with_interval("recovered", gain / gains[FULL])
            found[name, score] = columns
    return found


def _excludes_zero(gain: np.ndarray) -> bool:
    low, high = interval(gain)
    return low > 0.0 or high < 0.0


def _with_interval(name: str, values: np.ndarray) -> dict[str, float]:
    low, high = interval(values)
    return {name: float(values[0]), f"{name}_low": low, f"{name}_high": high}
