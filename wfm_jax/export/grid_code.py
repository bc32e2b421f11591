"""A grid's bytes: what a file holds beside the codes of a tensor.

Scales are float32, or float16 where that loses nothing. NF4's double-quantized magnitudes stand
where scales do, in 8 bits: their codes, a float32 for every 256 of them, and one float32 offset.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from wfm_jax.compress.dynamic_map import Codes8
from wfm_jax.compress.nf4 import QuantizedAbsmax
from wfm_jax.export.bits import pack_bits, packed_size, unpack_bits
from wfm_jax.export.grids import (
    ABSMAX_BLOCK,
    INTEGER_BITS,
    NF4,
    Affine,
    Float,
    Grid,
    Uniform,
    is_float16,
)

FLOATS = {32: np.dtype("<f4"), 16: np.dtype("<f2")}
ROWS_KIND, AFFINE_KIND, NF4_KIND = "uniform_rows", "affine", "nf4"
_CODES = 8


class GridForm(NamedTuple):
    """What the header says of a grid; the sizes of its sections follow from it.

    Attributes:
      kind: ``uniform_rows`` (a `Uniform` with row factors), ``affine``, ``nf4``, or None: floats
        where ``bits`` are 16 and 32, else a `Uniform` of a scale alone.
      bits: of a weight.
      scale_shape: of the scales or magnitudes; None for floats.
      scale_bits: 32, 16, or 8 for double-quantized magnitudes; 0 for floats.
    """

    kind: str | None
    bits: int
    scale_shape: list[int] | None
    scale_bits: int

    def section_sizes(self, shape: list[int]) -> tuple[int, int, int]:
        """Bytes of the sections of `GridCode` for weights of ``shape``."""
        n_scales = 0 if self.scale_shape is None else math.prod(self.scale_shape)
        scales = n_scales * self.scale_bits // 8
        if self.scale_bits == _CODES:
            scales += 4 * _n_inner(n_scales) + 4
        zero_points = packed_size(n_scales, self.bits) if self.kind == AFFINE_KIND else 0
        return scales, zero_points, 2 * shape[0] if self.kind == ROWS_KIND else 0


class GridCode(NamedTuple):
    """An encoded grid: its form, and the bytes of its three sections."""

    form: GridForm
    scales: bytes
    zero_points: bytes
    inputs: bytes


def encode_grid(grid: Grid) -> GridCode:
    """The bytes of a grid that has been checked."""
    match grid:
        case Float(bits):
            return GridCode(GridForm(None, bits, None, 0), b"", b"", b"")
        case Uniform(bits, scale, None):
            return _with_scales(None, bits, scale)
        case Uniform(bits, scale, inputs):
            code = _with_scales(ROWS_KIND, bits, scale)
            return code._replace(inputs=inputs.astype(FLOATS[16]).tobytes())
        case Affine(bits, scale, zero_point):
            code = _with_scales(AFFINE_KIND, bits, scale)
            return code._replace(zero_points=pack_bits(zero_point, bits))
        case NF4(QuantizedAbsmax(inner, offset)):
            form = GridForm(NF4_KIND, NF4.bits, list(inner.codes.shape), _CODES)
            floats = np.append(inner.absmax, offset).astype(FLOATS[32])
            return GridCode(form, inner.codes.tobytes() + floats.tobytes(), b"", b"")
        case NF4(absmax):
            return _with_scales(NF4_KIND, NF4.bits, absmax)


def decode_grid(code: GridCode, shape: tuple[int, ...]) -> Grid:
    """The checked grid for weights of ``shape``; ValueError if the code is not such a grid's."""
    form = code.form
    match form.kind:
        case None if form.scale_shape is None and form.scale_bits == 0:
            grid = Float(form.bits)
        case None if form.bits in INTEGER_BITS:
            grid = Uniform(form.bits, _scales(code))
        case "uniform_rows" if form.bits in INTEGER_BITS:
            inputs = np.frombuffer(code.inputs, FLOATS[16]).astype(np.float32)
            grid = Uniform(form.bits, _scales(code), inputs[:, None])
        case "affine" if form.bits in INTEGER_BITS:
            scale = _scales(code)
            zero_point = unpack_bits(code.zero_points, scale.size, form.bits)
            grid = Affine(form.bits, scale, zero_point.reshape(scale.shape))
        case "nf4" if form.bits == NF4.bits:
            grid = NF4(_absmax(code) if form.scale_bits == _CODES else _scales(code))
        case kind:
            raise ValueError(f"no grid of {form.bits} bits is called {kind!r}")
    return grid.checked(shape)


def _with_scales(kind: str | None, bits: int, scale: np.ndarray) -> GridCode:
    scale_bits = 16 if is_float16(scale) else 32
    scales = scale.astype(FLOATS[scale_bits]).tobytes()
    return GridCode(GridForm(kind, bits, list(scale.shape), scale_bits), scales, b"", b"")


def _scales(code: GridCode) -> np.ndarray:
    dtype = FLOATS.get(code.form.scale_bits)
    if dtype is None:
        raise ValueError(f"scales of {code.form.scale_bits} bits: they are stored in 16 or 32")
    return np.frombuffer(code.scales, dtype).astype(np.float32).reshape(code.form.scale_shape)


def _absmax(code: GridCode) -> QuantizedAbsmax:
    n = math.prod(code.form.scale_shape or [])
    codes: Any = np.frombuffer(code.scales[:n], np.uint8).reshape(code.form.scale_shape)
    floats: Any = np.frombuffer(code.scales[n:], FLOATS[32]).astype(np.float32)
    return QuantizedAbsmax(Codes8(codes, floats[:-1]), floats[-1])


def _n_inner(n_scales: int) -> int:
    return -(-n_scales // ABSMAX_BLOCK)
