"""A model and classical receivers under conditions that neither was made for.

Every receiver is made for the model's own link: its geometry, its timing range, and, of LMMSE, the
covariance of its ensemble. Frames come from the condition. Beside them stand LMMSE with the
covariance of the condition's ensemble (``matched``), and the genie, whose loss is what the
condition costs anybody.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.evaluate.chunks import in_chunks
from wfm_jax.evaluate.classical import COVARIANCE_STREAM, score_estimates
from wfm_jax.evaluate.conditions import BASELINE, Condition, draw_condition
from wfm_jax.evaluate.detection import Estimates
from wfm_jax.evaluate.frames import REFERENCE_SNR_DB, hash_frame
from wfm_jax.evaluate.scores import FrameScores, Scored, score
from wfm_jax.evaluate.stacked import stack_over_snr
from wfm_jax.model import ModelConfig, build
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.signal import link, receivers

CLASSICAL = (
    "lmmse",
    "lmmse_interpolate",
    "lmmse_matched",
    "lmmse_matched_interpolate",
    "genie",
)
"""LMMSE averages the pilot symbols, or interpolates between them."""
COVARIANCE_FRAMES = 4096
CURVE_STEP_DB = 2.5
BESIDE_DB = 3.0
"""LMMSE is measured so far beside the SNRs asked for, to read how far the model is ahead of it."""


@dataclasses.dataclass(frozen=True)
class ConditionStudy:
    """What to measure.

    Attributes:
        conditions: the first is the baseline, the model's own link.
        snrs_db: nominal SNRs to tell of, rising.
        frames: of each constellation, a multiple of the K bins (20 does in all standard ones).
        seed: of all frames.
    """

    conditions: tuple[Condition, ...]
    snrs_db: tuple[float, ...]
    frames: int
    seed: int

    def __post_init__(self):
        if not self.snrs_db or list(self.snrs_db) != sorted(set(self.snrs_db)):
            raise ValueError(f"snrs_db must be a rising sequence, got {self.snrs_db}")
        if not self.conditions or self.conditions[0].name != BASELINE:
            raise ValueError(f"the first of the conditions must be {BASELINE}")
        for condition in self.conditions:
            condition.test_set(self.seed, self.frames)

    @property
    def curve_snrs_db(self) -> tuple[float, ...]:
        """SNRs of the baseline, whose curves are read: 10 dB beyond both ends, in steps, and the
        SNRs to tell of."""
        low, high = self.snrs_db[0] - 10.0, self.snrs_db[-1] + 10.0
        steps = np.arange(low, high + 1e-6, CURVE_STEP_DB)
        return tuple(sorted({*map(float, steps), *self.snrs_db}))

    @property
    def classical_snrs_db(self) -> tuple[float, ...]:
        """SNRs of the classical receivers under other conditions."""
        beside = (-BESIDE_DB, 0.0, BESIDE_DB)
        return tuple(sorted({snr_db + step for snr_db in self.snrs_db for step in beside}))


class Measured(NamedTuple):
    """A condition: hash of its test frames, and by name the receivers, ``model`` and
    ``CLASSICAL``."""

    frames_hash: str
    receivers: dict[str, Scored]


def measure(
    study: ConditionStudy,
    config: ModelConfig,
    params: Any,
    *,
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> dict[str, Measured]:
    """Measures all receivers under all conditions.

    Args:
        study: what to measure; its baseline has the model's link.
        config: the model.
        params: its parameters.
        progress: display.
        check: called between SNRs; what it raises ends the run.

    Returns:
        what was measured of each condition, the baseline first.
    """
    progress = progress or Silent()
    apply = build(config, jax.random.key(0))[0]
    of_model = jax.jit(
        lambda params, frame: in_chunks(functools.partial(score, config, apply, params), frame)
    )
    of_classical = jax.jit(functools.partial(score_classical, config.link))
    covariance_of = jax.jit(functools.partial(aligned_covariance, config.link))
    first, others = study.curve_snrs_db, study.classical_snrs_db
    progress.start("conditions", len(first) + len(others) * (len(study.conditions) - 1))
    found: dict[str, Measured] = {}
    made_for = None
    for condition in study.conditions:
        test_set = condition.test_set(study.seed, study.frames)
        draw = jax.jit(functools.partial(draw_condition, condition, test_set))
        matched = _ensemble(draw, covariance_of, study, test_set.n_frames)
        made_for = matched if made_for is None else made_for
        covariances = jnp.stack([made_for, matched])
        scores: dict[str, list[FrameScores]] = {}
        is_baseline = condition.name == BASELINE
        snrs_db, told = (first, first) if is_baseline else (others, study.snrs_db)
        for snr_db in snrs_db:
            check()
            frame = draw(jnp.uint32(study.seed), jnp.float32(snr_db))
            by_name = split(of_classical(covariances, frame))
            if snr_db in told:
                by_name["model"] = of_model(params, frame)
            for name, values in jax.device_get(by_name).items():
                scores.setdefault(name, []).append(values)
            progress.advance(1, f"{condition.words}, {snr_db:g} dB")
        by_receiver = {
            name: stack_over_snr(test_set, told if name == "model" else snrs_db, values)
            for name, values in scores.items()
        }
        at_reference = draw(jnp.uint32(study.seed), jnp.float32(REFERENCE_SNR_DB))
        found[condition.name] = Measured(hash_frame(at_reference), by_receiver)
    return found


def score_classical(
    config: link.LinkConfig, covariances: jax.Array, frame: link.Frame
) -> FrameScores:
    """Scores the ``CLASSICAL`` receivers, made for a link, on frames of any condition.

    Args:
        config: the link they are made for.
        covariances: complex64[2, n_subcarriers, n_subcarriers], of the link's ensemble and of the
            condition's.
        frame: the frames.

    Returns:
        float32[5, n_frames] each.
    """
    over_time = (receivers.average_over_time(config), receivers.interpolate_over_time(config))

    def scores(frame: link.Frame) -> FrameScores:
        aligned = receivers.align_timing(config, frame.grid, frame.csi)
        estimates = [
            receivers.estimate_lmmse(config, aligned.csi, frame.n0, covariance, weights)
            for covariance in covariances
            for weights in over_time
        ]
        estimates.append(receivers.estimate_genie(frame, aligned.ramp))

        def of_one(estimate: receivers.ChannelEstimate) -> FrameScores:
            return score_estimates(config, frame, aligned, Estimates(estimate, estimate))[0]

        # One after the other through one demapper, which takes longest to compile.
        each = jax.lax.map(of_one, jax.tree.map(lambda *x: jnp.stack(x), *estimates))
        return jax.tree.map(lambda x: x.T, each)

    return jax.tree.map(lambda x: x.T, in_chunks(scores, frame))


def split(scores: FrameScores) -> dict[str, FrameScores]:
    """Scores by receiver."""
    return {
        name: FrameScores(*(values[i] for values in scores)) for i, name in enumerate(CLASSICAL)
    }


def aligned_covariance(config: link.LinkConfig, frame: link.Frame) -> jax.Array:
    """E[h h^H] over frames, complex64[n_subcarriers, n_subcarriers], of the channel as a receiver
    of ``config`` has it after taking out the timing; as ``receivers.ensemble_covariance``."""
    aligned = receivers.align_timing(config, frame.grid, frame.csi)
    h = jnp.mean(frame.channel, axis=1) * aligned.ramp
    return jnp.einsum("bi,bj->ij", h, jnp.conj(h)) / h.shape[0]


def _ensemble(
    draw: Callable[[jax.Array, jax.Array], link.Frame],
    covariance_of: Callable[[link.Frame], jax.Array],
    study: ConditionStudy,
    n_frames: int,
) -> jax.Array:
    """Covariance over an ensemble that is disjoint from the test frames, at SNRs from 0 to 30 dB,
    as training has them."""
    n_draws = -(-COVARIANCE_FRAMES // n_frames)
    rng = np.random.default_rng([study.seed, COVARIANCE_STREAM])
    seeds = 2**31 + rng.choice(2**30, n_draws, replace=False)
    snrs_db = np.linspace(0.0, 30.0, n_draws)
    parts = [
        covariance_of(draw(jnp.uint32(seed), jnp.float32(snr_db)))
        for seed, snr_db in zip(seeds, snrs_db, strict=True)
    ]
    return jnp.mean(jnp.stack(parts), axis=0)
