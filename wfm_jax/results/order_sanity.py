"""Rows that must be the same, as a check of the engine that made them.

- Commuting: where masks are scored on latent weights and scales are absmax, rounding and masking
  commute, so ``Q-P`` is ``P-Q`` bit for bit.
- Degenerate: where the student starts as the teacher and alpha is 1, a KD stage before any P or Q
  has no gradient, so ``KD-P-Q`` is ``P-Q``. A sweep knows and stores one row of both.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from wfm_jax.results import naming
from wfm_jax.results.naming import Row, number

_SCORES = ("amc_accuracy", "gmi_fraction", "channel_nmse_db", "k_mae_db", "snr_mae_db", "loss")
_SAME = (
    *("teacher_hash", "seed", "student", "init", "structure", "distribution", "schedule", "score"),
    *("bound", "rounding", "group_size", "sparsity", "weight_bits", "table_bits", "vector_bits"),
    *("act_bits", "quant_format", "allocation", "recovery_steps"),
)
_IF_BOTH = ("steps", "learning_rate", "temperature", "alpha", "train_from")


class Sameness(NamedTuple):
    """Pairs of rows that must be the same.

    Attributes:
      name: what they show.
      exact: pairs in which nothing was trained: they must agree in every bit.
      trained: pairs that went through training, maybe in other programs.
      worst_exact, worst_trained: the largest difference of a score in them, 0 if they agree.
    """

    name: str
    exact: int
    trained: int
    worst_exact: float
    worst_trained: float

    @property
    def holds(self) -> bool:
        """Whether the pairs without training agree in every bit."""
        return self.worst_exact == 0.0


def sameness(rows: Sequence[Row]) -> list[Sameness]:
    """Both checks on all pairs that the rows have; no pairs where they have none."""
    rows = [row for row in naming.configurations(rows) if row["status"] == "ok"]
    return [
        _compared("Q-P scored on latent weights with absmax scales is P-Q", rows, _commuting),
        _compared(
            "KD-P-Q at alpha 1, student same, is P-Q (a sweep keeps one row for both)",
            rows,
            _degenerate,
        ),
    ]


def _commuting(row: Row) -> str | None:
    """The pipeline that this one must be the same as, if any."""
    stages = row["pipeline"].split("-")
    latent = row["score_on"] == "latent" and row["scale"] == "absmax"
    if not latent or stages[:2] != ["Q", "P"] or row["rounding"] not in (None, "nearest"):
        return None
    return "-".join(["P", "Q", *stages[2:]])


def _degenerate(row: Row) -> str | None:
    same = row["student"] == "same" and row["init"] == "teacher" and row["alpha"] == 1.0
    stages = row["pipeline"].split("-")
    return "-".join(stages[1:]) if same and stages[0] == "KD" and len(stages) > 1 else None


def _compared(name: str, rows: Sequence[Row], twin_of: Callable[[Row], str | None]) -> Sameness:
    by_key: dict[tuple, list[Row]] = {}
    for row in rows:
        by_key.setdefault((row["pipeline"], *(row[c] for c in _SAME)), []).append(row)
    worst: dict[bool, list[float]] = {True: [], False: []}
    for row in rows:
        if twin := twin_of(row):
            for other in by_key.get((twin, *(row[c] for c in _SAME)), ()):
                if row["scale"] == other["scale"] and _agree(row, other):
                    trained = bool({"KD", "FT"} & {*twin.split("-")}) or row["recovery_steps"]
                    worst[bool(trained)].append(_difference(row, other))
    exact, trained = worst[False], worst[True]
    return Sameness(
        name, len(exact), len(trained), max(exact, default=0.0), max(trained, default=0.0)
    )


def _agree(one: Row, other: Row) -> bool:
    """Whether settings are the same that both have."""
    return all(one[c] == other[c] for c in _IF_BOTH if None not in (one[c], other[c]))


def _difference(one: Row, other: Row) -> float:
    """The largest over scores; infinite where one has a score and the other has not."""
    values = np.array([[number(row, c) for c in _SCORES] for row in (one, other)])
    known = np.isfinite(values)
    if (known[0] != known[1]).any():
        return math.inf
    return float(np.max(np.abs(values[0] - values[1]), where=known[0], initial=0.0))
