"""How a row is called where people read it, and its numbers with gaps as NaN."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Row = Mapping[str, Any]
REFERENCES = ("teacher", "null", "ls", "lmmse", "genie")
MARKS = {
    "+r": "ends in recovery steps",
    "*": "from scratch",
    "^": "P scored the latent weights",
    "~": "trained from the latent weights",
}
USUAL = {
    "structure": "unstructured",
    "distribution": "global",
    "schedule": "one-shot",
    "score": "magnitude",
    "rounding": "nearest",
    "quant_format": "integer",
    "bound": "restricted",
}
_STAGE_OF = {
    "student": None,  # the views that it reads, where they are not all
    **dict.fromkeys(("structure", "distribution", "schedule", "score"), "P"),
    **dict.fromkeys(
        ("rounding", "quant_format", "bound", "scale", "group_size", "allocation"), "Q"
    ),
    **dict.fromkeys(("table_bits", "vector_bits"), "Q"),
    **dict.fromkeys(("feature_weight", "relation_weight", "attention_weight"), "KD"),
    **dict.fromkeys(("temperature", "alpha"), "KD"),
    "learning_rate": None,  # there is none where nothing trains
}
_NUMBERS = {  # the word for a number, and the usual number
    "temperature": ("T", 2.0),
    "alpha": ("α", 0.9),  # noqa: RUF001
    "learning_rate": ("lr", 1e-3),
    "table_bits": ("t", 8.0),
    "vector_bits": ("v", 16.0),
}
DASH = "–"  # noqa: RUF001


def number(row: Row, column: str) -> float:
    """The row's value as a float, NaN where it has none."""
    value = row.get(column)
    return math.nan if value is None else float(value)


def numbers(rows: Iterable[Row], column: str) -> np.ndarray:
    """A column as float64, NaN where a row has no value."""
    return np.array([number(row, column) for row in rows], np.float64)


def stages(row: Row) -> tuple[str, ...]:
    """The stages of the row's pipeline: ``("P", "Q", "KD")``."""
    return tuple((row.get("pipeline") or "").split("-"))


def operating_point(row: Row) -> str:
    """Weight bits and sparsity asked for, as far as the pipeline acts on them: ``4b 75%``; bits of
    activations where they are quantized, ``4b A8 75%``; of mixed precision the mean, ``~3.9b``; of
    low rank the share that is stored, ``r50% 4b``."""
    parts, acting = [], stages(row)
    if "L" in acting and row.get("rank_share") is not None:
        parts.append(f"r{100 * number(row, 'rank_share'):.3g}%")
    if "Q" in acting and row.get("allocation"):
        parts.append(f"~{number(row, 'mean_bits'):.2g}b")
    elif "Q" in acting and row.get("weight_bits") is not None:
        parts.append(f"{number(row, 'weight_bits'):g}b")
    if "Q" in acting and number(row, "act_bits") < 16:
        parts.append(f"A{number(row, 'act_bits'):g}")
    if "P" in acting and row.get("sparsity") is not None:
        parts.append(f"{100 * number(row, 'sparsity'):.3g}%")
    return " ".join(parts) or DASH


def ways(row: Row) -> list[str]:
    """How the pipeline acts, where that is not as usual: ``["2:4", "wanda", "gptq", "g32"]``."""
    return [word for column in _STAGE_OF if (word := _way(row, column))]


def shared_ways(rows: Iterable[Row]) -> list[str]:
    """The ways of all configurations that could have others."""
    rows, shared = configurations(rows), []
    for column in _STAGE_OF:
        found = {_way(row, column) for row in rows if _reads(row, column)}
        shared += found if len(found) == 1 else ()
    return [word for word in shared if word]


def _reads(row: Row, column: str) -> bool:
    """Whether the row's pipeline has the stage that a setting is of."""
    stage = _STAGE_OF[column]
    return stage in stages(row) if stage else row.get(column) is not None


def _way(row: Row, column: str) -> str:
    """The word for a setting that is not as usual; empty where it is, or is none of this row's."""
    value = row.get(column)
    if value is None or not _reads(row, column):
        return ""
    match column:
        case _ if column in _NUMBERS:
            word, usual = _NUMBERS[column]
            text = f"{value:.3g}"
            short = text[1:] if text.startswith("0.") else text
            return "" if value == usual else word + short
        case "student":
            return student_views(row)
        case "scale":
            return "learned" if value == "learned" else ""
        case "group_size":
            return f"g{value:g}"
        case "allocation":
            return "mixed"
        case "feature_weight" | "relation_weight" | "attention_weight":
            return f"{column.removesuffix('_weight')} {value:g}" if value else ""
        case _:
            return "" if value == USUAL[column] else value


def student_size(row: Row) -> str:
    """``same`` or ``smaller``, whatever it reads; ``same`` where nothing is said."""
    return (row.get("student") or "same").partition(":")[0]


def student_views(row: Row) -> str:
    """The views that the student reads, ``grid+csi``; empty where they are all."""
    return (row.get("student") or "").partition(":")[2]


def pipeline_name(row: Row) -> str:
    """The pipeline and its marks, as in :data:`MARKS`."""
    return (row.get("pipeline") or DASH) + "".join(marks(row))


def marks(row: Row) -> list[str]:
    """The marks of what is not at its default."""
    present = (
        bool(row.get("recovery_steps")),
        row.get("init") == "scratch",
        row.get("score_on") == "latent",
        row.get("train_from") == "latent",
    )
    return [mark for mark, there in zip(MARKS, present, strict=True) if there]


def point_name(row: Row) -> str:
    """Pipeline and operating point, ``P-Q-KD 4b/75%``, with the student unless it is the same, and
    with the ways that are not as usual."""
    point, student = operating_point(row).replace(" ", "/"), student_size(row)
    words = [
        pipeline_name(row),
        "" if point == DASH else point,
        "" if student == "same" else student,
        *ways(row),
    ]
    return " ".join(word for word in words if word)


def reference(rows: Iterable[Row], name: str) -> Row | None:
    """The reference row called ``name``, one of ``REFERENCES``; its name is in ``pipeline``."""
    return next((row for row in rows if is_reference(row) and row.get("pipeline") == name), None)


def is_reference(row: Row) -> bool:
    """Whether the row is a reference and no configuration."""
    return row.get("kind") == "reference"


def diverged(row: Row) -> bool:
    """Whether the configuration was given up; its scores mean nothing."""
    return row.get("status") == "diverged"


def dropped(row: Row) -> bool:
    """Whether successive halving dropped it on the way; it has no scores."""
    return row.get("status") == "dropped"


def configurations(rows: Iterable[Row]) -> list[Row]:
    """The rows that are no references."""
    return [row for row in rows if not is_reference(row)]


def quality_column(rows: Sequence[Row]) -> str:
    """What configurations are ranked by: ``retention`` if any has it, else the score of a model
    that is not ours, else ``gmi_fraction``."""
    for column in ("retention", "example_score"):
        if np.isfinite(numbers(configurations(rows), column)).any():
            return column
    return "gmi_fraction"
