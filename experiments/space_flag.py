"""A space of configurations as the value of a flag: terms, and the factors that each crosses."""

import json
import math
import os
import re
from typing import Any, NamedTuple

from experiments.field_text import field_value
from wfm_jax.sweep import space

MOST = 100_000
"""Configurations that a sweep may ask for."""

HELP = (
    "Other points than the axes' grids. A term is factors joined by ' x ':\n"
    "learning_rate=1e-4,1e-3 x seed=0,1\n"
    "weight_bits:sparsity=8:0.5,4:0.75 (zipped)\n"
    "20 of learning_rate=1e-4..1e-2 log, alpha=0..1, temperature=1|2|4 seed 7 (at random)\n"
    "@points.jsonl (a JSON object a line, all of the same fields).\n"
    "Terms add up, one each time the flag is given. Fields are named as in the result rows, values "
    "are texts as in the axes' flags. What a term does not name it takes from these flags, as "
    "their grid; what it names, they may not give too. A term that names one of weight_bits and "
    "sparsity is crossed with the other's values in --operating_points."
)
_FORMS = "FIELD=A,B or FIELD:FIELD=A:B,C:D or 'N of FIELD=LOW..HIGH, FIELD=A|B seed N' or @FILE"
_WITH_COLONS = ("structure", "allocation", "student")


class Term(NamedTuple):
    """A term of ``--space``: its text, and the spaces that are crossed."""

    text: str
    factors: tuple[space.Space, ...]

    @property
    def fields(self) -> set[str]:
        """The fields that it names."""
        return set().union(*map(space.fields, self.factors))

    @property
    def size(self) -> int:
        """How many points it has."""
        return math.prod(map(len, self.factors))


def term(text: str) -> Term:
    """Reads a term of the grammar of :data:`HELP`.

    Raises:
        ValueError, OSError: it is none, or its file is none; one line.
    """
    factors = tuple(_factor(part.strip()) for part in re.split(r"\s+x\s+", text.strip()))
    space.cross(*(factor[:1] for factor in factors))
    return Term(text, factors)


def _factor(text: str) -> space.Space:
    if text.startswith("@"):
        return _of_file(text[1:])
    if drawn := re.match(r"(\S+)\s+of\s+(.*)", text, re.DOTALL):
        return _drawn(*drawn.groups())
    names, equals, values = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is no factor: write {_FORMS}")
    axes = {name: [] for name in _distinct(names.split(":"))}
    for part in values.split(","):
        for name, value in zip(axes, _parts(tuple(axes), part.strip()), strict=True):
            axes[name].append(_value(name, value))
    return space.zipped(**axes)


def _parts(names: tuple[str, ...], text: str) -> list[str]:
    """A value for each name; surplus colons belong to the one field whose values may hold them."""
    parts = text.split(":")
    surplus = len(parts) - len(names)
    where = [i for i, name in enumerate(names) if name in _WITH_COLONS]
    if surplus > 0 and len(where) == 1:
        (i,) = where
        parts[i : i + surplus + 1] = [":".join(parts[i : i + surplus + 1])]
    if len(parts) != len(names):
        raise ValueError(f"{text!r} is not one value for each of {', '.join(names)}")
    return parts


def _drawn(count: str, rest: str) -> space.Space:
    draws, _, seed = rest.rpartition(" seed ")
    if not draws or not _is_whole(seed) or not _is_whole(count):
        raise ValueError(
            f"'{count} of {rest}' must begin with a number of points and end in a seed, like "
            "'20 of alpha=0..1 seed 7'"
        )
    if int(count) > MOST:
        raise ValueError(f"{int(count):,} points are drawn: at most {MOST:,}")
    pairs = [part.partition("=") for part in draws.split(",")]
    names = _distinct([name for name, _, _ in pairs])
    if "seed" in names:
        raise ValueError("seed is not drawn: write ' x seed=0,1' behind the points")
    of = {name: _draw(name, text.strip()) for name, (_, _, text) in zip(names, pairs, strict=True)}
    return space.sampled(int(count), seed=int(seed), **of)


def _draw(field: str, text: str) -> space.Uniform | space.LogUniform | space.Among:
    if ".." not in text or field == "allocation":
        return space.Among([_value(field, part.strip()) for part in text.split("|")])
    low, _, high = text.partition("..")
    kind = space.Uniform
    if high.endswith(" log"):
        kind, high = space.LogUniform, high.removesuffix(" log")
    return kind(_value(field, low.strip()), _value(field, high.strip()))


def _of_file(file: str) -> space.Space:
    if not os.path.isfile(file):
        raise ValueError(f"no such file: {file}")
    points = []
    with open(file, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    points.append(_point(line))
                except ValueError as error:
                    raise ValueError(f"line {number}: {error}") from None
            if points and points[-1].keys() != points[0].keys():
                raise ValueError(f"line {number} names other fields than the lines before")
            if len(points) > MOST:
                raise ValueError(f"it has more than {MOST:,} points")
    if not points:
        raise ValueError("it has no points")
    return space.listed(points)


def _point(line: str) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or not fields:
        raise ValueError('a JSON object is needed, like {"alpha": 0.5, "weight_bits": 4}')
    space.check_fields(fields)
    return {name: _of_json(name, value) for name, value in fields.items()}


def _of_json(field: str, value: Any) -> Any:
    if value is None:
        return _value(field, "none")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{field} must be a number, a text or null")
    return _value(field, str(value))


def _value(field: str, text: str) -> Any:
    try:
        return field_value(field, text)
    except ValueError as error:
        raise ValueError(f"{field}={text}: {error}") from None


def _distinct(names: list[str]) -> list[str]:
    names = [name.strip() for name in names]
    space.check_fields(names)
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{twice[0]} is there twice: a field has one place")
    return names


def _is_whole(text: str) -> bool:
    return text.isdecimal() and len(text) < 19
