"""What a sweep will have to do: which configurations go together, and how much work they are."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from wfm_jax.sweep import halving
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.halving import Halving


@dataclasses.dataclass
class Start:
    """A cohort to run, from its beginning or from a checkpoint.

    Attributes:
        configurations: at most the group's width of them, of one seed.
        saved: the checkpoint's metadata.
        generation: of the checkpoint.
    """

    configurations: list[Configuration]
    saved: dict[str, Any] | None = None
    generation: int | None = None


def starts(
    pending: Sequence[Configuration], width: int, rule: Halving | None = None
) -> Iterator[Start]:
    """The pending configurations by seed, at most a width at a time.

    Where configurations drop out, those that compete stand side by side.
    """
    for seed in dict.fromkeys(c.seed for c in pending):
        of_seed = [c for c in pending if c.seed == seed]
        if rule is not None:
            order: dict[Any, int] = {}
            for c in of_seed:
                order.setdefault(halving.contest(c, 0), len(order))
            of_seed.sort(key=lambda c: order[halving.contest(c, 0)])
        for i in range(0, len(of_seed), width):
            yield Start(of_seed[i : i + width])


class Work(NamedTuple):
    """Configuration-steps to train, and configurations to finish."""

    train: float
    finish: float


def work_of(configurations: Sequence[Configuration], rule: Halving | None = None) -> Work:
    """What a cohort will take; those that drop out train a part and are not finished."""
    contests = Counter(halving.contest(c, 0) for c in configurations)
    train = finish = 0.0
    for configuration in configurations:
        steps = sum(configuration.stage_steps())
        n = contests[halving.contest(configuration, 0)]
        train += steps if rule is None else rule.cost(n, steps) / n
        finish += 1.0 if rule is None else rule.left(n, steps) / n
    return Work(train, finish)
