"""From points to answers: each declared contrast at equal bytes, paired by seed, corrected."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from wfm_jax.results import holm, sign_flips
from wfm_jax.results.equal_bytes import Curve, at_sizes, common_sizes, curve
from wfm_jax.results.order_contrasts import LEVEL, MARGIN, SIZES, Contrast
from wfm_jax.results.order_points import (
    Point,
    Unit,
    Weaker,
    of_arm,
    shuffled,
    units,
    weaker_stages,
)
from wfm_jax.results.sign_flips import Interval

Verdict = Literal["established", "equivalent", "not established", "not run"]


class Panel(NamedTuple):
    """The arms of one structure over file size.

    Attributes:
      structure: of pruning.
      log2_bytes: float64[sizes].
      a, b: scores, float64[seeds, sizes].
    """

    structure: str | None
    log2_bytes: np.ndarray
    a: np.ndarray
    b: np.ndarray

    @property
    def size_bytes(self) -> np.ndarray:
        """float64[sizes], rising."""
        return np.exp2(self.log2_bytes)

    @property
    def differences(self) -> np.ndarray:
        """a minus b, float64[seeds, sizes]."""
        return self.a - self.b

    def band(self) -> list[Interval]:
        """95 % intervals of the mean difference, of all sizes at once."""
        return sign_flips.band(self.differences, 1.0 - LEVEL)

    def indifferent_from(self) -> float | None:
        """Bytes of the smallest file from which on the band stays within the margin, if any."""
        outside = [i for i, interval in enumerate(self.band()) if not interval.within(MARGIN)]
        first = max(outside, default=-1) + 1
        return float(self.size_bytes[first]) if first < self.log2_bytes.size else None


class Estimate(NamedTuple):
    """A contrast, seed by seed.

    Attributes:
      units: the seeds that have both arms at every operating point.
      missing: how many seeds of the study have not.
      panels: one a structure that both arms have.
      failed: in how many seeds a file of either arm diverged.
      why: empty, or why there is nothing to compare.
    """

    units: tuple[Unit, ...]
    missing: int
    panels: tuple[Panel, ...]
    failed: tuple[int, int] = (0, 0)
    why: str = ""

    @property
    def differences(self) -> np.ndarray:
        """float64[seeds]: a minus b, mean over sizes, then over structures."""
        if not self.panels:
            return np.empty(0)
        return np.mean([panel.differences.mean(axis=1) for panel in self.panels], axis=0)


class Answer(NamedTuple):
    """What is known of a contrast; intervals are over seeds, in the units of the score.

    Attributes:
      contrast: the question.
      estimate: its seeds.
      difference: a minus b, mean over seeds.
      interval: of 95 %, of this contrast alone.
      together: intervals that hold for all contrasts at once, 95 % (Bonferroni). Holm's correction
        finds more: a sign may be established and zero still be in here, close to an end.
      p, p_holm: alone, and corrected for all contrasts.
      verdict: ``established`` (p_holm below the level), ``equivalent`` (``together`` within the
        margin, and not established), ``not established``, or ``not run``.
    """

    contrast: Contrast
    estimate: Estimate
    difference: float
    interval: Interval
    together: Interval
    p: float
    p_holm: float
    verdict: Verdict

    @property
    def negligible(self) -> bool:
        """Whether the difference is within the margin, whatever its sign."""
        return self.together.within(MARGIN)


def answers(of: Sequence[Point], contrasts: Sequence[Contrast]) -> list[Answer]:
    """All contrasts, tested as one family; those that were not run count in it."""
    weaker, everyone = weaker_stages(of), units(of)
    estimates = [_estimate(of, contrast, weaker, everyone) for contrast in contrasts]
    p = [sign_flips.p_value(estimate.differences) for estimate in estimates]
    corrected = holm.adjusted(p)
    together = 1.0 - LEVEL / len(contrasts)
    found = []
    for contrast, estimate, own, all_own in zip(contrasts, estimates, p, corrected, strict=True):
        differences = estimate.differences
        at_once = sign_flips.interval(differences, together)
        verdict: Verdict = "not established"
        if not differences.size:
            verdict = "not run"
        elif all_own < LEVEL:
            verdict = "established"
        elif at_once.within(MARGIN):
            verdict = "equivalent"
        found.append(
            Answer(
                contrast,
                estimate,
                float(differences.mean()) if differences.size else math.nan,
                sign_flips.interval(differences, 1.0 - LEVEL),
                at_once,
                own,
                float(all_own),
                verdict,
            )
        )
    return found


def curves(of: Sequence[Point]) -> dict[Unit, Curve]:
    """The curve of each seed that has a size and a score at every operating point of an arm."""
    wanted = {(p.block.weight_bits, p.block.sparsity) for p in of}
    by_unit: dict[Unit, list[Point]] = {}
    for point in of:
        if math.isfinite(point.size_bytes + point.score):
            by_unit.setdefault(point.block.unit, []).append(point)
    return {
        unit: curve([p.size_bytes for p in found], [p.score for p in found])
        for unit, found in by_unit.items()
        if {(p.block.weight_bits, p.block.sparsity) for p in found} == wanted
    }


def established_when_shuffled(
    of: Sequence[Point], contrasts: Sequence[Contrast], n: int, *, seed: int
) -> int:
    """In how many of n runs with exchanged labels anything is established; at a level of 5 % that
    is to be expected in at most one of twenty.

    Args:
        of: the points.
        contrasts: the family.
        n: runs.
        seed: of the exchanges.
    """
    rng = np.random.default_rng(seed)
    runs = (answers(shuffled(of, rng), contrasts) for _ in range(n))
    return sum(any(answer.verdict == "established" for answer in run) for run in runs)


def _estimate(
    of: Sequence[Point], contrast: Contrast, weaker: Weaker, everyone: list[Unit]
) -> Estimate:
    arms = [of_arm(of, arm, weaker) for arm in (contrast.a, contrast.b)]
    sides = [{key: curves(own) for key, own in arm.items()} for arm in arms]
    failed = (_failed(arms[0]), _failed(arms[1]))
    structures = set.intersection(*({structure for _, structure in side} for side in sides))
    if not structures:
        names = (contrast.a_name, contrast.b_name)
        lacking = [name for name, side in zip(names, sides, strict=True) if not side] or names
        return Estimate((), len(everyone), (), failed, f"no rows of {' and of '.join(lacking)}")
    taken = [{key: own for key, own in side.items() if key[1] in structures} for side in sides]
    complete = [set(own) for side in taken for own in side.values()]
    having = tuple(unit for unit in everyone if all(unit in own for own in complete))
    panels = []
    for structure in sorted(structures, key=str):
        of_sides = [[own for key, own in side.items() if key[1] == structure] for side in taken]
        sizes = common_sizes([own[u] for side in of_sides for own in side for u in having], SIZES)
        if not sizes.size:
            break
        a, b = (
            np.array([np.mean([at_sizes(own[u], sizes) for own in side], axis=0) for u in having])
            for side in of_sides
        )
        panels.append(Panel(structure, sizes, a, b))
    else:
        return Estimate(having, len(everyone) - len(having), tuple(panels), failed)
    why = "the arms have no sizes in common" if having else "no seed has both arms"
    return Estimate((), len(everyone), (), failed, why)


def _failed(arm: dict[tuple, list[Point]]) -> int:
    """Seeds in which a file of the arm has no score."""
    return len({p.block.unit for own in arm.values() for p in own if math.isnan(p.score)})
