"""A grid as integers and floats: what a file holds beside the codes of a tensor.

Scales are integers of the coarse grid where they lie on it (``wfm_jax.export.coarse``), else
float16 where that loses nothing, else float32. NF4's double-quantized magnitudes are 8-bit codes, a
float32 for every 256 of them, and one float32 offset.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from wfm_jax.compress.dynamic_map import Codes8
from wfm_jax.compress.nf4 import QuantizedAbsmax
from wfm_jax.export.coarse import FRACTION_BITS, fraction_bits_of, from_codes, to_codes
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
CODES8 = 8
FLOAT, UNIFORM, ROWS, AFFINE, NORMAL = "float", "uniform", "rows", "affine", "nf4"
Integers = Mapping[str, np.ndarray]


class GridForm(NamedTuple):
    """What the header says of a grid.

    Attributes:
      kind: ``float``, ``uniform``, ``rows`` (a `Uniform` with row factors), ``affine``, ``nf4``.
      bits: of a weight.
      blocks: the shape of the scales or magnitudes; None for floats.
      scales: how they are stored: 0 to 7, the fraction bits of their integers; 8 for
        double-quantized magnitudes; 16 or 32 for floats; None where there are none.
    """

    kind: str
    bits: int
    blocks: list[int] | None
    scales: int | None

    @property
    def n_scales(self) -> int:
        """Scales that the grid has; none for floats."""
        return 0 if self.blocks is None else math.prod(self.blocks)

    def integers(self) -> dict[str, int]:
        """How many integers there are, by section."""
        sections = {}
        if self.scales in FRACTION_BITS or self.scales == CODES8:
            sections["scales"] = self.n_scales
        if self.kind == AFFINE:
            sections["zero_points"] = self.n_scales
        return sections

    def floats(self, shape: Sequence[int]) -> list[tuple[str, np.dtype, int]]:
        """Section, dtype and number of the floats, in the order of the file."""
        floats = []
        if self.scales in FLOATS:
            floats.append(("scales", FLOATS[self.scales], self.n_scales))
        elif self.scales == CODES8:
            floats.append(("scales", FLOATS[32], -(-self.n_scales // ABSMAX_BLOCK) + 1))
        if self.kind == ROWS:
            floats.append(("inputs", FLOATS[16], shape[0]))
        return floats


class GridCode(NamedTuple):
    """An encoded grid: its form, integers by section, and floats in order."""

    form: GridForm
    integers: Integers
    floats: list[np.ndarray]


def encode_grid(grid: Grid) -> GridCode:
    """The code of a grid that has been checked."""
    match grid:
        case Float(bits):
            return GridCode(GridForm(FLOAT, bits, None, None), {}, [])
        case Uniform(bits, scale, None):
            return _with_scales(UNIFORM, bits, scale)
        case Uniform(bits, scale, inputs):
            code = _with_scales(ROWS, bits, scale)
            return code._replace(floats=[*code.floats, inputs.ravel().astype(FLOATS[16])])
        case Affine(bits, scale, zero_point):
            code = _with_scales(AFFINE, bits, scale)
            return code._replace(integers={**code.integers, "zero_points": zero_point.ravel()})
        case NF4(QuantizedAbsmax(inner, offset)):
            form = GridForm(NORMAL, NF4.bits, list(inner.codes.shape), CODES8)
            floats = np.append(inner.absmax, offset).astype(FLOATS[32])
            return GridCode(form, {"scales": np.asarray(inner.codes)}, [floats])
        case NF4(absmax):
            return _with_scales(NORMAL, NF4.bits, absmax)


def decode_grid(code: GridCode, shape: tuple[int, ...]) -> Grid:
    """The checked grid for weights of ``shape``; ValueError if the code is not such a grid's."""
    form = code.form
    match form.kind:
        case "float" if form.blocks is None and form.scales is None:
            grid = Float(form.bits)
        case "uniform" if form.bits in INTEGER_BITS:
            grid = Uniform(form.bits, _scales(code))
        case "rows" if form.bits in INTEGER_BITS:
            grid = Uniform(form.bits, _scales(code), code.floats[-1].astype(np.float32)[:, None])
        case "affine" if form.bits in INTEGER_BITS:
            zero_point = code.integers["zero_points"].reshape(form.blocks)
            grid = Affine(form.bits, _scales(code), zero_point)
        case "nf4" if form.bits == NF4.bits:
            grid = NF4(_absmax(code) if form.scales == CODES8 else _scales(code))
        case kind:
            raise ValueError(f"no grid of {form.bits} bits is called {kind!r}")
    return grid.checked(shape)


def _with_scales(kind: str, bits: int, scale: np.ndarray) -> GridCode:
    blocks, fraction_bits = list(scale.shape), fraction_bits_of(scale)
    if fraction_bits is not None:
        integers = {"scales": to_codes(scale, fraction_bits).ravel()}
        return GridCode(GridForm(kind, bits, blocks, fraction_bits), integers, [])
    width = 16 if is_float16(scale) else 32
    return GridCode(GridForm(kind, bits, blocks, width), {}, [scale.ravel().astype(FLOATS[width])])


def _scales(code: GridCode) -> np.ndarray:
    form = code.form
    if form.scales is not None and form.scales in FRACTION_BITS:
        values = from_codes(code.integers["scales"], form.scales)
    elif form.scales in FLOATS:
        values = code.floats[0].astype(np.float32)
    else:
        raise ValueError(f"scales is {form.scales!r} for a grid called {form.kind!r}")
    return values.reshape(form.blocks)


def _absmax(code: GridCode) -> QuantizedAbsmax:
    codes: Any = code.integers["scales"].reshape(code.form.blocks)
    if not np.isin(codes, np.arange(1 << CODES8)).all():
        raise ValueError("a magnitude's code has more than 8 bits")
    floats: Any = code.floats[0].astype(np.float32)
    return QuantizedAbsmax(Codes8(codes.astype(np.uint8), floats[:-1]), floats[-1])
