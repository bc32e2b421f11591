"""Spaces of configurations: lists of points, combined by list algebra.

A point maps names of :class:`Configuration`'s fields to values; a space is a list of points, so
that ``+`` joins two. ``grid``, ``zipped``, ``sampled`` and ``listed`` make spaces, ``cross``
multiplies them, ``configurations`` makes of a space what a sweep runs:

>>> from wfm_jax.sweep import space
>>> points = space.zipped(weight_bits=[8, 4], sparsity=[0.5, 0.75])
>>> rates = space.sampled(3, seed=7, learning_rate=space.LogUniform(1e-4, 1e-2))
>>> asked = space.cross(points, rates) + space.grid(weight_bits=[2], sparsity=[0.9])
>>> len(space.configurations(asked, pipeline="P-Q-KD"))
7

A name that is no field is an error wherever it is given.
"""

import dataclasses
import difflib
import itertools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from wfm_jax.sweep import pipeline
from wfm_jax.sweep.configuration import Configuration

Space = list[dict[str, Any]]

_FIELDS = {field.name: field.type for field in dataclasses.fields(Configuration)}
_OF_FEW_NUMBERS = ("weight_bits", "act_bits", "table_bits", "vector_bits")
CONTINUOUS = tuple(n for n, kind in _FIELDS.items() if kind is float and n not in _OF_FEW_NUMBERS)
"""The fields that can be drawn from a range."""


class Uniform(NamedTuple):
    """A number in [low, high), all equally likely."""

    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        return float(rng.uniform(self.low, self.high))


class LogUniform(NamedTuple):
    """A positive number in [low, high] whose logarithm is uniform."""

    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return min(max(value, self.low), self.high)


class Among(NamedTuple):
    """One of the values, all equally likely."""

    values: Sequence[Any]

    def draw(self, rng: np.random.Generator) -> Any:
        return self.values[int(rng.integers(len(self.values)))]


def grid(**axes: Sequence[Any]) -> Space:
    """Every combination of the axes' values, the first axis slowest; without axes, one empty point.

    Args:
        **axes: values by field.

    Raises:
        ValueError: an unknown field, or an axis that is no list or has no values.
    """
    _check_axes(axes)
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def zipped(**axes: Sequence[Any]) -> Space:
    """The first values of all axes, then the second ones, and so on.

    Args:
        **axes: values by field, equally many of each.

    Raises:
        ValueError: an unknown field, an axis that is no list or has no values, or axes that are not
            equally long.
    """
    _check_axes(axes)
    lengths = {name: len(values) for name, values in axes.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        raise ValueError(f"zipped axes must have equally many values: {listed}")
    return [dict(zip(axes, values, strict=True)) for values in zip(*axes.values(), strict=True)]


def sampled(n: int, *, seed: int, **draws: Uniform | LogUniform | Among) -> Space:
    """Points drawn at random, independently; more points of a seed begin with the same ones.

    Args:
        n: how many, at least 1.
        seed: of the draws, at least 0. A configuration's own seed is not drawn: cross it.
        **draws: what to draw from, by field. A range is for the fields of :data:`CONTINUOUS`.

    Raises:
        ValueError: an unknown field, nothing to draw, a range with no numbers in it, or one of a
            field that takes single values only.
    """
    check_fields(draws)
    if n < 1 or seed < 0 or not draws:
        raise ValueError(
            f"at least one point, a seed of at least 0 and a field to draw are needed, got {n} "
            f"points of seed {seed} and {len(draws)} fields"
        )
    for name, draw in draws.items():
        _check_draw(name, draw)
    rng = np.random.default_rng(seed)
    return [{name: draw.draw(rng) for name, draw in draws.items()} for _ in range(n)]


def listed(points: Iterable[Mapping[str, Any]]) -> Space:
    """The points as they are. Raises ValueError for an unknown field."""
    space = [dict(point) for point in points]
    check_fields(fields(space))
    return space


def cross(*spaces: Sequence[Mapping[str, Any]]) -> Space:
    """Every point of the first space with every one of the second, and so on, the first slowest.

    Raises:
        ValueError: an unknown field, or one that two of the spaces have.
    """
    named: set[str] = set()
    for own in map(fields, spaces):
        check_fields(own)
        if both := sorted(named & own):
            raise ValueError(f"{', '.join(both)} is in two factors: a field has one place")
        named |= own
    return [
        {name: value for point in points for name, value in point.items()}
        for points in itertools.product(*spaces)
    ]


def configurations(space: Iterable[Mapping[str, Any]], **base: Any) -> list[Configuration]:
    """The configuration of every point.

    Args:
        space: the points.
        **base: values of fields that a point does not have, before the defaults of
            :class:`Configuration`; its pipeline is ``none`` by default.

    Raises:
        ValueError: an unknown field, or values that a configuration does not take.
    """
    check_fields(base)
    points = listed(space)
    return [Configuration(**{"pipeline": pipeline.NONE, **base, **point}) for point in points]


def fields(space: Iterable[Mapping[str, Any]]) -> set[str]:
    """The fields that any point of a space has."""
    return {name for point in space for name in point}


def check_fields(names: Collection[str]) -> None:
    """Raises ValueError for a name that is no field of a configuration; it tells the closest."""
    for name in names:
        if name not in _FIELDS:
            closest = difflib.get_close_matches(name, _FIELDS, n=3, cutoff=0.0)
            raise ValueError(f"unknown field {name!r}: the closest are {', '.join(closest)}")


def _check_axes(axes: Mapping[str, Any]) -> None:
    check_fields(axes)
    for name, values in axes.items():
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise ValueError(f"{name} must be a list of at least one value, got {values!r}")


def _check_draw(name: str, draw: Uniform | LogUniform | Among) -> None:
    if isinstance(draw, Among):
        _check_axes({name: draw.values})
    elif name not in CONTINUOUS:
        raise ValueError(f"{name} is drawn among single values, not from a range")
    elif not (draw.low < draw.high and math.isfinite(draw.high - draw.low)):
        raise ValueError(f"{name} needs a lower and a higher number, got {draw.low}, {draw.high}")
    elif isinstance(draw, LogUniform) and not draw.low > 0.0:
        raise ValueError(f"{name} needs positive numbers for their logarithm, got {draw.low}")
