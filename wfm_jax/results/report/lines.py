"""Files of JSON, one object a line, read without trust: what is damaged is left out and said."""

import json
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wfm_jax.results.rows import Column, complete_row

LONGEST = 4000  # characters of a text
_NESTED = 200  # of something that is no text and no number


def read_lines(path: pathlib.Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The objects of a file, and in words what was left out; the file is not touched.

    Args:
        path: of the file; one that cannot be read has no objects and says so.
    """
    try:
        *lines, rest = path.read_bytes().split(b"\n")
    except OSError as error:
        return [], [f"{path.name} cannot be read ({error.strerror or error})"]
    objects, damaged, notes = [], [], []
    for number, line in enumerate(lines, start=1):
        found = _object(line)
        if found is not None:
            objects.append(found)
        elif line.strip():
            damaged.append(number)
    if rest.strip():
        found = _object(rest)  # whole, and its newline is missing
        objects += [] if found is None else [found]
        notes += (
            [] if found is not None else [f"{path.name} ends in half a line, which is left out"]
        )
    if damaged:
        many = f"{len(damaged)} lines cannot be read and are left out, the first is {damaged[0]}"
        one = f"line {damaged[0]} cannot be read and is left out"
        notes.append(f"{path.name}: {one if len(damaged) == 1 else many}")
    return objects, notes


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def fitted(
    objects: Iterable[Mapping[str, Any]], columns: Sequence[Column]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Objects as rows of a schema, and in words how they differ from it.

    A column that an object lacks is None in its row. A value that the column does not hold is left
    out. Columns that the schema lacks are kept as they are, as far as they are texts and numbers.
    """
    rows, known = [], {column.name: column for column in columns}
    seen: set[str] = set()
    wrong: dict[str, None] = {}
    for found in objects:
        seen.update(found)
        own = {name: clean(found[name]) for name in found if name in known}
        try:
            row = complete_row(own, columns)
        except (ValueError, OverflowError):
            row = dict.fromkeys(known)
            for name, value in own.items():
                try:
                    row |= complete_row({name: value}, [known[name]])
                except (ValueError, OverflowError):
                    wrong[name] = None
        rows.append(row | {clean(name): clean(found[name]) for name in found if name not in known})
    notes = []
    if rows and (lacking := [name for name in known if name not in seen]):
        notes.append(f"an older version wrote these rows: they lack {listing(lacking)}")
    if foreign := sorted(seen - known.keys()):
        notes.append(f"columns that this version does not know are shown as they are: "
                     f"{listing([clean(name) for name in foreign])}")  # fmt: skip
    if wrong:
        notes.append(f"values that are of the wrong kind are left out, in {listing(list(wrong))}")
    return rows, notes


def clean(value: Any) -> Any:
    """A number or text as it may be shown: finite, printable, and not endless."""
    if isinstance(value, bool) or value is None:
        return None if value is None else str(value).lower()
    if isinstance(value, int | float):
        try:
            return value if math.isfinite(value) else None
        except OverflowError:
            return None
    text = value if isinstance(value, str) else json.dumps(value)[:_NESTED]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."


def listing(names: Sequence[str], most: int = 8) -> str:
    """``a, b and c``; of many the first, and how many more there are."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
