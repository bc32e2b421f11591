"""Trained models on disk: a checkpoint folder, or one safetensors file, both strict.

Two models come with the package: ``pretrained``, the nano teacher everybody starts from, and
``pretrained-micro``, of 0.9 M parameters, trained on a GPU.
"""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from wfm_jax.model import ModelConfig, from_dict, param_shapes, to_dict
from wfm_jax.results import checkpoint, tensors_file
from wfm_jax.results.checkpoint import CheckpointError
from wfm_jax.results.rows import config_id

PRETRAINED, PRETRAINED_MICRO = "pretrained", "pretrained-micro"
_FOLDER = pathlib.Path(__file__).parent / "pretrained"
_COME_ALONG = {
    PRETRAINED: _FOLDER / "nano.safetensors",
    PRETRAINED_MICRO: _FOLDER / "micro.safetensors",
}


class Teacher(NamedTuple):
    """A trained model: architecture, parameters, and the hash that result rows carry."""

    config: ModelConfig
    params: Any
    hash: str


def save_teacher(
    path: str | os.PathLike, config: ModelConfig, params: Any, training: Mapping[str, Any]
) -> None:
    """Saves a model with its architecture.

    A path that ends in ``.safetensors`` is written as one file, any other as a checkpoint folder.

    Args:
        path: where to.
        config: the architecture.
        params: its parameters.
        training: of JSON values, says how it came about.
    """
    fields = to_dict(config)
    if _is_file(path):
        text = {"model": json.dumps(fields), "training": json.dumps(training, indent=1)}
        tensors_file.save(path, params, text)
    else:
        metadata = {"model": fields, "training": dict(training)}
        checkpoint.save(path, params, config_hash=config_id(fields), metadata=metadata)


def load_teacher(path: str | os.PathLike = PRETRAINED) -> Teacher:
    """Loads a model saved by :func:`save_teacher`; strict.

    Args:
        path: a checkpoint folder, a safetensors file, or one of those that come with the package,
            ``pretrained`` or ``pretrained-micro``.

    Raises:
        CheckpointError: nothing there, damaged files, or arrays that are not the architecture's:
            missing, extra and reshaped ones are named.
    """
    path = locate(path)
    metadata = describe(path)
    try:
        config = from_dict(metadata["model"])
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path} holds no model: {error}") from None
    if _is_file(path):
        params = tensors_file.load(path, param_shapes(config))
        return Teacher(config, params, tensors_file.content_hash(path))
    identity = config_id(to_dict(config))
    params = checkpoint.restore(path, param_shapes(config), config_hash=identity)
    return Teacher(config, params, checkpoint.content_hash(path))


def describe(path: str | os.PathLike = PRETRAINED) -> dict[str, Any]:
    """``model`` and ``training`` as :func:`save_teacher` stored them. Raises CheckpointError."""
    path = locate(path)
    if not _is_file(path):
        return checkpoint.read_metadata(path)
    try:
        return {name: json.loads(text) for name, text in tensors_file.read_metadata(path).items()}
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path} holds no model: {error}") from None


def locate(path: str | os.PathLike) -> str | os.PathLike:
    """The path itself, or that of a model that comes with the package."""
    return _COME_ALONG.get(os.fspath(path), path)


def _is_file(path: str | os.PathLike) -> bool:
    return pathlib.Path(path).suffix == tensors_file.SUFFIX
