"""A tensor as it is stored: floats, or integers of few bits with scales, maybe with a keep mask."""

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from wfm_jax.export.bits import pack_bits, unpack_bits
from wfm_jax.export.masks import DENSE, MaskCode, decode_mask, encode_mask

FLOATS = {32: np.dtype("<f4"), 16: np.dtype("<f2")}
INTEGER_BITS = range(2, 9)


@dataclasses.dataclass(frozen=True)
class PackedTensor:
    """One tensor before packing or after unpacking.

    Attributes:
      values: float32 weights for ``bits`` 32 and 16, else signed integers; any shape.
      bits: 32 (float32), 16 (float16; every weight must be one), or 2 to 8 (two's complement).
      scale: float32, for integers: of the rank of ``values``, see ``expand_scale``.
      keep: True where the weight stays; elsewhere it is zero whatever ``values`` says.
    """

    values: np.ndarray
    bits: int = 32
    scale: np.ndarray | None = None
    keep: np.ndarray | None = None

    def effective(self) -> np.ndarray:
        """The float32 weights a forward pass sees: ``values.astype(float32) * scale``, masked."""
        values = self.kept_values().astype(np.float32)
        return values if self.scale is None else values * expand_scale(self.scale, values.shape)

    def kept_values(self) -> np.ndarray:
        """``values`` with zeros where the mask drops them."""
        return self.values if self.keep is None else np.where(self.keep, self.values, 0)


class Sections(NamedTuple):
    """A tensor's bytes, and what is needed to read them."""

    mask: MaskCode
    kept: int
    values: bytes
    scale: bytes
    scale_bits: int


def expand_scale(scale: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """``scale`` for every weight of ``shape``: each entry covers a block of equal size.

    The shape says how weights share scales, as in ``wfm_jax.compress.blocks``: ``[1, out]`` is one
    per output channel, ``[groups, out]`` one per group of inputs. ValueError if it does not fit.
    """
    scale = np.asarray(scale, np.float32)
    fits = scale.ndim == len(shape) and all(
        b and n % b == 0 for b, n in zip(scale.shape, shape, strict=True)
    )
    if not fits:
        raise ValueError(f"a scale of shape {scale.shape} does not fit weights of shape {shape}")
    for axis, size in enumerate(shape):
        scale = np.repeat(scale, size // scale.shape[axis], axis)
    return scale


def encode_tensor(tensor: PackedTensor) -> Sections:
    """The bytes of ``tensor`` at their cheapest. Raises ValueError if it is not as documented.

    A mask may keep zeros and need not be stored at all: whichever of no mask, the keep mask and
    the mask of nonzeros takes fewest bytes in all is used. The weights are the same.
    """
    raw, nonzero = _raw(tensor.kept_values().ravel(), tensor.bits)
    masks = [np.ones(raw.size, bool), nonzero]
    if tensor.keep is not None:
        masks.append(np.asarray(tensor.keep, bool).ravel())
    codes = [encode_mask(mask) for mask in masks]
    costs = [
        8 * len(code.data) + tensor.bits * int(mask.sum())
        for mask, code in zip(masks, codes, strict=True)
    ]
    best = int(np.argmin(costs))
    kept = raw[masks[best]]
    stored = kept.tobytes() if tensor.bits in FLOATS else pack_bits(kept, tensor.bits)
    scale, scale_bits = _encode_scale(tensor)
    return Sections(codes[best], int(kept.size), stored, scale, scale_bits)


def decode_tensor(
    sections: Sections, shape: tuple[int, ...], bits: int, scale_shape: tuple[int, ...] | None
) -> PackedTensor:
    """The inverse of ``encode_tensor``; ValueError if the bytes are not such a tensor's."""
    keep = decode_mask(sections.mask, math.prod(shape), sections.kept)
    dtype = np.float32 if bits in FLOATS else np.int8
    values = np.zeros(keep.size, dtype)
    if bits in FLOATS:
        values[keep] = np.frombuffer(sections.values, FLOATS[bits]).astype(np.float32)
    else:
        _check_integer_bits(bits)
        unsigned = unpack_bits(sections.values, sections.kept, bits).astype(np.int32)
        values[keep] = unsigned - (1 << bits - 1)
    scale = None
    if scale_shape is not None:
        scale = np.frombuffer(sections.scale, FLOATS[sections.scale_bits]).astype(np.float32)
        scale = scale.reshape(scale_shape)
        expand_scale(scale, shape)
    mask = None if sections.mask.kind == DENSE else keep.reshape(shape)
    return PackedTensor(values.reshape(shape), bits, scale, mask)


def is_float16(values: np.ndarray) -> bool:
    """Whether every float32 in ``values`` survives float16 bit for bit."""
    values = np.asarray(values, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        back = values.astype(np.float16).astype(np.float32)
    return back.tobytes() == values.tobytes()


def _raw(values: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """What is written for each weight, and which weights are not plain zeros (-0.0 is not)."""
    if bits in FLOATS:
        floats = np.ascontiguousarray(values, np.float32)
        if bits == 16 and not is_float16(floats):
            raise ValueError("a weight is not exactly representable in float16")
        return floats.astype(FLOATS[bits]), floats.view(np.uint32) != 0
    _check_integer_bits(bits)
    half = 1 << bits - 1
    if not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"{bits} bits hold integers, got {values.dtype}")
    if values.size and (values.min() < -half or values.max() >= half):
        raise ValueError(f"an integer is outside -{half}..{half - 1}, the range of {bits} bits")
    return values.astype(np.int32) + half, values != 0


def _check_integer_bits(bits: int) -> None:
    if bits not in INTEGER_BITS:
        raise ValueError(f"{bits} bits: a tensor is stored in 2 to 8, 16 or 32")


def _encode_scale(tensor: PackedTensor) -> tuple[bytes, int]:
    """Scales are float32; written as float16 where that loses nothing."""
    if (tensor.scale is None) != (tensor.bits in FLOATS):
        raise ValueError("integers need a scale and floats have none")
    if tensor.scale is None:
        return b"", 0
    scale = np.asarray(tensor.scale, np.float32)
    expand_scale(scale, tensor.values.shape)
    bits = 16 if is_float16(scale) else 32
    return scale.astype(FLOATS[bits]).tobytes(), bits
