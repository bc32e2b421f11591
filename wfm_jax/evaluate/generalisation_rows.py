"""From models measured at a place to rows: what compression loses there, and what the place costs.

Losses are paired: teacher and model on the same resampled frames. Other frames stand behind another
place, so what is compared between places is a difference of independent estimates; where two places
draw alike its interval is wider than need be.
"""

from collections.abc import Sequence

import numpy as np

from wfm_jax.evaluate import metrics
from wfm_jax.evaluate.frames import REFERENCE_SNR_DB
from wfm_jax.evaluate.generalisation import Measured
from wfm_jax.evaluate.intervals import (
    independent_difference,
    interval,
    paired_difference,
    resample_weights,
)
from wfm_jax.evaluate.metrics import AMC_SNRS_DB, Metric
from wfm_jax.evaluate.over_snr import few_frames
from wfm_jax.evaluate.packed_models import PackedModel
from wfm_jax.evaluate.places import Place
from wfm_jax.evaluate.scores import Scored
from wfm_jax.evaluate.snr_loss import worst_snr_loss_db
from wfm_jax.results import naming
from wfm_jax.results.generalisation_rows import SCORES, SNR_LOSS, TEACHER, row_of
from wfm_jax.results.naming import number
from wfm_jax.results.rows import Row

N_RESAMPLES = 400
_METRICS: dict[str, Metric] = {name: getattr(metrics, name) for name in SCORES}
_EVENTS = {"amc_accuracy": ("amc_correct", AMC_SNRS_DB),
           "los_accuracy": ("los_correct", (REFERENCE_SNR_DB,))}  # fmt: skip

Estimate = tuple[float, float, float]
"""Value, and both ends of its 95 % interval."""


def rows_of_place(
    place: Place,
    measured: Measured,
    packed: Sequence[PackedModel],
    at_home: Sequence[Row],
    *,
    teacher_hash: str,
    seed: int,
) -> list[Row]:
    """Rows of ``results.generalisation_rows.COLUMNS``.

    Args:
        place: where.
        measured: of :func:`wfm_jax.evaluate.generalisation.measure_place`.
        packed: the models, in its order.
        at_home: rows of home; none while it is home that is measured.
        teacher_hash: of the teacher's weights.
        seed: of the resampling.
    """
    weights = resample_weights(place.test_set.strata, N_RESAMPLES, seed=seed)
    shared = {
        "place": place.name,
        "words": place.words,
        "frames": place.test_set.n_frames,
        "test_frames_hash": measured.frames_hash,
        "teacher_hash": teacher_hash,
    }
    tasks = _tasks(measured, weights)
    rows: list[Row] = []
    for name in tasks:
        row = shared | {"model": TEACHER, "model_hash": teacher_hash, "metric": name}
        rows.append(row | _of_teacher(name, measured.teacher, weights, _like(row, at_home)))
    for one, scored in zip(packed, measured.packed, strict=True):
        of = {"model": one.label, "model_hash": one.hash, "size_bytes": one.size_bytes}
        for name in (*tasks, SNR_LOSS):
            row = shared | of | {"metric": name}
            before = _like(row, at_home)
            rows.append(row | _of_packed(name, scored, measured.teacher, weights, before))
    return rows


def paired_loss(name: str, scored: Scored, teacher: Scored, weights: np.ndarray) -> Estimate:
    """What a model is worse by than the teacher on the same frames, whichever way its metric runs.

    Where few frames are told rightly by one of both alone, the interval of a share is no narrower
    than that of so few frames: two models that agree on a thousand are not known to agree on all.

    Args:
        name: of ``results.generalisation_rows.SCORES``.
        scored: the model.
        teacher: at the same SNRs at least.
        weights: of ``intervals.resample_weights``.
    """
    worse, better = (teacher, scored) if SCORES[name].larger_is_better else (scored, teacher)
    value, low, high = paired_difference(_METRICS[name], worse, better, weights)
    if name in _EVENTS:
        field, snrs_db = _EVENTS[name]
        differ = np.stack(
            [getattr(scored.at(s), field) != getattr(teacher.at(s), field) for s in snrs_db]
        )
        least = few_frames(np.any(differ, axis=0), float(differ.mean()), differ.shape[1])
        low, high = min(low, value - least), max(high, value + least)
    return value, low, high


def _tasks(measured: Measured, weights: np.ndarray) -> list[str]:
    """Metrics that the place can tell: no K where nothing has one, no LOS where all have it."""
    return [
        name
        for name in SCORES
        if (name != "los_accuracy" or measured.los_differs)
        and (name != "k_mae_db" or np.isfinite(_METRICS[name](measured.teacher, weights[:1])[0]))
    ]


def _of_teacher(name: str, teacher: Scored, weights: np.ndarray, at_home: naming.Row) -> Row:
    """Its score, and how much worse that is than at home."""
    value = _with_ends(_METRICS[name](teacher, weights))
    more = independent_difference(value, _stored(at_home, "value"))
    if SCORES[name].larger_is_better:
        more = -more[0], -more[2], -more[1]
    return _measured("value", value) | _measured("place_loss", more)


def _of_packed(
    name: str, scored: Scored, teacher: Scored, weights: np.ndarray, at_home: naming.Row
) -> Row:
    """A model's score and loss, and how much more that is than its loss at home."""
    if name == SNR_LOSS:
        row, loss = {}, _with_ends(worst_snr_loss_db(scored, teacher, weights))
    else:
        row = _measured("value", _with_ends(_METRICS[name](scored, weights)))
        loss = paired_loss(name, scored, teacher, weights)
    excess = independent_difference(loss, _stored(at_home, "loss"))
    return row | _measured("loss", loss) | _measured("excess", excess)


def _like(row: Row, found: Sequence[Row]) -> naming.Row:
    """The row of the same model and metric; an empty one where there is none."""
    return row_of(found, place=None, model_hash=row["model_hash"], metric=row["metric"])


def _with_ends(values: np.ndarray) -> Estimate:
    return float(values[0]), *interval(values)


def _stored(row: naming.Row, column: str) -> Estimate:
    """A number of a row with its interval, NaN where it has none."""
    return tuple(number(row, f"{column}{end}") for end in ("", "_low", "_high"))  # type: ignore


def _measured(column: str, estimate: Estimate) -> Row:
    return dict(zip((column, f"{column}_low", f"{column}_high"), estimate, strict=True))
