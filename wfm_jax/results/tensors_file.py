"""A model as one safetensors file: arrays by path name, and text beside them.

The form in which a model travels: one file, read by every framework, nothing executable in it.
As strict as a checkpoint: an array that is missing, extra or reshaped is an error that names it.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from wfm_jax.results import atomic, leaves
from wfm_jax.results.checkpoint import CheckpointError, hash_arrays

SUFFIX = ".safetensors"


def save(path: str | os.PathLike, tree: Any, metadata: Mapping[str, str]) -> None:
    """Writes the arrays of ``tree`` in one step.

    Args:
        path: the file.
        tree: a pytree of arrays.
        metadata: text by name.
    """
    from safetensors.numpy import save as to_bytes

    arrays = {name: np.asarray(a, order="C") for name, a in leaves.to_arrays(tree)[0].items()}
    atomic.write_bytes(path, to_bytes(arrays, dict(metadata)))


def load(path: str | os.PathLike, like: Any) -> Any:
    """The arrays in the structure of ``like``, a tree of arrays or ``jax.ShapeDtypeStruct``.

    Raises:
        CheckpointError: no such file, not a safetensors file, or arrays that do not fit.
    """
    arrays, _ = _read(path)
    specs = {
        name: leaves.Spec(list(a.shape), str(a.dtype), list(a.shape), str(a.dtype))
        for name, a in arrays.items()
    }
    if mismatch := leaves.difference(specs, leaves.specs(like)):
        raise CheckpointError(f"{path} does not fit: {mismatch}")
    return leaves.from_arrays(arrays, specs, like)


def read_metadata(path: str | os.PathLike) -> dict[str, str]:
    """The text that :func:`save` was given. Raises CheckpointError."""
    return _read(path)[1]


def content_hash(path: str | os.PathLike) -> str:
    """Hash of the values by name, that of a checkpoint of the same tree. Raises CheckpointError."""
    return hash_arrays(_read(path)[0])


def _read(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    if not pathlib.Path(path).is_file():
        raise CheckpointError(f"{path} is not a file")
    try:
        with safe_open(path, "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return arrays, file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        line = str(error).split("\n", 1)[0]
        raise CheckpointError(f"{path} is not a whole safetensors file: {line}") from None
