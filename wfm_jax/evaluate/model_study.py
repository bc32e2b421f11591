"""A model beside classical receivers: every receiver on the same frozen frames, over SNR.

One program draws the frames of an SNR, one runs the classical receivers, one the model; a host loop
over SNRs hands them on. Each compiles once.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.evaluate import link_state
from wfm_jax.evaluate.calibration import BitBins, bin_bits
from wfm_jax.evaluate.chunks import in_chunks
from wfm_jax.evaluate.classical import COVARIANCE_STREAM, score_estimates
from wfm_jax.evaluate.detection import Estimates, Received
from wfm_jax.evaluate.estimation_bound import lmmse_bound
from wfm_jax.evaluate.estimators import classical_estimators
from wfm_jax.evaluate.frames import TestSet, test_links
from wfm_jax.evaluate.scores import FrameScores, Scored, no_scores, score_and_demap
from wfm_jax.model import ModelConfig, build
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.signal import link, receivers

CLASSICAL = ("ls", "lmmse", "lmmse_true", "data_aided", "genie")
TOLD_THE_MODULATION = ("data_aided",)
BEYOND_DB = (-5.0, -2.5, 2.5)
"""Where the classical receivers are measured beyond the ends, so that their curves can be read."""


@dataclasses.dataclass(frozen=True)
class ModelStudy:
    """What to measure.

    Attributes:
        test_set: the frozen frames.
        snrs_db: nominal SNRs, rising.
    """

    test_set: TestSet
    snrs_db: tuple[float, ...]

    def __post_init__(self):
        if not self.snrs_db or list(self.snrs_db) != sorted(set(self.snrs_db)):
            raise ValueError(f"snrs_db must be a rising sequence, got {self.snrs_db}")

    @property
    def reference_snrs_db(self) -> tuple[float, ...]:
        """``snrs_db`` and those beyond."""
        first, last = self.snrs_db[0], self.snrs_db[-1]
        low, lower, high = first + BEYOND_DB[0], first + BEYOND_DB[1], last + BEYOND_DB[2]
        return (low, lower, *self.snrs_db, high)


class Measured(NamedTuple):
    """One receiver: its scores, and its bits by their LLR, NumPy float32[n_snr, n_frames, n_bins];
    None for what has no LLRs."""

    scored: Scored
    bins: BitBins | None


def measure(
    study: ModelStudy,
    config: ModelConfig,
    params: Any,
    *,
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> dict[str, Measured]:
    """Measures ``model``, the ``CLASSICAL`` receivers, ``lmmse_bound`` (closed form of the channel
    error alone) and ``constant`` (the best constant answers to the link state).

    Args:
        study: what to measure; its link is the model's.
        config: the model.
        params: its parameters.
        progress: display.
        check: called between SNRs; what it raises ends the run.
    """
    progress, test_set = progress or Silent(), study.test_set
    draw_at = jax.jit(functools.partial(test_links, test_set))
    of_model = jax.jit(_model_program(config))
    of_classical = _classical_program(test_set)
    snrs_db = study.reference_snrs_db
    progress.start("evaluating", len(snrs_db))
    found: dict[str, list[tuple[FrameScores, BitBins]]] = {}
    labels = []
    for snr_db in snrs_db:
        check()
        draw, frame = draw_at(jnp.float32(snr_db))
        for name, values in of_classical(draw, frame).items():
            found.setdefault(name, []).append(jax.device_get(values))
        if snr_db in study.snrs_db:
            found.setdefault("model", []).append(jax.device_get(of_model(params, frame)))
            labels.append(link_state.labels(frame))
        progress.advance(1, f"{snr_db:g} dB")
    bound = lmmse_bound(test_set.link, jax.device_get(draw), study.snrs_db)
    bounded = no_scores(bound.error.shape)._replace(
        channel_error=bound.error, channel_power=np.broadcast_to(bound.power, bound.error.shape)
    )
    constant = link_state.constant_answers(labels)
    return {
        "model": _stacked(test_set, study.snrs_db, found.pop("model")),
        **{name: _stacked(test_set, snrs_db, values) for name, values in found.items()},
        "lmmse_bound": Measured(Scored(test_set, study.snrs_db, bounded), None),
        "constant": Measured(Scored(test_set, study.snrs_db, constant), None),
    }


def _model_program(config: ModelConfig) -> Callable[[Any, link.Frame], tuple]:
    apply = build(config, jax.random.key(0))[0]

    def program(params: Any, frame: link.Frame) -> tuple[FrameScores, BitBins]:
        def scores(frame: link.Frame) -> tuple[FrameScores, BitBins]:
            found, llr = score_and_demap(config, apply, params, frame)
            return found, bin_bits(config.link, frame, llr)

        return in_chunks(scores, frame)

    return program


def _classical_program(
    test_set: TestSet,
) -> Callable[[link.Draw, link.Frame], dict[str, tuple[FrameScores, BitBins]]]:
    config = test_set.link
    key = jax.random.fold_in(jax.random.key(test_set.seed), COVARIANCE_STREAM)
    estimators = classical_estimators(config, CLASSICAL, key=key)

    def scores(links: tuple[link.Draw, link.Frame]) -> tuple[FrameScores, BitBins]:
        draw, frame = links
        aligned = receivers.align_timing(config, frame.grid, frame.csi)
        received = Received(draw, frame, aligned)
        estimates = [estimate(config, received) for estimate in estimators.values()]

        def of_one(estimates: Estimates) -> tuple[FrameScores, BitBins]:
            found, llr = score_estimates(config, frame, aligned, estimates)
            return found, bin_bits(config, frame, llr)

        # One after the other through one demapper, which takes longest to compile.
        found = jax.lax.map(of_one, jax.tree.map(lambda *x: jnp.stack(x), *estimates))
        return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), found)

    program = jax.jit(lambda draw, frame: in_chunks(scores, (draw, frame)))

    def by_name(draw: link.Draw, frame: link.Frame) -> dict[str, tuple[FrameScores, BitBins]]:
        stacked, found = jax.device_get(program(draw, frame)), {}
        for i, name in enumerate(estimators):
            scores, bins = jax.tree.map(lambda x, i=i: x[:, i], stacked)
            if name in TOLD_THE_MODULATION:
                nan = np.full_like(scores.loss, np.nan)
                scores = scores._replace(modulation=nan, amc_correct=nan, loss=nan)
            found[name] = scores, bins
        return found

    return by_name


def _stacked(
    test_set: TestSet, snrs_db: tuple[float, ...], found: list[tuple[FrameScores, BitBins]]
) -> Measured:
    """Over SNR; what overflowed counts as missing."""

    def finite(*values: np.ndarray) -> np.ndarray:
        stacked = np.stack(values)
        return np.where(np.isfinite(stacked), stacked, np.nan)

    scores, bins = jax.tree.map(finite, *found)
    return Measured(Scored(test_set, snrs_db, scores), bins)
