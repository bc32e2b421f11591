"""A run folder as it is found: whatever can be read of it, and in words what cannot."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from wfm_jax.results.manifest import MANIFEST, Manifest
from wfm_jax.results.naming import Row
from wfm_jax.results.report.curve_file import Curves, read_curves
from wfm_jax.results.report.lines import clean, fitted, read_lines
from wfm_jax.results.rows import COLUMNS, Column

ROWS, CONTRASTS, CURVES = "results.jsonl", "contrasts.jsonl", "curves.parquet"
_OF_CONTRASTS = (
    *(Column(name, "str", "") for name in ("a", "b", "student", "ways", "metric")),
    *(Column(name, "float64", "") for name in ("sparsity", "weight_bits")),
    Column("seed", "int64", ""),
    *(Column(name, "float64", "") for name in ("difference", "low", "high")),
)
_NEEDED = ("a", "b", "metric", "difference", "low", "high")


class Run(NamedTuple):
    """What a folder holds.

    Attributes:
        name: of the run, where several are shown.
        folder: where it lies, as it was given.
        rows: configurations and references.
        manifest: which flags made them; None where that is not known.
        contrasts: paired differences, as ``contrasts.jsonl`` has them.
        curves: bit error rates over SNR; None where there are none.
        notes: in words, what could not be read and what is of another version.
    """

    name: str
    folder: pathlib.Path
    rows: list[dict[str, Any]]
    manifest: Manifest | None
    contrasts: Sequence[Row]
    curves: Curves | None
    notes: list[str]


def read_run(folder: str | os.PathLike, name: str | None = None) -> Run:
    """Reads a run folder and changes nothing in it.

    Args:
        folder: of a sweep, which may be running, stopped, or of another version.
        name: what to call it; by default as the folder is called.

    Raises:
        ValueError: there is no such folder, or it holds neither rows nor a manifest; one line.
    """
    path = pathlib.Path(os.path.abspath(folder))
    if not path.is_dir():
        raise ValueError(f"{path} is no folder: a run folder is needed")
    if not (path / ROWS).exists() and not (path / MANIFEST).exists():
        raise ValueError(f"{path} holds neither {ROWS} nor {MANIFEST}: it is no run folder")
    rows, notes = _rows(path)
    manifest, more = _manifest(path)
    contrasts, also = _contrasts(path)
    curves, last = read_curves(path / CURVES)
    notes = [*notes, *more, *also, *last]
    return Run(
        clean(name or path.name), pathlib.Path(folder), rows, manifest, contrasts, curves, notes
    )


def _rows(path: pathlib.Path) -> tuple[list[dict[str, Any]], list[str]]:
    if not (path / ROWS).exists():
        return [], [f"it has no {ROWS}: nothing has finished in it yet"]
    objects, notes = read_lines(path / ROWS)
    rows, more = fitted(objects, COLUMNS)
    for row in rows:
        row["kind"] = row["kind"] or "configuration"
        row["status"] = row["status"] or "ok"
    if not rows:
        more.append(f"{ROWS} is empty: nothing has finished in it yet")
    return rows, notes + more


def _manifest(path: pathlib.Path) -> tuple[Manifest | None, list[str]]:
    try:
        return Manifest.from_json((path / MANIFEST).read_text(encoding="utf-8")), []
    except FileNotFoundError:
        why = f"it has no {MANIFEST}"
    except (OSError, ValueError, RecursionError) as error:
        why = f"its {MANIFEST} cannot be read ({clean(str(error))[:200]})"
    return None, [f"{why}: which flags made it is not known"]


def _contrasts(path: pathlib.Path) -> tuple[Sequence[Row], list[str]]:
    if not (path / CONTRASTS).exists():
        return [], []
    objects, notes = read_lines(path / CONTRASTS)
    rows, more = fitted(objects, _OF_CONTRASTS)
    whole = [row for row in rows if None not in [row[name] for name in _NEEDED]]
    if len(whole) < len(rows):
        notes.append(f"{CONTRASTS}: {len(rows) - len(whole)} lines are no contrast")
    return whole, notes + [f"{CONTRASTS}: {note}" for note in more]


def flags_of(run: Run) -> Mapping[str, Any]:
    """The flags that made a run; none where they are not known."""
    return run.manifest.flags if run.manifest else {}
