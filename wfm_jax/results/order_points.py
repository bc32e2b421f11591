"""Rows of an order study as points of curves: of which seed, of which arm, size and score."""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from wfm_jax.results import naming
from wfm_jax.results.naming import Row, number
from wfm_jax.results.order_contrasts import Arm, Score
from wfm_jax.results.order_rows import StudyRows


class Unit(NamedTuple):
    """What is drawn anew: a seed of the data stream, under its teacher."""

    teacher: str
    seed: int


class Label(NamedTuple):
    """What an arm is told from another by, in a block of rows alike in all else."""

    pipeline: str
    init: str = "teacher"
    score_on: str = "current"
    train_from: str = "snapped"


class Block(NamedTuple):
    """What is alike in the rows whose labels could be exchanged: the seed, and what the file costs.

    ``weight_bits`` and ``sparsity`` are None where the pipeline has no ``Q`` or no ``P``.
    """

    unit: Unit
    student: str
    recovery: bool
    structure: str | None
    weight_bits: float | None
    sparsity: float | None


class Point(NamedTuple):
    """A measured file; ``score`` is NaN where the configuration diverged or has none."""

    block: Block
    label: Label
    size_bytes: float
    score: float


def points(study: StudyRows, score: Score) -> list[Point]:
    """The points of a study. A row that no seed acts on counts for every seed of its teacher.

    Raises:
        ValueError: a share of the teacher is asked for, and a teacher's reference rows are missing.
    """
    seeds: dict[str, set[int]] = {}
    for row in study.compared:
        if row["seed"] is not None:
            seeds.setdefault(row["teacher_hash"], set()).add(row["seed"])
    ends = {teacher: _ends(study.rows, teacher, score) for teacher in seeds} if score.share else {}
    found = []
    for row in study.compared:
        teacher = row["teacher_hash"]
        of = sorted(seeds.get(teacher, ())) if row["seed"] is None else [row["seed"]]
        for seed in of:
            value = _value(row, score, ends.get(teacher))
            found.append(_point(row, Unit(teacher, seed), value))
    return found


def units(of: Iterable[Point]) -> list[Unit]:
    """All seeds, in order."""
    return sorted({point.block.unit for point in of})


def shuffled(of: Sequence[Point], rng: np.random.Generator) -> list[Point]:
    """The points with their labels exchanged at random within every block."""
    blocks: dict[Block, list[Point]] = {}
    for point in of:
        blocks.setdefault(point.block, []).append(point)
    return [
        point._replace(label=alike[i].label)
        for alike in blocks.values()
        for point, i in zip(alike, rng.permutation(len(alike)), strict=True)
    ]


def of_arm(of: Iterable[Point], arm: Arm, weaker: "Weaker") -> dict[tuple, list[Point]]:
    """The points of an arm, by curve: pipeline (or where ``P`` and ``Q`` stand in it) and
    structure.

    Args:
        of: points.
        arm: what to take.
        weaker: as :func:`weaker_stages` says it.
    """
    found: dict[tuple, list[Point]] = {}
    for point in of:
        block, label = point.block, point.label
        fits = label.pipeline in arm.pipelines and block[1:3] == (arm.student, arm.recovery)
        if not fits or label[1:] != (arm.init, arm.score_on, arm.train_from):
            continue
        name = label.pipeline
        if arm.order != "any":
            key = (block.student, block.structure, block.weight_bits, block.sparsity)
            first = next(stage for stage in name.split("-") if stage in ("P", "Q"))
            is_weaker_first = weaker.get(key) == first
            if key not in weaker or is_weaker_first != (arm.order == "weaker first"):
                continue
            name = "-".join("." if stage in ("P", "Q") else stage for stage in name.split("-"))
        found.setdefault((name, block.structure), []).append(point)
    return found


Weaker = dict[tuple[str, str | None, float | None, float | None], Literal["P", "Q"]]
"""The weaker stage by student, structure, bits and sparsity."""


def weaker_stages(of: Iterable[Point]) -> Weaker:
    """Which of ``P`` and ``Q`` damages less alone, without training, mean over all seeds.

    Points whose single stages were not measured are left out.
    """
    alone: dict[tuple, list[float]] = {}
    for point in of:
        block, label = point.block, point.label
        if not block.recovery and label.pipeline in ("P", "Q") and label.init == "teacher":
            key = (label.pipeline, *_stripped(block))
            alone.setdefault(key, []).append(point.score)
    means = {key: float(np.mean(scores)) for key, scores in alone.items()}
    weaker: Weaker = {}
    pruned = [key for key in means if key[0] == "P"]
    quantized = [key for key in means if key[0] == "Q"]
    for p, q in itertools.product(pruned, quantized):
        (_, student, structure, _, sparsity), (_, other, _, bits, _) = p, q
        if student == other and math.isfinite(means[p] - means[q]):
            better = "P" if means[p] > means[q] else "Q"
            weaker[student, structure, bits, sparsity] = better
    return weaker


def _stripped(block: Block) -> tuple:
    return block.student, block.structure, block.weight_bits, block.sparsity


def _point(row: Row, unit: Unit, score: float) -> Point:
    block = Block(
        unit,
        naming.student_size(row),
        bool(row["recovery_steps"]),
        row["structure"],
        row["weight_bits"],
        row["sparsity"],
    )
    label = Label(
        row["pipeline"],
        row["init"] or "teacher",
        row["score_on"] or "current",
        row["train_from"] or "snapped",
    )
    return Point(block, label, number(row, "size_bytes"), score)


def _value(row: Row, score: Score, ends: tuple[float, float] | None) -> float:
    """Larger is better, whatever the column says; NaN where there is nothing."""
    value = math.nan if naming.diverged(row) or naming.dropped(row) else number(row, score.column)
    if ends is not None:
        null, teacher = ends
        kept = 100.0 * (value - null) / (teacher - null)
        return kept if math.isnan(kept) else max(kept, 0.0)
    if value < score.least:
        value = score.least
    return score.factor * (-value if score.smaller_is_better else value)


def point_worth(study: StudyRows, score: Score) -> dict[str, float]:
    """What a point of a share is worth under each teacher, in units of the score's column."""
    found = {}
    for teacher in sorted({row["teacher_hash"] for row in study.compared}):
        null, full = _ends(study.rows, teacher, score)
        found[teacher] = abs(full - null) / 100.0
    return found


def _ends(rows: Sequence[Row], teacher: str, score: Score) -> tuple[float, float]:
    own = [row for row in rows if row["teacher_hash"] == teacher]
    null, full = (
        number(naming.reference(own, name) or {}, score.column) for name in ("null", "teacher")
    )
    if not math.isfinite(null + full) or full == null:
        raise ValueError(
            f"column {score.column}: the reference rows teacher and null of teacher {teacher} are "
            "needed, with values that differ"
        )
    return null, full
