"""What other studies left and a page shows beside a sweep: latency and sensitivity."""

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from wfm_jax.results import sensitivity_rows
from wfm_jax.results.naming import Row
from wfm_jax.results.report.lines import clean, fitted, read_lines
from wfm_jax.results.rows import Column

CELLS, PROFILE = "sensitivity.jsonl", "profile.json"
_OF_FORMS = (
    Column("form", "str", ""),
    Column("batch_size", "int64", ""),
    *(Column(name, "float64", "") for name in ("p50_ms", "p95_ms", "frames_per_s", "times_faster")),
    *(Column(name, "int64", "") for name in ("size_bytes", "memory_bytes")),
)


class Profile(NamedTuple):
    """How fast the forms of a model are.

    Attributes:
        title: of which model, on what.
        slot_ms: how long a frame is on the air, or None.
        rows: a row for each form and batch size.
        notes: in words, what was left out.
    """

    title: str
    slot_ms: float | None
    rows: Sequence[Row]
    notes: list[str]


class Cells(NamedTuple):
    """Which tensor suffers from what: rows of ``sensitivity_rows.COLUMNS``, and notes in words."""

    name: str
    rows: Sequence[Row]
    notes: list[str]


def read_profile(path: str | os.PathLike) -> Profile:
    """A profile from its file, or from the folder of ``experiments.profile``.

    Raises:
        ValueError: there is no such file, or it is no profile; one line.
    """
    file = pathlib.Path(path)
    file = file / PROFILE if file.is_dir() else file
    if not file.is_file():
        raise ValueError(f"no such file: {file}")
    try:
        found = json.loads(file.read_bytes())
        objects = [row for row in found["rows"] if isinstance(row, dict)]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{file} is no profile ({type(error).__name__})") from None
    rows, _ = fitted(objects, _OF_FORMS)
    known = [{c.name: row[c.name] for c in _OF_FORMS} for row in rows
             if row["form"] and (row["p50_ms"] or 0.0) > 0.0 and row["batch_size"]]  # fmt: skip
    left_out = len(found["rows"]) - len(known)
    notes = [f"{file.name}: {left_out} rows have no latency"] if left_out else []
    slot: Any = clean(found.get("slot_ms"))
    slot_ms = float(slot) if isinstance(slot, int | float) else None
    return Profile(clean(found.get("title") or file.stem), slot_ms, known, notes)


def read_cells(path: str | os.PathLike) -> Cells:
    """Sensitivity from its file, or from the folder of ``experiments.sensitivity``.

    Raises:
        ValueError: there is no such file; one line.
    """
    file = pathlib.Path(path)
    file = file / CELLS if file.is_dir() else file
    if not file.is_file():
        raise ValueError(f"no such file: {file}")
    objects, notes = read_lines(file)
    rows, more = fitted(objects, sensitivity_rows.COLUMNS)
    whole = [row for row in rows if row["tensor"] and row["method"] and row["level"] is not None]
    return Cells(clean(file.parent.name), whole, notes + [f"{file.name}: {note}" for note in more])
