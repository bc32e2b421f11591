"""Packed files as models that are measured beside their teacher, and how people tell them apart."""

import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from wfm_jax.export.compressed import CompressedModel
from wfm_jax.export.load_model import load_model
from wfm_jax.model import ModelConfig
from wfm_jax.results.naming import Row, configurations, point_name
from wfm_jax.results.pareto import front
from wfm_jax.results.rows import rows_so_far

RESULTS, FILES, SUFFIX = "results.jsonl", "files", ".wfm"


class PackedModel(NamedTuple):
    """A packed file that was read.

    Attributes:
        label: its size and what made it, ``74.7 kB P-Q-KD 4b/75%``; of a file that no sweep's
            folder holds, its name.
        size_bytes: of the file.
        hash: of its bytes, 16 hex digits.
        model: what it holds, its architecture too.
    """

    label: str
    size_bytes: int
    hash: str
    model: CompressedModel


def read_packed_models(
    paths: Sequence[str | os.PathLike], teacher: ModelConfig, teacher_hash: str
) -> tuple[PackedModel, ...]:
    """Reads packed files, each content once, in their order.

    Args:
        paths: of the files; one in ``RUN/files`` is called as the row of ``RUN/results.jsonl`` that
            it belongs to.
        teacher: the architecture that they are measured beside.
        teacher_hash: of its weights.

    Raises:
        ValueError: not a packed model, one of other constellations than the teacher's, or of
            another teacher, as its row says; names the file.
        OSError: a file that cannot be read.
    """
    found: dict[str, PackedModel] = {}
    rows = _rows_beside(paths)
    for path in map(pathlib.Path, paths):
        data = path.read_bytes()
        model = load_model(path)
        if model.config.link.bits_per_symbol != teacher.link.bits_per_symbol:
            raise ValueError(
                f"{path}: its constellations have {model.config.link.bits_per_symbol} bits a "
                f"symbol, the teacher's {teacher.link.bits_per_symbol}"
            )
        row = rows.get(path.absolute())
        if row and not _is_of(row, teacher_hash):
            raise ValueError(
                f"{path}: its teacher is {row['teacher_hash']}, and not {teacher_hash}"
            )
        label = f"{_kilobytes(len(data))} kB {point_name(row) if row else path.stem}"
        digest = hashlib.sha256(data).hexdigest()[:16]
        found.setdefault(digest, PackedModel(label, len(data), digest, model))
    return tuple(found.values())


def front_files(
    folder: str | os.PathLike, teacher_hash: str, *, most: int, least: float
) -> tuple[pathlib.Path, ...]:
    """The packed files of a sweep's Pareto front, the smallest first.

    Args:
        folder: of the run.
        teacher_hash: of a teacher; configurations of others are not looked at.
        most: files; of a longer front some from end to end.
        least: quality that each keeps at least, as the front is ranked (retention).

    Raises:
        ValueError: no sweep of this teacher, or none of its front keeps so much.
    """
    folder = pathlib.Path(folder)
    rows = rows_so_far(folder / RESULTS)
    if not configurations(rows):
        raise ValueError(f"{folder}: no sweep with finished configurations")
    own = [row for row in rows if _is_of(row, teacher_hash)]
    if not configurations(own):
        others = ", ".join(sorted({row["teacher_hash"] for row in configurations(rows)}))
        raise ValueError(f"{folder}: its teacher is {others}, and not {teacher_hash}")
    chosen = front(own, most=most, least=least)
    return tuple(folder / FILES / f"{row['config_id']}{SUFFIX}" for row in chosen)


def _is_of(row: Row, teacher_hash: str) -> bool:
    """Whether a row is of a teacher, as far as it says."""
    return row.get("teacher_hash") in (None, teacher_hash)


def _kilobytes(size_bytes: int) -> str:
    """Of three digits where there are no more in front of the point."""
    return f"{size_bytes / 1e3:.{1 if size_bytes < 99_950 else 0}f}"


def _rows_beside(paths: Sequence[str | os.PathLike]) -> dict[pathlib.Path, Row]:
    """Rows of the sweeps whose folders the files lie in, by the files' paths."""
    folders = {pathlib.Path(path).absolute().parent for path in paths}
    return {
        folder / f"{row['config_id']}{SUFFIX}": row
        for folder in folders
        if folder.name == FILES
        for row in configurations(rows_so_far(folder.parent / RESULTS))
    }
