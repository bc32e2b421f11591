"""How many configurations a program takes at a time: as many as memory holds, or is fastest."""

import os
import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from wfm_jax.train.strategy import Strategy

FEW = 8
SHARE = 0.9
WORTH = 1.1
_GIB = 2**30


class Fitted(NamedTuple):
    """A compiled program, and how its config axis runs."""

    compiled: Any
    strategy: Strategy


class Memory(NamedTuple):
    """Bytes of a compiled program on one device."""

    arguments: int
    temporaries: int

    @property
    def total(self) -> int:
        """While it runs; students are updated in place."""
        return self.arguments + self.temporaries


def memory_of(compiled: Any) -> Memory:
    """What ``memory_analysis()`` says; zeros where the backend says nothing."""
    analysis = compiled.memory_analysis()
    sizes = (getattr(analysis, f"{part}_size_in_bytes", 0) for part in ("argument", "temp"))
    return Memory(*sizes)


def memory_limit() -> int:
    """Bytes that a program may use: the allocator's, or the machine's memory on a CPU."""
    stats = jax.local_devices()[0].memory_stats() or {}
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(stats.get("bytes_limit", physical))


def check_fits(compiled: Any, width: int, at_a_time: int, limit_bytes: int) -> None:
    """Whether a program has room; a tenth of the memory is left free.

    Args:
        compiled: the program.
        width: configurations on a device.
        at_a_time: of these, how many run at once.
        limit_bytes: of a device.

    Raises:
        ValueError: it has not; one line.
    """
    needed, allowed = memory_of(compiled).total, SHARE * limit_bytes
    if needed > allowed:
        raise ValueError(
            f"{width} configurations, {at_a_time} at a time, need {needed / _GIB:.1f} GiB of "
            f"{allowed / _GIB:.1f} GiB: lower --max_width or --batch_size"
        )


def largest_that_fits(
    compile_for: Callable[[Strategy], Any], width: int, limit_bytes: int
) -> Fitted:
    """The program that takes as many configurations at a time as memory holds.

    A program of few at a time tells what one of them takes; the most that should fit by that is
    compiled then, and half as many where it does not.

    Args:
        compile_for: compiles the program of a strategy; RuntimeError where it does not fit.
        width: configurations on a device.
        limit_bytes: of a device; a tenth is left free.

    Raises:
        ValueError: not even few at a time fit; one line.
    """
    allowed = SHARE * limit_bytes
    few = min(FEW, width)
    small = compile_for(few)
    check_fits(small, width, few, limit_bytes)
    needed = memory_of(small)
    each = max(needed.temporaries / few, 1.0)
    at_a_time = min(width, int((allowed - needed.arguments) / each))
    while (at_a_time := largest_divisor(width, at_a_time)) > few:
        try:
            compiled = compile_for(at_a_time)
        except RuntimeError:  # XLA's, where its own planning finds no room
            compiled = None
        if compiled is not None and memory_of(compiled).total <= allowed:
            return Fitted(compiled, at_a_time)
        at_a_time //= 2
    return Fitted(small, few)


def largest_divisor(width: int, at_most: int) -> int:
    """The largest number up to ``at_most`` that divides ``width``: no chunk is cut short."""
    return next(n for n in range(max(1, min(width, at_most)), 0, -1) if width % n == 0)


def fastest(
    usual: Fitted, others: Sequence[Fitted], seconds: Callable[[Any], float], rounds: int = 3
) -> Fitted:
    """The program that takes the least time, in turns; another than the usual one has to win by a
    tenth.

    Args:
        usual: what is taken unless another is clearly faster.
        others: to compare.
        seconds: runs a compiled program and times it; the first run of each is not counted.
        rounds: of which the medians are compared.
    """
    candidates = [usual, *others]
    for candidate in candidates:
        seconds(candidate.compiled)
    times = [[seconds(c.compiled) for c in candidates] for _ in range(rounds)]
    typical = [statistics.median(column) for column in zip(*times, strict=True)]
    best = min(range(len(candidates)), key=lambda i: typical[i])
    return candidates[best] if typical[best] * WORTH < typical[0] else usual
