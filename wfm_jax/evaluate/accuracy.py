"""Blind modulation classifiers of every kind on the same frozen frames: accuracy over SNR."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.evaluate.classical import COVARIANCE_STREAM
from wfm_jax.evaluate.detection import Received
from wfm_jax.evaluate.estimators import classical_estimators
from wfm_jax.evaluate.frames import TestSet, test_links
from wfm_jax.evaluate.over_snr import half_widths, over_snr
from wfm_jax.evaluate.scores import Scored, no_scores
from wfm_jax.signal import classifiers, link, receivers

Decide = Callable[[link.Draw, link.Frame], jax.Array]
"""Decides on the modulation of frames, int[n_frames], index into ``LinkConfig.bits_per_symbol``."""

LIKELIHOOD, CUMULANTS, CEILING = "likelihood_lmmse", "cumulants_lmmse", "likelihood_genie"


def classical_classifiers(test_set: TestSet) -> dict[str, Decide]:
    """``likelihood_lmmse`` and ``cumulants_lmmse`` behind the LMMSE estimate that knows the
    ensemble's covariance, and ``likelihood_genie`` behind the true channel, the ceiling. All three
    know the noise variance; no network does."""
    config = test_set.link
    key = jax.random.fold_in(jax.random.key(test_set.seed), COVARIANCE_STREAM)
    estimators = classical_estimators(config, ("lmmse", "genie"), key=key)

    def behind(name: str, decide: Callable[..., jax.Array]) -> Decide:
        def of_frames(draw: link.Draw, frame: link.Frame) -> jax.Array:
            aligned = receivers.align_timing(config, frame.grid, frame.csi)
            estimates = estimators[name](config, Received(draw, frame, aligned))
            return decide(config, aligned.grid, estimates.demapped, frame.n0)

        return of_frames

    def by_likelihood(*received: Any) -> jax.Array:
        return jnp.argmax(classifiers.modulation_log_likelihood(*received), axis=-1)

    return {
        LIKELIHOOD: behind("lmmse", by_likelihood),
        CUMULANTS: behind("lmmse", classifiers.classify_by_cumulants),
        CEILING: behind("genie", by_likelihood),
    }


def score_classifiers(
    test_set: TestSet,
    snrs_db: Sequence[float],
    deciders: Mapping[str, Decide],
    *,
    check: Callable[[], None] = lambda: None,
) -> dict[str, Scored]:
    """Scores classifiers by name; all fields but ``modulation`` and ``amc_correct`` are NaN.

    Args:
        test_set: the frozen frames; those of one SNR are in memory at once.
        snrs_db: nominal SNRs.
        deciders: what decides.
        check: called between SNRs; what it raises ends the run.
    """
    draw_at = jax.jit(functools.partial(test_links, test_set))
    decide_all = jax.jit(lambda *links: {name: d(*links) for name, d in deciders.items()})
    found: dict[str, list[np.ndarray]] = {name: [] for name in deciders}
    for snr_db in snrs_db:
        check()
        for name, decided in decide_all(*draw_at(jnp.float32(snr_db))).items():
            found[name].append(np.asarray(decided, np.float32))
    snrs_db, scored = tuple(float(snr_db) for snr_db in snrs_db), {}
    for name, decisions in found.items():
        decided = np.stack(decisions)
        correct = (decided == test_set.modulation).astype(np.float32)
        scores = no_scores(decided.shape)._replace(modulation=decided, amc_correct=correct)
        scored[name] = Scored(test_set, snrs_db, scores)
    return scored


def accuracy_rows(
    receiver: str, params: int | None, scored: Scored, weights: np.ndarray
) -> list[dict[str, Any]]:
    """Accuracy of any receiver that was scored, a row an SNR.

    Args:
        receiver: its name.
        params: how many parameters it has learnt; None for a classical one.
        scored: of :func:`score_classifiers`, or a model's own.
        weights: float64[n_resamples, n_frames] of ``intervals.resample_weights``, the same for all.

    Returns:
        Rows of ``receiver``, ``params``, ``snr_db``, ``accuracy`` (0 to 1) and ``ci95``, the
        half-width of its 95 % interval (frames resampled; Wilson's where almost all are right).
    """
    values = over_snr(scored, "amc_accuracy", weights)[0]
    widths = half_widths(scored, "amc_accuracy", weights)
    return [
        {
            "receiver": receiver,
            "params": params,
            "snr_db": snr_db,
            "accuracy": float(value),
            "ci95": float(width),
        }
        for snr_db, value, width in zip(scored.snrs_db, values, widths, strict=True)
    ]


def accuracy_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of :func:`accuracy_rows` as text: a line an SNR, a column of 18 characters a receiver.

    Five receivers fit 100 columns.
    """
    by_place = {(row["receiver"], row["snr_db"]): row for row in rows}
    params = {row["receiver"]: row["params"] for row in rows}
    snrs_db = sorted({row["snr_db"] for row in rows})

    def cell(receiver: str, snr_db: float) -> str:
        row = by_place.get((receiver, snr_db))
        return "-" if row is None else f"{100 * row['accuracy']:.1f} ± {100 * row['ci95']:.1f}"

    lines = [f"{'SNR (dB)':>8}" + "".join(f"{name:>18}" for name in params)]
    told = ("-" if count is None else f"{count:,}" for count in params.values())
    lines += [f"{'params':>8}" + "".join(f"{text:>18}" for text in told)]
    for snr_db in snrs_db:
        lines += [f"{snr_db:8g}" + "".join(f"{cell(name, snr_db):>18}" for name in params)]
    return "\n".join(lines)
