"""What else an order study's rows say, untested: every stage, and all arms at equal bytes."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from wfm_jax.results.equal_bytes import Curve, at_sizes, common_sizes
from wfm_jax.results.naming import DASH, MARKS
from wfm_jax.results.order_contrasts import PRIMARY, SIZES
from wfm_jax.results.order_points import Label, Point, Unit
from wfm_jax.results.order_study import curves


class Curves(NamedTuple):
    """An arm's curves by seed, and its name: the pipeline with the marks of its factors."""

    name: str
    by_unit: dict[Unit, Curve]


class Standing(NamedTuple):
    """An arm at equal bytes: its score, mean over sizes and seeds, and its spread over seeds."""

    name: str
    mean: float
    deviation: float
    seeds: int


def arm_curves(
    points: Sequence[Point], student: str, recovery: bool, structure: str
) -> list[Curves]:
    """Every arm of a student that prunes and quantizes, with the seeds that it has complete.

    Args:
        points: of the study.
        student: ``same`` or ``smaller``.
        recovery: whether the arm ends in recovery steps.
        structure: what its ``P`` removes together.
    """
    by_label: dict[Label, list[Point]] = {}
    for point in points:
        block, both = point.block, {"P", "Q"} <= {*point.label.pipeline.split("-")}
        if both and block[1:4] == (student, recovery, structure):
            by_label.setdefault(point.label, []).append(point)
    found = [Curves(name_of(label), curves(own)) for label, own in by_label.items()]
    return [own for own in found if own.by_unit]


def standings(arms: Sequence[Curves]) -> tuple[list[Standing], np.ndarray]:
    """The arms by their score at sizes that all reach, the best first, and these log2 sizes."""
    sizes = common_sizes([own for arm in arms for own in arm.by_unit.values()], SIZES)
    if not sizes.size:
        return [], sizes
    found = []
    for arm in arms:
        scores = [float(at_sizes(own, sizes).mean()) for own in arm.by_unit.values()]
        deviation = float(np.std(scores, ddof=1)) if len(scores) > 1 else math.nan
        found.append(Standing(arm.name, float(np.mean(scores)), deviation, len(scores)))
    return sorted(found, key=lambda own: -own.mean), sizes


def name_of(label: Label) -> str:
    """The pipeline, marked as everywhere: ``Q-P-KD^`` where P scored the latent weights."""
    there = ("init", "scratch", "*"), ("score_on", "latent", "^"), ("train_from", "latent", "~")
    return label.pipeline + "".join(
        mark for field, value, mark in there if getattr(label, field) == value
    )


def exploratory(points: Sequence[Point]) -> str:
    """Both tables of every student, in 100 columns."""
    settings = sorted({(p.block.student, p.block.structure) for p in points if p.block.structure})
    blocks = [
        f"Exploratory, untested. {PRIMARY.name} in points, mean and standard deviation over seeds.",
        "; ".join(f"{mark} {MARKS[mark]}" for mark in ("*", "^", "~")),
    ]
    for student, structure in settings:
        title = f"Student {student}, {structure}"
        for recovery in (False, True):
            if lines := _ranking(arm_curves(points, student, recovery, structure)):
                ending = "with recovery" if recovery else "without recovery"
                blocks.append("\n".join([f"{title}, {ending}", *lines]))
        if lines := list(_stages(points, student, structure)):
            heading = "  pipeline   point         kB  after each stage (each a run of its own)"
            blocks.append("\n".join([f"{title}, stage by stage", heading, *lines]))
    return "\n\n".join(blocks) + "\n"


def _ranking(arms: Sequence[Curves]) -> list[str]:
    found, sizes = standings(arms)
    if not found:
        return []
    low, high = np.exp2(sizes[[0, -1]]) / 1000
    return [
        f"  mean from {low:.3g} to {high:.3g} kB",
        *(f"  {own.name:<10} {own.mean:7.2f} ± {_text(own.deviation)}  seeds: {own.seeds}"
          for own in found),
    ]  # fmt: skip


def _stages(points: Sequence[Point], student: str, structure: str) -> Iterator[str]:
    """A line for each pipeline of three stages at each operating point."""
    known: dict[tuple, list[Point]] = {}
    for point in points:
        block, label = point.block, point.label
        fits = block.student == student and block.structure in (None, structure)
        if fits and label[1:] == Label("")[1:]:
            key = (label.pipeline, block.recovery, block.weight_bits, block.sparsity)
            known.setdefault(key, []).append(point)
    whole = [key for key in known if key[0].count("-") == 2 and None not in key and not key[1]]
    for name, _, bits, sparsity in sorted(whole, key=lambda key: (key[0], -key[2], key[3])):
        stages, parts = name.split("-"), []
        for n in range(1, len(stages) + 1):
            so_far = "-".join(stages[:n])
            at = (bits if "Q" in stages[:n] else None, sparsity if "P" in stages[:n] else None)
            parts.append(f"{stages[n - 1]} {_scores(known.get((so_far, False, *at), []))}")
        if recovered := known.get((name, True, bits, sparsity)):
            parts.append(f"+r {_scores(recovered)}")
        sizes = [p.size_bytes for p in known[name, False, bits, sparsity]]
        point = f"{bits:g}b {100 * sparsity:g}%"
        yield f"  {name:<10} {point:<9} {np.mean(sizes) / 1000:6.1f}  {'  '.join(parts)}"


def _scores(points: Sequence[Point]) -> str:
    scores = [point.score for point in points if math.isfinite(point.score)]
    if not scores:
        return f"{DASH:>6}"
    deviation = float(np.std(scores, ddof=1)) if len(scores) > 1 else math.nan
    return f"{np.mean(scores):6.2f} ± {_text(deviation)}"


def _text(deviation: float) -> str:
    return f"{deviation:.2f}" if math.isfinite(deviation) else f"{DASH:<4}"
