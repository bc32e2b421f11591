"""How the configuration axis runs: one after the other, all at once, or some at a time."""

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import jax

Strategy = Literal["map", "vmap"] | int
"""``map``: one configuration after the other; ``vmap``: all at once; a number: so many at a time,
one such chunk after the other."""

Result = TypeVar("Result")


def over(strategy: Strategy, one: Callable[[Any], Result], stacked: Any) -> Result:
    """``one`` of every configuration, stacked.

    Args:
        strategy: how the axis runs; results agree to float tolerance.
        one: from a configuration's arrays to its result.
        stacked: arrays with a leading config axis.
    """
    width = jax.tree.leaves(stacked)[0].shape[0]
    at_a_time = at_once(strategy, width)
    if at_a_time == 1:
        return jax.lax.map(one, stacked)
    if at_a_time == width:
        return jax.vmap(one)(stacked)
    return jax.lax.map(one, stacked, batch_size=at_a_time)


def at_once(strategy: Strategy, width: int) -> int:
    """Configurations of ``width`` whose temporaries are there at once.

    Raises:
        ValueError: a strategy that is none.
    """
    if strategy == "map":
        return 1
    if strategy == "vmap":
        return width
    if isinstance(strategy, str) or strategy < 1:
        raise ValueError(f"strategy must be map, vmap or a number from 1 on, got {strategy!r}")
    return min(strategy, width)
