"""Metrics over SNR, of all frames or of some: ratios of two weighted sums over frames."""

from typing import NamedTuple

import numpy as np

from wfm_jax.evaluate.frame_sums import share
from wfm_jax.evaluate.metrics import ratio
from wfm_jax.evaluate.scores import Scored

FEW_FRAMES = 10
"""With fewer frames that are wrong (or right) resampling says too little."""

ALL = slice(None)


class Metric(NamedTuple):
    """What is summed over frames.

    Attributes:
        above: field of ``FrameScores``.
        below: field that divides it; frames are counted if None.
        scale: factor of the ratio, for its unit.
        decibel: whether it is told in dB.
        events: whether frames (or bits in them) are simply wrong or right.
    """

    above: str
    below: str | None = None
    scale: float = 1.0
    decibel: bool = False
    events: bool = False


METRICS = {
    "ber": Metric("bit_errors", "n_bits", events=True),
    "gmi_fraction": Metric("gmi_fraction"),
    "nmse_db": Metric("channel_error", "channel_power", decibel=True),
    "amc_accuracy": Metric("amc_correct", events=True),
    "k_mae_db": Metric("k_error_db", "has_k"),
    "snr_mae_db": Metric("snr_error_db"),
    "los_accuracy": Metric("los_correct", events=True),
    "delay_spread_mae_ns": Metric("delay_spread_error_s", scale=1e9),
    "doppler_mae_hz": Metric("doppler_error_hz"),
}
"""By name; a bit error rate is to be taken of one constellation."""


def has_metric(scored: Scored, name: str, of: np.ndarray | slice = ALL) -> bool:
    """Whether the receiver has the task, and the frames anything to measure it by."""
    above, below = _sums_of(scored, name, of)
    return bool(below.any()) and not np.isnan(above).all()


def over_snr(
    scored: Scored, name: str, weights: np.ndarray, of: np.ndarray | slice = ALL
) -> np.ndarray:
    """A metric at every SNR, float64[n_resamples, n_snr]; NaN where nothing was measured.

    Args:
        scored: the receiver.
        name: of :data:`METRICS`.
        weights: float64[n_resamples, n_frames], how often each frame counts.
        of: bool[n_frames], the frames to take; all by default.
    """
    above, below = _sums_of(scored, name, of)
    metric = METRICS[name]
    values = metric.scale * ratio(weights[:, of] @ above.T, weights[:, of] @ below.T)
    if not metric.decibel:
        return values
    with np.errstate(divide="ignore"):
        return 10.0 * np.log10(values)


def half_widths(
    scored: Scored, name: str, weights: np.ndarray, of: np.ndarray | slice = ALL
) -> np.ndarray:
    """Half-widths of the 95 % intervals of :func:`over_snr`, float64[n_snr].

    Arguments as of :func:`over_snr`. Frames are resampled. Where all but a few frames are wrong, or
    right, the interval is no narrower than that of their share, by Wilson's formula; nothing wrong
    is not no interval.
    """
    values = over_snr(scored, name, weights, of)
    low, high = ends(values)
    widths = 0.5 * (high - low)
    if METRICS[name].events:
        above, below = _sums_of(scored, name, of)
        for i, (events, possible) in enumerate(zip(above > 0.0, below, strict=True)):
            widths[i] = np.fmax(widths[i], few_frames(events, values[0, i], possible.size))
    return widths


def ends(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends of the 95 % intervals of columns, as ``intervals.interval`` has them.

    Args:
        values: float64[n_resamples, n_columns]; row 0 as drawn.

    Returns:
        float64[n_columns] each; NaN for a column that is not finite.
    """
    known = np.isfinite(values).all(axis=0)
    low, high = np.quantile(np.where(known, values, np.nan)[1:], [0.025, 0.975], axis=0)
    return low, high


def few_frames(events: np.ndarray, rate: float, n_frames: int) -> float:
    """Half-width of the 95 % interval of a rate of which few frames have any, or lack any; 0 for a
    rate that resampling can tell.

    Args:
        events: bool[n_frames], which frames have any.
        rate: what they come to, the share of what could happen in all frames.
        n_frames: frames in all.
    """
    count = int(np.sum(events))
    if FEW_FRAMES <= count <= n_frames - FEW_FRAMES:
        return 0.0
    found = share(count, n_frames)
    each = rate / found.value if count else 1.0
    return 0.5 * each * (found.high - found.low)


def _sums_of(scored: Scored, name: str, of: np.ndarray | slice) -> tuple[np.ndarray, np.ndarray]:
    """What is summed above and below, float64[n_snr, n_frames]."""
    metric = METRICS[name]
    above = np.asarray(getattr(scored.scores, metric.above)[:, of], np.float64)
    if metric.below is None:
        return above, np.ones_like(above)
    return above, np.asarray(getattr(scored.scores, metric.below)[:, of], np.float64)
