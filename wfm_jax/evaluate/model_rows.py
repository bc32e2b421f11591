"""From what was measured of a model and of classical receivers to rows.

Differences between receivers are paired: the same resampled frames on both sides.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from wfm_jax.evaluate.behind import behind_db
from wfm_jax.evaluate.calibration import EDGES, BitBins, log_odds
from wfm_jax.evaluate.frames import TestSet
from wfm_jax.evaluate.model_study import Measured
from wfm_jax.evaluate.over_snr import METRICS, ends, few_frames, half_widths, has_metric, over_snr
from wfm_jax.evaluate.scores import Scored

REFERENCES = ("lmmse", "lmmse_true", "genie")
CALIBRATED = ("model", "lmmse", "genie")
_MIN_WRONG = 10

Row = dict[str, Any]


def evaluation_rows(
    measured: Mapping[str, Measured], snrs_db: tuple[float, ...], weights: np.ndarray
) -> list[Row]:
    """Rows of ``results.evaluation_rows.COLUMNS`` without the hashes.

    Args:
        measured: of :func:`wfm_jax.evaluate.model_study.measure`.
        snrs_db: the SNRs to tell of; classical receivers may be measured at more.
        weights: float64[n_resamples, n_frames], the same for all.
    """
    found: list[Row] = []
    for name, (scored, bins) in measured.items():
        found += _metric_rows(name, scored, weights)
        found += _confusion_rows(name, scored, weights)
        if bins is not None:
            found += _claimed_rows(name, scored, bins, weights)
            found += _behind_rows(name, measured, weights)
    found += _difference_rows(measured, weights)
    return [row for row in found if row["snr_db"] in snrs_db]


def calibration_rows(
    measured: Mapping[str, Measured], snrs_db: tuple[float, ...], weights: np.ndarray
) -> list[Row]:
    """Rows of ``results.evaluation_rows.CALIBRATION_COLUMNS``: bins of the LLR that have bits.

    What is observed has an interval from ten wrong bits on.
    """
    found = []
    for name in CALIBRATED:
        scored, bins = measured[name]
        assert bins is not None
        for snr_db in snrs_db:
            at = BitBins(*(values[scored.row(snr_db)] for values in bins))
            for m, of in _constellations(scored.test_set):
                labels = {"receiver": name, "snr_db": snr_db, "bits_per_symbol": m}
                found += _bin_rows(labels, BitBins(*(x[of] for x in at)), weights[:, of])
    return found


def _bin_rows(labels: Row, bins: BitBins, weights: np.ndarray) -> Iterator[Row]:
    claimed, observed = log_odds(bins, weights)
    lows, highs = ends(observed)
    n_bits, wrong = bins.n_bits.sum(axis=0), bins.wrong.sum(axis=0)
    edges = (None, *EDGES, None)
    for i in np.flatnonzero(n_bits):
        told = _MIN_WRONG <= wrong[i] <= n_bits[i] - _MIN_WRONG
        yield labels | {
            "llr_from": edges[i],
            "llr_to": edges[i + 1],
            "bits": int(n_bits[i]),
            "wrong": int(wrong[i]),
            "claimed": claimed[0, i],
            "observed": observed[0, i],
            "observed_low": lows[i] if told else None,
            "observed_high": highs[i] if told else None,
        }


def _metric_rows(receiver: str, scored: Scored, weights: np.ndarray) -> Iterator[Row]:
    for metric in METRICS:
        for m, k_bin, of in _subsets(scored.test_set, joint=metric == "ber"):
            if (metric == "ber" and m is None) or not has_metric(scored, metric, of):
                continue
            values = over_snr(scored, metric, weights, of)[0]
            widths = half_widths(scored, metric, weights, of)
            for snr_db, value, width in zip(scored.snrs_db, values, widths, strict=True):
                yield _row(receiver, metric, snr_db, m, k_bin, of) | {"value": value, "ci95": width}


def _claimed_rows(
    receiver: str, scored: Scored, bins: BitBins, weights: np.ndarray
) -> Iterator[Row]:
    """``ber_claimed``: the bit error rate that a receiver's LLRs promise."""
    claimed = np.asarray(bins.claimed, np.float64).sum(axis=-1)
    for m, of in _constellations(scored.test_set):
        bits = weights[:, of] @ scored.scores.n_bits[:, of].T
        values = weights[:, of] @ claimed[:, of].T / bits
        for snr_db, numbers in zip(scored.snrs_db, _numbers(values), strict=True):
            yield _row(receiver, "ber_claimed", snr_db, m, None, of) | numbers


def _confusion_rows(receiver: str, scored: Scored, weights: np.ndarray) -> Iterator[Row]:
    """``decided_16`` of constellation 4: the share of QPSK frames that were taken for 16-QAM."""
    if not has_metric(scored, "amc_accuracy"):
        return
    for m, of in _constellations(scored.test_set):
        total = weights[:, of].sum(axis=1)
        for index, other in enumerate(scored.test_set.link.bits_per_symbol):
            decided: np.ndarray = scored.scores.modulation[:, of] == index
            shares = weights[:, of] @ decided.T / total[:, None]
            for i, numbers in enumerate(_numbers(shares)):
                width = few_frames(decided[i], numbers["value"], decided[i].size)
                numbers["ci95"] = max(numbers["ci95"], width)
                row = _row(receiver, f"decided_{2**other}", scored.snrs_db[i], m, None, of)
                yield row | numbers


def _behind_rows(
    receiver: str, measured: Mapping[str, Measured], weights: np.ndarray
) -> Iterator[Row]:
    """``behind_lmmse_db`` and the like: extra SNR for the bit error rate of a reference."""
    scored = measured[receiver].scored
    for name in REFERENCES:
        if name == receiver:
            continue
        for index, (m, of) in enumerate(_constellations(scored.test_set)):
            values = behind_db(scored, measured[name].scored, weights, index)
            for snr_db, numbers in zip(scored.snrs_db, _paired(values), strict=True):
                yield _row(receiver, f"behind_{name}_db", snr_db, m, None, of) | numbers


def _difference_rows(measured: Mapping[str, Measured], weights: np.ndarray) -> Iterator[Row]:
    """The model less classical receivers: accuracy less that of the likelihood classifier behind
    LMMSE and behind the true channel, and the channel error over LMMSE's."""
    model = measured["model"].scored
    for difference, metric, name in (
        ("amc_minus_likelihood", "amc_accuracy", "lmmse"),
        ("amc_minus_ceiling", "amc_accuracy", "genie"),
        ("nmse_over_lmmse_db", "nmse_db", "lmmse"),
    ):
        other = _at(measured[name].scored, model.snrs_db)
        for m, k_bin, of in _subsets(model.test_set):
            values = over_snr(model, metric, weights, of) - over_snr(other, metric, weights, of)
            for i, numbers in enumerate(_paired(values)):
                if METRICS[metric].events:  # frames that both tell, or neither, say nothing
                    differ = (model.scores.amc_correct != other.scores.amc_correct)[i, of]
                    widest = few_frames(differ, float(np.mean(differ)), differ.size)
                    numbers = _at_least(numbers, widest)
                yield _row("model", difference, model.snrs_db[i], m, k_bin, of) | numbers


def _numbers(values: np.ndarray) -> list[Row]:
    """Value and half-width of each column of resampled values."""
    return [{"value": row["value"], "ci95": row["ci95"]} for row in _paired(values)]


def _paired(values: np.ndarray) -> list[Row]:
    """The same with both ends, which of a difference tell its sign."""
    return [
        {"value": value, "ci95": 0.5 * (high - low), "low": low, "high": high}
        for value, low, high in zip(values[0], *ends(values), strict=True)
    ]


def _at_least(numbers: Row, width: float) -> Row:
    """The interval made as wide as ``width`` to either side."""
    value = numbers["value"]
    low, high = min(numbers["low"], value - width), max(numbers["high"], value + width)
    return {"value": value, "ci95": 0.5 * (high - low), "low": low, "high": high}


def _at(scored: Scored, snrs_db: tuple[float, ...]) -> Scored:
    """The receiver at some of its SNRs."""
    rows = [scored.row(snr_db) for snr_db in snrs_db]
    return Scored(
        scored.test_set, snrs_db, type(scored.scores)(*(values[rows] for values in scored.scores))
    )


def _row(
    receiver: str, metric: str, snr_db: float, m: int | None, k_bin: str | None, of: np.ndarray
) -> Row:
    return {
        "receiver": receiver,
        "metric": metric,
        "snr_db": snr_db,
        "bits_per_symbol": m,
        "k_bin": k_bin,
        "frames": int(np.count_nonzero(of)),
    }


def _constellations(test_set: TestSet) -> list[tuple[int, np.ndarray]]:
    orders = test_set.link.bits_per_symbol
    return [(m, test_set.modulation == index) for index, m in enumerate(orders)]


def _subsets(
    test_set: TestSet, *, joint: bool = False
) -> Iterator[tuple[int | None, str | None, np.ndarray]]:
    """Frames of all, of each constellation, of each K bin and, ``joint``, of each pair."""
    everything = np.ones(test_set.n_frames, bool)
    bins = [(name, test_set.k_bin == index) for index, name in enumerate(test_set.k_bins)]
    yield None, None, everything
    for m, of in _constellations(test_set):
        yield m, None, of
        for name, in_bin in bins if joint else ():
            yield m, name, of & in_bin
    for name, in_bin in bins:
        yield None, name, in_bin
