"""Successive halving: who is left behind by others of the same size on the way drops out.

Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization"
(2016): everybody trains a little, the best part of them goes on, and so on; here inside a cohort,
whose survivors train on as before. Configurations compete where their files would be about as
large: the same student, bits, sparsity and form. What got them there (order, temperature, learning
rate, rounding, scores) is what is searched.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from wfm_jax.sweep.configuration import Configuration

_OF_P = ("sparsity", "structure")
_OF_Q = (
    *("weight_bits", "act_bits", "table_bits", "vector_bits"),
    *("allocation", "quant_format", "group_size"),
)


class Halving(NamedTuple):
    """When configurations drop out, and how many.

    Attributes:
        factor: at each rung one in so many goes on, at least one.
        rungs: how many there are: at steps / factor^rungs, ..., steps / factor.
    """

    factor: int = 3
    rungs: int = 2

    def steps(self, total: int) -> tuple[int, ...]:
        """Optimizer steps after which a configuration of ``total`` is at a rung."""
        powers = range(self.rungs, 0, -1)
        steps = (math.ceil(total / self.factor**power) for power in powers)
        return tuple(dict.fromkeys(step for step in steps if step < total))

    def cost(self, n: int, total: int) -> int:
        """Configuration-steps of ``n`` configurations that compete, of ``total`` steps each."""
        spent = before = 0
        for rung in (*self.steps(total), total):
            spent, before = spent + n * (rung - before), rung
            n = math.ceil(n / self.factor)
        return spent

    def left(self, n: int, total: int) -> int:
        """How many of ``n`` that compete come to the end."""
        for _ in self.steps(total):
            n = math.ceil(n / self.factor)
        return n


def check(halving: Halving) -> None:
    """Raises ValueError for a factor below 2 or no rung."""
    if halving.factor < 2:
        raise ValueError(f"factor must be at least 2, got {halving.factor}")
    if halving.rungs < 1:
        raise ValueError(f"rungs must be at least 1, got {halving.rungs}")


def contest(configuration: Configuration, position: int) -> tuple[Any, ...]:
    """What two configurations have in common that compete with each other."""
    stages, asked = configuration.stages, configuration
    shaping = [
        tuple(sorted(s for s in part if s in ("P", "Q")))
        for part in (stages[:position], stages[position:])
    ]
    rebuilding = asked.rebuilding
    fields = _OF_P if "P" in (*stages, *rebuilding) else ()
    fields += _OF_Q if "Q" in stages else ()
    fields += ("rank_share",) if "L" in rebuilding else ()
    same = tuple((name, getattr(asked, name)) for name in fields)
    how = (asked.student, asked.init == "scratch", asked.seed, rebuilding, asked.shrinks_last)
    return (*how, *shaping, same, asked.steps, configuration.stage_steps()[:position])


def at_a_rung(
    halving: Halving,
    configurations: Sequence[Configuration],
    position: Sequence[int],
    before: int,
    now: int,
) -> list[bool]:
    """Who came to a rung between two moments of a round.

    Args:
        halving: where the rungs are.
        configurations: those that train together.
        position: the stage that each is at.
        before, now: steps into the round.
    """
    came = []
    for configuration, at in zip(configurations, position, strict=True):
        was, is_now = (configuration.done_steps(at, step) for step in (before, now))
        came.append(any(was < rung <= is_now for rung in halving.steps(configuration.steps)))
    return came


def survivors(
    halving: Halving,
    configurations: Sequence[Configuration],
    position: Sequence[int],
    came: Sequence[bool],
    losses: np.ndarray,
) -> list[bool]:
    """Who goes on: all that are at no rung, and of each contest the best.

    Args:
        halving: how many go on.
        configurations: those that train together.
        position: the stage that each is at.
        came: who is at a rung.
        losses: of each, [n]; what is not finite comes last.
    """
    stay = [not here for here in came]
    contests: dict[Any, list[int]] = {}
    for i, here in enumerate(came):
        if here:
            contests.setdefault(contest(configurations[i], position[i]), []).append(i)
    ranked = np.where(np.isfinite(losses), losses, np.inf)
    for members in contests.values():
        best = sorted(members, key=lambda i: ranked[i])[: math.ceil(len(members) / halving.factor)]
        for i in best:
            stay[i] = True
    return stay
