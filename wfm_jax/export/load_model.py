"""A whole model in one packed file: its architecture, its weights, the ranges of its activations.

Nothing else is needed to run it:

    model = load_model(path)
    apply, _ = build(model.config, key)
    outputs = apply(nested(model.params), inputs)
"""

import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from wfm_jax.compress import ActivationRange
from wfm_jax.export.compressed import FLOAT_BITS, CompressedModel
from wfm_jax.export.grids import Float
from wfm_jax.export.packed import PackedFileError, read_packed
from wfm_jax.model import ModelConfig, Ranges, activation_points, from_dict, param_shapes, to_dict
from wfm_jax.results import leaves

_FIELDS = ("model", "act_bits", "ranges")


def model_metadata(
    config: ModelConfig, act_bits: float = FLOAT_BITS, ranges: Ranges | None = None
) -> dict[str, Any]:
    """The metadata to ``pack`` a model's tensors with, JSON.

    Args:
      config: the architecture whose parameters the tensors are.
      act_bits: bits of activations.
      ranges: float32 scalars by point; without them ``act_bits`` are not written.
    """
    metadata: dict[str, Any] = {"model": to_dict(config)}
    if ranges is not None:
        ends = {point: [_shortest(end) for end in range_] for point, range_ in ranges.items()}
        metadata |= {"act_bits": float(act_bits), "ranges": ends}
    return metadata


def load_model(path: str | os.PathLike) -> CompressedModel:
    """Reads a packed file whose metadata is a :func:`model_metadata`.

    Raises:
      PackedFileError: no such packed file, metadata of another kind, or tensors that are not the
        architecture's: missing, extra and reshaped ones are named.
    """
    path = pathlib.Path(path)
    tensors, metadata = read_packed(path.read_bytes(), os.fspath(path))
    try:
        config, ranges, act_bits = _described(metadata)
        params = {name: t.effective() for name, t in tensors.items()}
        _check_params(config, params)
    except ValueError as error:
        raise PackedFileError(f"{path}: {error}") from None
    grids = {name: t.grid for name, t in tensors.items() if not isinstance(t.grid, Float)}
    return CompressedModel(config, params, grids, ranges, act_bits)


def _described(metadata: Mapping[str, Any]) -> tuple[ModelConfig, Ranges | None, int]:
    if unknown := sorted(set(metadata) - set(_FIELDS)):
        raise ValueError(f"metadata: unknown field {', '.join(unknown)}")
    if "model" not in metadata:
        raise ValueError("metadata: model: the file does not say which model its tensors are of")
    try:
        config = from_dict(metadata["model"])
    except ValueError as error:
        raise ValueError(f"metadata: model: {error}") from None
    if ("act_bits" in metadata) != ("ranges" in metadata):
        raise ValueError("metadata: act_bits and ranges: there is one without the other")
    if "ranges" not in metadata:
        return config, None, FLOAT_BITS
    act_bits = metadata["act_bits"]
    if act_bits not in (*range(2, 9), 16, 32):
        raise ValueError(f"metadata: act_bits is {act_bits!r}, it must be 2 to 8, 16 or 32")
    return config, _ranges(config, metadata["ranges"]), int(act_bits)


def _ranges(config: ModelConfig, ends: Any) -> Ranges:
    points = activation_points(config)
    if not isinstance(ends, Mapping) or set(ends) != set(points):
        raise ValueError("metadata: ranges: they must be of exactly the model's points")
    for point, pair in ends.items():
        numbers = isinstance(pair, list) and [type(end) for end in pair] == [float, float]
        if not numbers or not all(map(math.isfinite, pair)) or pair[0] > pair[1]:
            raise ValueError(f"metadata: ranges: {point} is {pair!r}, it must be low and high")
    return {p: ActivationRange(*(jnp.float32(end) for end in ends[p])) for p in points}


def _check_params(config: ModelConfig, weights: Mapping[str, np.ndarray]) -> None:
    specs = {
        name: leaves.Spec(list(w.shape), str(w.dtype), list(w.shape), str(w.dtype))
        for name, w in weights.items()
    }
    if mismatch := leaves.difference(specs, leaves.specs(param_shapes(config))):
        raise ValueError(f"tensors do not fit the model: {mismatch}")


def _shortest(value: Any) -> float:
    """The number of fewest decimal digits that is this one in float32."""
    return float(str(np.float32(value)))
