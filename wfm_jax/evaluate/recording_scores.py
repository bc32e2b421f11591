"""Scores of labelled frames of a recording, with intervals, beside the best constant answers.

Frames of a recording have an SNR each, as they came, so a score is over all of them; they are a
simple random sample, of one stratum.
"""

import numpy as np

from wfm_jax.evaluate import link_state
from wfm_jax.evaluate.intervals import interval, resample_weights
from wfm_jax.evaluate.metrics import ratio
from wfm_jax.evaluate.over_snr import METRICS, few_frames
from wfm_jax.evaluate.scores import FrameScores
from wfm_jax.evaluate.view_removal import prior_scores
from wfm_jax.results.recorded_frames import Labels
from wfm_jax.results.rows import Row

TASKS = {
    "modulation": "amc_accuracy",
    "bits": "gmi_fraction",
    "channel": "nmse_db",
    "snr": "snr_mae_db",
    "k": "k_mae_db",
    "los": "los_accuracy",
    "delay_spread": "delay_spread_mae_ns",
}
"""Tasks and what of :data:`wfm_jax.evaluate.over_snr.METRICS` tells them."""

RESAMPLES_SEED = 0


def score_rows(views: str, scores: FrameScores, labels: Labels, n_modulations: int) -> list[Row]:
    """Rows of ``results.recording_rows.SCORE_COLUMNS`` without the hashes, a task a row.

    Args:
        views: that the model was given, joined by ``+``.
        scores: NumPy float32[n_frames].
        labels: of the same frames.
        n_modulations: that there are to choose from.
    """
    state = link_state.Labels(*(getattr(labels, name) for name in link_state.Labels._fields))
    like = FrameScores(*(np.asarray(values)[None] for values in scores))
    guesses = prior_scores(like, [state], n_modulations)
    guess = FrameScores(*(np.asarray(values)[0] for values in guesses))
    n_frames = labels.n0.size
    weights = resample_weights(np.zeros(n_frames, int), seed=RESAMPLES_SEED)
    rows: list[Row] = []
    for task, metric in TASKS.items():
        value, low, high = _with_ends(metric, scores, weights)
        rows.append(
            {
                "views": views,
                "task": task,
                "metric": metric,
                "score": value,
                "score_low": low,
                "score_high": high,
                "guess": _values(metric, guess, weights[:1])[0],
                "frames": n_frames,
            }
        )
    return rows


def _values(name: str, scores: FrameScores, weights: np.ndarray) -> np.ndarray:
    """A metric, float64[n_resamples]."""
    metric = METRICS[name]
    above = np.asarray(getattr(scores, metric.above), np.float64)
    below = np.ones_like(above) if metric.below is None else getattr(scores, metric.below)
    values = metric.scale * ratio(weights @ above, weights @ np.asarray(below, np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        return 10.0 * np.log10(values) if metric.decibel else values


def _with_ends(name: str, scores: FrameScores, weights: np.ndarray) -> tuple[float, float, float]:
    """A metric and its 95 % interval; no narrower than that of a share where few frames err."""
    values = _values(name, scores, weights)
    value, (low, high) = float(values[0]), interval(values)
    if METRICS[name].events:
        right = np.asarray(getattr(scores, METRICS[name].above)) > 0.0
        least = few_frames(right, value, right.size)
        low, high = min(low, max(value - least, 0.0)), max(high, min(value + least, 1.0))
    return value, low, high
