"""Strict checkpoints: what comes back is exactly what was saved, or an error says why not.

A checkpoint is a folder of generations, ``<path>/<number>/``. A save writes the next generation
beside, renames it into place and then removes all but the one before, so a kill at any moment
leaves a complete one; the highest number counts, and a damaged one has one to fall back to
(:func:`last_good`). A generation holds the arrays as Orbax wrote them, by
path name, and a sidecar with every array's shape and dtype, the configuration's hash and the
sha256 of every file. Orbax restores partial trees without a word, so the sidecar is compared
first. Nothing is pickled.
"""

import contextlib
import hashlib
import itertools
import json
import logging
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from wfm_jax.results import atomic, leaves
from wfm_jax.results.identity import plain

_SAVES = itertools.count()
_ARRAYS, _SIDECAR, _FORMAT = "arrays", "sidecar.json", 1


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged or not the one asked for; the message is one line."""


def save(
    path: str | os.PathLike,
    tree: Any,
    *,
    config_hash: str,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Saves the arrays of ``tree``, replacing what ``path`` held in one step.

    Args:
      path: the checkpoint's folder, created if need be.
      tree: any pytree of arrays, typed PRNG keys and Python scalars.
      config_hash: of the configuration the arrays belong to; ``restore`` must ask for the same.
      metadata: JSON values to keep beside the arrays (a step, a loss).
    """
    root = pathlib.Path(os.path.abspath(path))
    root.mkdir(parents=True, exist_ok=True)
    number = max(_generations(root), default=0) + 1
    beside = root / f".{number}.partial"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    stored, specs = leaves.to_arrays(tree)
    _orbax_save(beside / _ARRAYS, {name: array for name, array in stored.items() if array.size})
    content = {
        "format": _FORMAT,
        "config_hash": config_hash,
        "metadata": dict(metadata or {}),
        "leaves": {name: spec._asdict() for name, spec in specs.items()},
        "files": _file_digests(beside),
    }
    text = json.dumps(content, default=plain).encode()
    (beside / _SIDECAR).write_bytes(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
    for file in [*_files(beside), beside]:
        atomic.sync(file)
    os.replace(beside, root / str(number))
    atomic.sync(root)
    before = max((n for n in _generations(root) if n < number), default=number)
    for old in root.iterdir():
        if old.name not in (str(number), str(before)):
            shutil.rmtree(old, ignore_errors=True)


def exists(path: str | os.PathLike) -> bool:
    """Whether there is a complete checkpoint; a save that was killed leaves none, but a folder."""
    return bool(_generations(pathlib.Path(path)))


class Good(NamedTuple):
    """A generation whose files are as they were written.

    Attributes:
      generation: its number, for ``restore``.
      metadata: what ``save`` was given.
      damage: what is wrong with the newer ones, in one line; empty if there are none.
    """

    generation: int
    metadata: dict[str, Any]
    damage: str


def last_good(path: str | os.PathLike) -> Good:
    """The newest generation that is not damaged, every file of it looked at.

    Raises:
      CheckpointError: there is none; what is wrong with each is said.
    """
    numbers = _generations(pathlib.Path(os.path.abspath(path)))
    if not numbers:
        raise CheckpointError(f"{path} holds no checkpoint")
    damage = []
    for number in sorted(numbers, reverse=True):
        try:
            _, content = _open_whole(path, number)
            return Good(number, content["metadata"], "; ".join(damage))
        except CheckpointError as error:
            damage.append(str(error))
    raise CheckpointError("; ".join(damage))


def restore(
    path: str | os.PathLike, like: Any, *, config_hash: str, generation: int | None = None
) -> Any:
    """The saved tree, in the structure of ``like`` and on its devices.

    ``like`` is a tree of arrays or ``jax.ShapeDtypeStruct``; NumPy leaves come back as NumPy.
    ``config_hash`` is the one it was saved with; ``generation`` is the newest if None.

    Raises:
      CheckpointError: no checkpoint at ``path``, another configuration, arrays missing, extra or of
        another shape or dtype (all named), or files that are not as they were written.
    """
    folder, content = _open(path, generation)
    if content["config_hash"] != config_hash:
        raise CheckpointError(
            f"{path} belongs to configuration {content['config_hash']}, not to {config_hash}"
        )
    specs = {name: leaves.Spec(**fields) for name, fields in content["leaves"].items()}
    if mismatch := leaves.difference(specs, leaves.specs(like)):
        raise CheckpointError(f"{path} does not fit: {mismatch}")
    _check_files(folder, content)
    stored = _orbax_restore(folder / _ARRAYS)
    for name, spec in specs.items():
        if not spec.size:
            stored[name] = np.zeros(spec.stored_shape, spec.stored_dtype)
    return leaves.from_arrays(stored, specs, like)


def read_metadata(path: str | os.PathLike) -> dict[str, Any]:
    """What ``save`` was given as metadata, without reading the arrays. Raises CheckpointError."""
    return _open(path)[1]["metadata"]


def content_hash(path: str | os.PathLike) -> str:
    """Hash of the saved values by name, 16 hex digits. Raises CheckpointError."""
    folder, _ = _open(path)
    return hash_arrays(_orbax_restore(folder / _ARRAYS))


def hash_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Hash of arrays by name, 16 hex digits."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + b"\0" + np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()[:16]


def _open(
    path: str | os.PathLike, generation: int | None = None
) -> tuple[pathlib.Path, dict[str, Any]]:
    root = pathlib.Path(os.path.abspath(path))
    numbers = _generations(root)
    if not numbers:
        raise CheckpointError(f"{root} holds no checkpoint")
    folder = root / str(max(numbers) if generation is None else generation)
    try:
        digest, _, text = (folder / _SIDECAR).read_bytes().partition(b"\n")
    except OSError as error:
        raise CheckpointError(f"{folder} is damaged: {_SIDECAR}: {error.strerror}") from None
    if hashlib.sha256(text).hexdigest().encode() != digest:
        raise CheckpointError(f"{folder} is damaged: {_SIDECAR} is not as it was written")
    content = json.loads(text)
    if content["format"] != _FORMAT:
        raise CheckpointError(
            f"{folder} has format {content['format']}, this version reads {_FORMAT}"
        )
    return folder, content


def _open_whole(path: str | os.PathLike, generation: int) -> tuple[pathlib.Path, dict[str, Any]]:
    folder, content = _open(path, generation)
    _check_files(folder, content)
    return folder, content


def _check_files(folder: pathlib.Path, content: dict[str, Any]) -> None:
    found, written = _file_digests(folder), content["files"]
    if found != written:
        names = (name for name in {**written, **found} if found.get(name) != written.get(name))
        raise CheckpointError(f"{folder} is damaged: {next(names)} differs from what was saved")


def _generations(root: pathlib.Path) -> list[int]:
    if not root.is_dir():
        return []
    return [int(entry.name) for entry in root.iterdir() if entry.name.isdecimal()]


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(entry for entry in folder.rglob("*") if entry.is_file())


def _file_digests(folder: pathlib.Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in _files(folder)
        if file.name != _SIDECAR
    }


def _orbax_save(folder: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
    if not arrays:  # Orbax refuses an empty tree
        return
    with _quiet(), _checkpointer() as checkpointer:
        checkpointer.save(folder, arrays)


def _orbax_restore(folder: pathlib.Path) -> dict[str, np.ndarray]:
    if not folder.exists():
        return {}
    try:
        with _quiet(), _checkpointer() as checkpointer:
            return dict(checkpointer.restore(folder))
    except Exception as error:
        line = str(error).split("\n", 1)[0]
        raise CheckpointError(f"{folder.parent.parent} cannot be read by Orbax: {line}") from error


def _checkpointer() -> Any:
    """Orbax for this process alone: in a run of several it would wait for the others."""
    import orbax.checkpoint as ocp

    options, own = ocp.options.MultiprocessingOptions(), jax.process_index()
    if jax.process_count() > 1:
        options = ocp.options.MultiprocessingOptions(
            primary_host=own,
            active_processes={own},
            barrier_sync_key_prefix=f"process_{own}_{next(_SAVES)}",  # Orbax waits for old keys
        )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=options)
    return ocp.Checkpointer(handler, multiprocessing_options=options)


@contextlib.contextmanager
def _quiet():
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
