"""From receivers measured under conditions to rows: what each loses, and who is ahead.

The *loss* of a receiver is the SNR at which it stands, less the SNR at which it would have the same
bit error rate under the baseline, read from its own curve there (``snr_loss``). A condition that
is easier than the baseline gives a negative loss; what it gives the genie is the condition's own
doing.

Frames of a condition and of the baseline are the same draws wherever both draw alike, and frame i
of one stands in the strata of frame i of the other: they are resampled together.
"""

from collections.abc import Mapping

import numpy as np

from wfm_jax.evaluate.behind import behind_db
from wfm_jax.evaluate.condition_study import Measured
from wfm_jax.evaluate.conditions import BASELINE
from wfm_jax.evaluate.frames import TestSet
from wfm_jax.evaluate.intervals import resample_weights
from wfm_jax.evaluate.over_snr import over_snr
from wfm_jax.evaluate.scores import FrameScores, Scored
from wfm_jax.evaluate.stacked import with_interval
from wfm_jax.results.rows import Row

MADE_FOR_THE_LINK = ("lmmse", "lmmse_interpolate")
METRICS = ("nmse_db", "amc_accuracy", "gmi_fraction")
N_RESAMPLES = 400


def rows_of_conditions(
    found: Mapping[str, Measured], snrs_db: tuple[float, ...], *, seed: int
) -> list[Row]:
    """Rows of ``results.condition_rows.COLUMNS`` without words and the model's hash.

    Args:
        found: of :func:`wfm_jax.evaluate.condition_study.measure`.
        snrs_db: the SNRs to tell of.
        seed: of the resampling.
    """
    rows: list[Row] = []
    baseline = found[BASELINE].receivers
    for name, (frames_hash, by_receiver) in found.items():
        strata = joint_strata(by_receiver["genie"].test_set, baseline["genie"].test_set)
        weights = resample_weights(strata, N_RESAMPLES, seed=seed)
        for receiver, scored in by_receiver.items():
            told = at_snrs(scored, snrs_db)
            for row in (
                *_of_all(told, weights),
                *_of_each(told, baseline[receiver], by_receiver, weights),
            ):
                of = {"condition": name, "receiver": receiver, "test_frames_hash": frames_hash}
                rows.append(of | row)
    return rows


def joint_strata(one: TestSet, other: TestSet) -> np.ndarray:
    """int[n_frames]: the strata of both, crossed. Raises ValueError for sets of different sizes."""
    if one.n_frames != other.n_frames:
        raise ValueError(f"test sets differ in size: {one.n_frames} and {other.n_frames} frames")
    pairs = np.stack([one.strata, other.strata], axis=1)
    return np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)


def at_snrs(scored: Scored, snrs_db: tuple[float, ...]) -> Scored:
    """The receiver at some of its SNRs. Raises ValueError where one was not measured."""
    rows = [scored.row(snr_db) for snr_db in snrs_db]
    return scored._replace(
        snrs_db=snrs_db, scores=FrameScores(*(values[rows] for values in scored.scores))
    )


def _of_all(told: Scored, weights: np.ndarray) -> list[Row]:
    return _with_metrics(told, weights, None, np.ones(told.test_set.n_frames, bool))


def _of_each(
    told: Scored, baseline: Scored, beside: dict[str, Scored], weights: np.ndarray
) -> list[Row]:
    """Rows of each constellation."""
    rows = []
    for modulation, m in enumerate(told.test_set.link.bits_per_symbol):
        of = told.test_set.modulation == modulation
        ber = over_snr(told, "ber", weights, of)
        loss = behind_db(told, baseline, weights, modulation)
        ahead = {
            name: -behind_db(told, beside[name], weights, modulation) for name in MADE_FOR_THE_LINK
        }
        rates = {
            name: over_snr(at_snrs(beside[name], told.snrs_db), "ber", weights[:1], of)[0]
            for name in MADE_FOR_THE_LINK
        }
        for i, row in enumerate(_with_metrics(told, weights, 2**m, of)):
            better = min(rates, key=lambda name, i=i: rates[name][i])
            rows.append(
                row
                | with_interval("ber", ber[:, i])
                | with_interval("loss_db", loss[:, i])
                | with_interval("ahead_db", ahead[better][:, i])
                | {"ahead_of": better}
            )
    return rows


def _with_metrics(
    told: Scored, weights: np.ndarray, constellation: int | None, of: np.ndarray
) -> list[Row]:
    """A row for each SNR."""
    values = {name: over_snr(told, name, weights, of) for name in METRICS}
    return [
        {"snr_db": snr_db, "constellation": constellation, "frames": int(of.sum())}
        | {
            column: value
            for name, over in values.items()
            for column, value in with_interval(name, over[:, i]).items()
        }
        for i, snr_db in enumerate(told.snrs_db)
    ]
