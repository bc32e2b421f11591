"""Whether what seeds say is the same under every teacher: seeds are nested in teachers."""

import math
from typing import NamedTuple

import numpy as np
import scipy.stats

from wfm_jax.results.order_contrasts import LEVEL
from wfm_jax.results.order_study import Estimate
from wfm_jax.results.sign_flips import Interval


class OverTeachers(NamedTuple):
    """Whether an answer is the same under each teacher.

    Attributes:
      means: by teacher, over its seeds.
      interval: of 95 % for teachers at large: the teacher is the unit, and seeds tell its mean.
      p_differ: that the teachers' means differ (one-way analysis of variance); NaN for too few.
    """

    means: dict[str, float]
    interval: Interval
    p_differ: float

    @property
    def agree(self) -> bool:
        """Whether the sign is the same under all."""
        return len({float(np.sign(mean)) for mean in self.means.values()}) == 1


def over_teachers(estimate: Estimate) -> OverTeachers:
    """The differences of an estimate by teacher."""
    by_teacher: dict[str, list[float]] = {}
    for unit, difference in zip(estimate.units, estimate.differences, strict=True):
        by_teacher.setdefault(unit.teacher, []).append(float(difference))
    means = {teacher: float(np.mean(own)) for teacher, own in by_teacher.items()}
    n, values = len(means), np.array(list(means.values()))
    reach = math.inf
    if n > 1:
        reach = float(scipy.stats.t.ppf(1.0 - LEVEL / 2, n - 1) * values.std(ddof=1) / n**0.5)
    center = float(values.mean()) if n else 0.0
    groups = [own for own in by_teacher.values() if len(own) > 1]
    differ = math.nan
    if len(groups) > 1 and any(np.ptp(own) > 0.0 for own in groups):
        differ = float(scipy.stats.f_oneway(*groups).pvalue)
    return OverTeachers(means, Interval(center - reach, center + reach), differ)
