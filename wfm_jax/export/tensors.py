"""A tensor as it is stored: the codes of a grid, or floats, maybe with a keep mask."""

import math
from typing import NamedTuple

import numpy as np

from wfm_jax.export.bits import pack_bits, unpack_bits
from wfm_jax.export.grid_code import FLOATS, GridCode, decode_grid, encode_grid
from wfm_jax.export.grids import Float, Grid, is_float16
from wfm_jax.export.masks import DENSE, MaskCode, decode_mask, encode_mask


class PackedTensor(NamedTuple):
    """One tensor before packing or after unpacking.

    Attributes:
      values: float32 weights for a `Float` grid, else the grid's integer codes; any shape.
      grid: what turns codes into weights.
      keep: True where the weight stays; elsewhere it is zero whatever ``values`` says.
    """

    values: np.ndarray
    grid: Grid = Float(32)
    keep: np.ndarray | None = None

    def effective(self) -> np.ndarray:
        """The float32 weights a forward pass sees: those of the codes, masked."""
        weights = self.grid.checked(self.values.shape).weights(self.values)
        return weights if self.keep is None else np.where(self.keep, weights, np.float32(0))


class Sections(NamedTuple):
    """A tensor's bytes, and what is needed to read them."""

    mask: MaskCode
    kept: int
    values: bytes
    grid: GridCode


def encode_tensor(tensor: PackedTensor) -> Sections:
    """The bytes of ``tensor`` at their cheapest. Raises ValueError if it is not as documented.

    A mask may keep zeros and need not be stored at all: whichever of no mask, the keep mask and
    the mask of nonzeros (-0.0 is one) takes fewest bytes in all is used. The weights are the same.
    """
    grid = tensor.grid.checked(tensor.values.shape)
    values = tensor.values
    if tensor.keep is not None:
        values = np.where(tensor.keep, values, grid.codes(np.zeros(values.shape, np.float32)))
    raw = _raw(values.ravel(), grid)
    nonzero = grid.weights(values).ravel().view(np.uint32) != 0
    masks = [np.ones(raw.size, bool), nonzero]
    if tensor.keep is not None:
        masks.append(np.asarray(tensor.keep, bool).ravel())
    codes = [encode_mask(mask) for mask in masks]
    costs = [
        8 * len(code.data) + grid.bits * int(mask.sum())
        for mask, code in zip(masks, codes, strict=True)
    ]
    best = int(np.argmin(costs))
    kept = raw[masks[best]]
    stored = kept.tobytes() if isinstance(grid, Float) else pack_bits(kept, grid.bits)
    return Sections(codes[best], int(kept.size), stored, encode_grid(grid))


def decode_tensor(sections: Sections, shape: tuple[int, ...]) -> PackedTensor:
    """The inverse of ``encode_tensor``; ValueError if the bytes are not such a tensor's."""
    keep = decode_mask(sections.mask, math.prod(shape), sections.kept)
    grid = decode_grid(sections.grid, shape)
    if isinstance(grid, Float):
        values = np.zeros(keep.size, np.float32)
        values[keep] = np.frombuffer(sections.values, FLOATS[grid.bits]).astype(np.float32)
    else:
        values = np.zeros(keep.size, np.int16)
        unsigned = unpack_bits(sections.values, sections.kept, grid.bits).astype(np.int16)
        values[keep] = unsigned + grid.lowest
    mask = None if sections.mask.kind == DENSE else keep.reshape(shape)
    return PackedTensor(values.reshape(shape), grid, mask)


def _raw(values: np.ndarray, grid: Grid) -> np.ndarray:
    """What is written for each weight."""
    if isinstance(grid, Float):
        floats = np.ascontiguousarray(values, np.float32)
        if grid.bits == 16 and not is_float16(floats):
            raise ValueError("a weight is not exactly representable in float16")
        return floats.astype(FLOATS[grid.bits])
    lowest, highest = grid.lowest, grid.lowest + (1 << grid.bits) - 1
    if not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"{grid.bits} bits hold integers, got {values.dtype}")
    if values.size and (values.min() < lowest or values.max() > highest):
        raise ValueError(
            f"an integer is outside {lowest}..{highest}, the range of {grid.bits} bits"
        )
    return values.astype(np.int32) - lowest
