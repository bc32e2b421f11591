"""A compressed model as every kind of file is made from it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from wfm_jax.export.grids import Grid
from wfm_jax.model import ModelConfig, Ranges

FLOAT_BITS = 32


class CompressedModel(NamedTuple):
    """What a deployment holds, on the host.

    Attributes:
        config: the architecture, of what is left of it where units were cut out.
        params: effective weights by path name, float32: what the forward pass sees.
        grids: how weights are stored, by path name; what has none is floating point.
        ranges: of activations, by point; None where they stay in floating point.
        act_bits: of activations, 2 to 8 where there are ranges.
    """

    config: ModelConfig
    params: Mapping[str, np.ndarray]
    grids: Mapping[str, Grid] = {}
    ranges: Ranges | None = None
    act_bits: int = FLOAT_BITS

    def in_float32(self) -> "CompressedModel":
        """The same weights, none of them stored as integers, and activations left alone."""
        return self._replace(grids={}, ranges=None, act_bits=FLOAT_BITS)


def nested(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters by path name as the nested dict that a forward pass takes."""
    tree: dict[str, Any] = {}
    for path, leaf in params.items():
        *folders, name = path.split("/")
        within = tree
        for folder in folders:
            within = within.setdefault(folder, {})
        within[name] = leaf
    return tree
