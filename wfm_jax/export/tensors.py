"""A tensor as it is stored: integers around zero, or the floats that are not zero."""

from typing import NamedTuple

import numpy as np

from wfm_jax.export.grid_code import FLOATS
from wfm_jax.export.grids import Float, Grid, is_float16


class PackedTensor(NamedTuple):
    """One tensor before packing or after unpacking.

    Attributes:
      values: float32 weights for a `Float` grid, else the grid's integer codes; any shape.
      grid: what turns codes into weights.
      keep: True where the weight stays; elsewhere it is zero whatever ``values`` says. None after
        unpacking: what is dropped is a zero like any other.
    """

    values: np.ndarray
    grid: Grid = Float(32)
    keep: np.ndarray | None = None

    def effective(self) -> np.ndarray:
        """The float32 weights a forward pass sees: those of the codes, masked."""
        weights = self.grid.checked(self.values.shape).weights(self.values)
        return weights if self.keep is None else np.where(self.keep, weights, np.float32(0))


class Values(NamedTuple):
    """A tensor's weights as a file holds them.

    Attributes:
      integers: int32 of the tensor's shape, 0 for what is dropped. The codes less that of zero; of
        a `Float` tensor, 1 for what is stored (all but 0.0; -0.0 is stored).
      floats: of a `Float` tensor, float16 or float32 ``[number of ones]``; else ``[0]``.
    """

    integers: np.ndarray
    floats: np.ndarray


def encode_values(tensor: PackedTensor, grid: Grid) -> Values:
    """What to write of ``tensor``, whose checked grid is ``grid``; ValueError if it is off it."""
    dropped = np.zeros(tensor.values.shape, bool) if tensor.keep is None else ~tensor.keep
    if isinstance(grid, Float):
        floats = np.where(dropped, np.float32(0), np.asarray(tensor.values, np.float32))
        if grid.bits == 16 and not is_float16(floats):
            raise ValueError("a weight is not exactly representable in float16")
        stored = floats.view(np.uint32) != 0
        return Values(stored.astype(np.int32), floats[stored].astype(FLOATS[grid.bits]))
    if not np.issubdtype(tensor.values.dtype, np.integer):
        raise ValueError(f"{grid.bits} bits hold integers, got {tensor.values.dtype}")
    _check_range(tensor.values, grid)
    integers = tensor.values.astype(np.int32) - grid.zero_codes(dropped.shape)
    integers = np.where(dropped, 0, integers)
    return Values(integers, np.zeros(0, FLOATS[32]))


def decode_values(values: Values, grid: Grid) -> PackedTensor:
    """The inverse of ``encode_values``; ValueError if no tensor on the grid has such values."""
    if isinstance(grid, Float):
        weights = np.zeros(values.integers.shape, np.float32)
        weights[values.integers == 1] = values.floats.astype(np.float32)
        return PackedTensor(weights, grid)
    codes = values.integers + grid.zero_codes(values.integers.shape)
    _check_range(codes, grid)
    return PackedTensor(codes, grid)


def n_stored(integers: np.ndarray) -> int:
    """How many floats stand behind the integers of a `Float` tensor; ValueError if not 0 and 1."""
    if not np.isin(integers, (0, 1)).all():
        raise ValueError("its mask holds something else than 0 and 1")
    return int(integers.sum())


def _check_range(codes: np.ndarray, grid: Grid) -> None:
    lowest = 0 if isinstance(grid, Float) else grid.lowest
    highest = lowest + (1 << grid.bits) - 1
    if codes.size and (codes.min() < lowest or codes.max() > highest):
        raise ValueError(
            f"an integer is outside {lowest}..{highest}, the range of {grid.bits} bits"
        )
