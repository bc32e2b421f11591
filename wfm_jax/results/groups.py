"""Result rows as the configurations they measure: seeds together, and what is comparable."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from wfm_jax.results import naming
from wfm_jax.results.naming import Row, number

_FACTORS = (
    *("init", "structure", "distribution", "score", "score_on", "train_from", "scale", "rounding"),
    *(
        "bound",
        "group_size",
        "sparsity",
        "weight_bits",
        "act_bits",
        "table_bits",
        "vector_bits",
        "quant_format",
        "learning_rate",
    ),
    *("student", "steps", "recovery_steps"),
)
_DEFAULTS = {"score_on": "current", "train_from": "snapped"}
_DISTILLATION = ("temperature", "alpha")


class Group(NamedTuple):
    """One configuration, its seeds averaged.

    Attributes:
      row: of its first seed.
      retention, half_width: mean over the seeds of the retention and of its 95 % half-width (the
        seeds share the test frames, so averaging them does not make the interval narrower).
      size_kb: mean file size.
      ratio: mean compression ratio, NaN if unknown.
    """

    row: Row
    retention: float
    half_width: float
    size_kb: float
    ratio: float

    def beats(self, other: "Group") -> bool:
        """Whether the lead exceeds both intervals, taken as independent.

        They are measured on the same frames, so this errs on the side of seeing no difference.
        """
        return self.retention - other.retention > math.hypot(self.half_width, other.half_width)


def group_rows(rows: Iterable[Row]) -> list[Group]:
    """The configurations that have a size and a retention, the smallest file first."""
    by_setting: dict[tuple, list[Row]] = {}
    for row in naming.configurations(rows):
        known = math.isfinite(number(row, "retention") + number(row, "size_bytes"))
        if known and not naming.diverged(row):
            key = (row.get("pipeline"), *setting(row), *(row.get(name) for name in _DISTILLATION))
            by_setting.setdefault(key, []).append(row)
    groups = [
        Group(
            same[0],
            _mean(same, "retention"),
            _mean([{"half": row.get("retention_ci95") or 0.0} for row in same], "half"),
            _mean(same, "size_bytes") / 1000,
            _mean(same, "compression_ratio"),
        )
        for same in by_setting.values()
    ]
    return sorted(groups, key=lambda group: group.size_kb)


def comparable(groups: Iterable[Group]) -> list[list[Group]]:
    """Groups that differ in pipeline (and how KD is done) alone, two or more together."""
    points: dict[tuple, list[Group]] = {}
    for group in groups:
        points.setdefault(setting(group.row), []).append(group)
    return [members for members in points.values() if len(members) > 1]


def setting(row: Row) -> tuple:
    """What was asked for besides the pipeline, the seed, and how KD is done.

    A factor that a pipeline does not have is null in its row and stands at its default here, so
    that ``P-Q-KD`` (where P sees no snapped weights) and ``Q-P-KD`` compare.
    """
    return tuple(row.get(name) or _DEFAULTS.get(name) for name in _FACTORS)


def _mean(rows: Sequence[Row], column: str) -> float:
    return sum(number(row, column) for row in rows) / len(rows)
