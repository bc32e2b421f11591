"""A model on segments of a recording: what it says of each, and scores where there are labels.

Samples are what a recording has, so the model reads its ``iq`` view. Where segments begin at
symbols of the link, the other views follow from them by a receiver's Fourier transform, and the
model may be given these too.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.evaluate import link_state
from wfm_jax.evaluate.chunks import in_blocks
from wfm_jax.evaluate.intervals import interval, resample_weights
from wfm_jax.evaluate.metrics import ratio
from wfm_jax.evaluate.over_snr import METRICS, few_frames
from wfm_jax.evaluate.recording_segments import Segments
from wfm_jax.evaluate.scores import FrameScores
from wfm_jax.evaluate.view_removal import check_subset, prior_scores, score_views
from wfm_jax.model import ModelConfig, build, prepare
from wfm_jax.model.config import VIEWS
from wfm_jax.results.recorded_frames import Labels
from wfm_jax.results.rows import Row
from wfm_jax.signal import link
from wfm_jax.signal.segments import mean_power

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


class Answers(NamedTuple):
    """What a model says of segments whose modulation it is not told.

    Attributes:
        modulation: float32[n, n_modulations], probabilities.
        k_db, snr_db: float32[n].
        los: float32[n], probability of a line of sight.
        delay_spread_s: float32[n].
    """

    modulation: Any
    k_db: Any
    snr_db: Any
    los: Any
    delay_spread_s: Any


def answer_segments(
    config: ModelConfig, params: Any, iq: np.ndarray, subsets: Sequence[tuple[str, ...]]
) -> list[Answers]:
    """Answers to segments, one for each subset of views.

    Args:
        config: the model; its link is that of the segments.
        params: its parameters.
        iq: complex64[n, n_samples], in any unit.
        subsets: views that are given; all are made of the samples.

    Returns:
        NumPy answers, in the order of ``subsets``.
    """
    apply = build(config, jax.random.key(0))[0]

    @jax.jit
    def program(params: Any, iq: jax.Array, present: jax.Array) -> Answers:
        shown = dict.fromkeys(link.Frame._fields) | link.views(config.link, iq)
        blind = jnp.full(iq.shape[:1], config.n_modulations, jnp.int32)
        out = apply(params, prepare(config, link.Frame(**shown), blind, present)[0])
        return Answers(
            jax.nn.softmax(out.modulation),
            out.k_db,
            out.snr_db,
            jax.nn.sigmoid(out.los),
            out.delay_spread_s,
        )

    return [
        in_blocks(lambda *block: program(params, *block), iq, _present(config, subset, iq.shape[0]))
        for subset in subsets
    ]


def score_segments(
    config: ModelConfig,
    params: Any,
    iq: np.ndarray,
    labels: Labels,
    subsets: Sequence[tuple[str, ...]],
) -> list[FrameScores]:
    """Scores of segments that are labelled frames; arguments of :func:`answer_segments`.

    ``iq`` is in the unit of the labels; bits and channel are told with the modulation known.
    """
    apply = build(config, jax.random.key(0))[0]

    @jax.jit
    def program(params: Any, iq: jax.Array, labels: Labels, present: jax.Array) -> FrameScores:
        frame = link.Frame(**link.views(config.link, iq), **labels._asdict())
        return score_views(config, apply, params, frame, present)

    found = []
    for subset in subsets:
        present = _present(config, subset, iq.shape[0])
        found.append(in_blocks(lambda *block: program(params, *block), iq, labels, present))
    return found


def segment_rows(
    config: ModelConfig,
    subset: tuple[str, ...],
    segments: Segments,
    answers: Answers,
    labels: Labels | None,
) -> list[Row]:
    """Rows of ``results.recording_rows.SEGMENT_COLUMNS`` without the hashes."""
    points = 2 ** np.asarray(config.link.bits_per_symbol)
    decided = np.argmax(answers.modulation, axis=1)
    power = mean_power(segments.iq)
    rows: list[Row] = [
        {
            "views": "+".join(subset),
            "segment": i,
            "start_s": segments.start[i] * config.link.sample_s,
            "power_dbfs": 10.0 * np.log10(power[i]),
            "carrier_offset_hz": segments.carrier_offset_hz[i],
            "coherence": segments.coherence[i],
            "modulation": points[decided[i]],
            "modulation_probability": answers.modulation[i, decided[i]],
            "snr_db": answers.snr_db[i],
            "k_db": answers.k_db[i],
            "los_probability": answers.los[i],
            "delay_spread_ns": 1e9 * answers.delay_spread_s[i],
        }
        for i in range(power.size)
    ]
    if labels is not None:
        for i, row in enumerate(rows):
            row |= {
                "true_modulation": points[labels.modulation[i]],
                "true_snr_db": labels.snr_db[i],
                "true_k_db": labels.k_db[i],
                "true_los": int(labels.los[i]),
                "true_delay_spread_ns": 1e9 * labels.delay_spread_s[i],
            }
    return rows


def score_rows(
    config: ModelConfig, subset: tuple[str, ...], scores: FrameScores, labels: Labels
) -> list[Row]:
    """Rows of ``results.recording_rows.SCORE_COLUMNS`` without the hashes, a task a row.

    Frames of a recording are a simple random sample, of one stratum.
    """
    state = link_state.Labels(*(getattr(labels, name) for name in link_state.Labels._fields))
    like = FrameScores(*(np.asarray(values)[None] for values in scores))
    guesses = prior_scores(like, [state], config.n_modulations)
    guess = FrameScores(*(np.asarray(values)[0] for values in guesses))
    n_frames = labels.n0.size
    weights = resample_weights(np.zeros(n_frames, int), seed=RESAMPLES_SEED)
    rows: list[Row] = []
    for task, metric in TASKS.items():
        value, low, high = _with_ends(metric, scores, weights)
        rows.append(
            {
                "views": "+".join(subset),
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


def _present(config: ModelConfig, subset: tuple[str, ...], n: int) -> np.ndarray:
    """bool[n, len(VIEWS)]."""
    subset = check_subset(config, subset)
    return np.broadcast_to(np.array([view in subset for view in VIEWS]), (n, len(VIEWS)))
