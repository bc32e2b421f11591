"""The grids that quantized weights lie on: what turns the codes of a file into weights.

One type for each way of writing a tensor that ``wfm_jax.compress`` offers. Every grid has ``bits``,
``lowest``, the least of its 2^bits codes, and five functions:

* ``checked(shape)`` is the grid in NumPy arrays and plain numbers, once it fits weights of that
  shape (ValueError if not); the others are for what it returns;
* ``weights(codes)`` is float32, bit for bit what the transform makes of them: every product is
  rounded on its own, and a negative zero is zero;
* ``codes(weights)`` are the nearest ones, int32; whether weights are on the grid at all is seen by
  going back;
* ``zero_codes(shape)`` are those of zero, or the one;
* ``steps(shape)`` is the size of every weight's step or block, float32: how likely a code is
  depends on it, most of all where small weights have been pruned.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from wfm_jax.compress.dynamic_map import DYNAMIC_MAP, Codes8
from wfm_jax.compress.nf4 import NF4_LEVELS, QuantizedAbsmax, block_size_of

INTEGER_BITS = range(2, 9)
ABSMAX_BLOCK = 256
_ZERO, _ONE = np.float32(0), np.float32(1)


class Float(NamedTuple):
    """No grid: the weights themselves.

    Attributes:
      bits: 32 for float32, 16 for float16, which every weight must then be one of.
    """

    bits: int = 32

    def checked(self, shape: tuple[int, ...]) -> "Float":
        del shape
        bits = float(np.asarray(self.bits))
        if bits not in (16, 32):
            raise ValueError(f"floats of {bits:g} bits: they are stored in 16 or 32")
        return Float(int(bits))

    def weights(self, codes: np.ndarray) -> np.ndarray:
        return codes.astype(np.float32)

    def codes(self, weights: np.ndarray) -> np.ndarray:
        return weights

    def zero_codes(self, shape: tuple[int, ...]) -> np.ndarray | int:
        del shape
        return 0

    def steps(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.ones(shape, np.float32)


class Uniform(NamedTuple):
    """Integers times a scale, as ``quantize``, ``gptq_quantize``, ``lsq_apply``, ``awq_quantize``.

    Attributes:
      bits: scalar, 2 to 8; or 16 or 32: no grid, the tensor is a `Float`.
      scale: float32, of the rank of the weights; its shape says how they share it, see
        ``wfm_jax.compress.blocks``.
      inputs: AWQ's float32 ``[in, 1]`` of float16 values, or None: rows of the weights are
        multiplied by their reciprocals.
    """

    bits: Any
    scale: Any
    inputs: Any = None

    @property
    def lowest(self) -> int:
        """The least code, -2^(bits-1)."""
        return -(1 << self.bits - 1)

    def checked(self, shape: tuple[int, ...]) -> "Uniform | Float":
        bits = _checked_bits(self.bits)
        if bits >= 16:
            return Float(bits)
        scale = np.asarray(self.scale, np.float32)
        spread(scale, shape)
        return Uniform(bits, scale, _checked_inputs(self.inputs, shape))

    def weights(self, codes: np.ndarray) -> np.ndarray:
        weights = codes.astype(np.float32) * spread(self.scale, codes.shape)
        return (weights if self.inputs is None else weights * (_ONE / self.inputs)) + _ZERO

    def codes(self, weights: np.ndarray) -> np.ndarray:
        rows = weights if self.inputs is None else weights * self.inputs
        nearest = _nearest(rows, spread(self.scale, weights.shape))
        return np.clip(nearest, self.lowest, -self.lowest - 1)

    def zero_codes(self, shape: tuple[int, ...]) -> np.ndarray | int:
        del shape
        return 0

    def steps(self, shape: tuple[int, ...]) -> np.ndarray:
        return spread(np.abs(self.scale), shape)


class Affine(NamedTuple):
    """Integers less a zero point, times a scale, as ``quantize_affine``.

    Attributes:
      bits: as of `Uniform`.
      scale: as of `Uniform`.
      zero_point: integers of the shape of ``scale``, 0 to 2^bits - 1.
    """

    bits: Any
    scale: Any
    zero_point: Any

    lowest = 0

    def checked(self, shape: tuple[int, ...]) -> "Affine | Float":
        bits = _checked_bits(self.bits)
        if bits >= 16:
            return Float(bits)
        scale, zero_point = np.asarray(self.scale, np.float32), np.asarray(self.zero_point)
        spread(scale, shape)
        if zero_point.shape != scale.shape:
            raise ValueError(f"zero points of shape {zero_point.shape}, scales of {scale.shape}")
        if not np.isin(zero_point, np.arange(1 << bits)).all():
            raise ValueError(
                f"a zero point is none of 0..{(1 << bits) - 1}, the range of {bits} bits"
            )
        return Affine(bits, scale, zero_point.astype(np.int32))

    def weights(self, codes: np.ndarray) -> np.ndarray:
        steps = (codes - spread(self.zero_point, codes.shape)).astype(np.float32)
        return steps * spread(self.scale, codes.shape) + _ZERO

    def codes(self, weights: np.ndarray) -> np.ndarray:
        nearest = _nearest(weights, spread(self.scale, weights.shape))
        return np.clip(nearest + spread(self.zero_point, weights.shape), 0, (1 << self.bits) - 1)

    def zero_codes(self, shape: tuple[int, ...]) -> np.ndarray | int:
        return spread(self.zero_point, shape)

    def steps(self, shape: tuple[int, ...]) -> np.ndarray:
        return spread(np.abs(self.scale), shape)


class NF4(NamedTuple):
    """Sixteen levels times the largest magnitude of each block in memory, as ``nf4``.

    Attributes:
      absmax: float32 ``[n_blocks]``, or double quantized: ``compress.QuantizedAbsmax``. Their
        number says how long blocks are.
    """

    absmax: Any

    bits = 4
    lowest = 0

    def checked(self, shape: tuple[int, ...]) -> "NF4":
        absmax, size = _checked_absmax(self.absmax), math.prod(shape)
        blocks = np.shape(absmax.codes.codes if isinstance(absmax, QuantizedAbsmax) else absmax)
        n_blocks = max(math.prod(blocks), 1)
        if blocks != (-(-size // block_size_of(size, n_blocks)),):
            raise ValueError(f"magnitudes of shape {blocks} do not fit {size} weights")
        return NF4(absmax)

    def weights(self, codes: np.ndarray) -> np.ndarray:
        return NF4_LEVELS[codes] * self.steps(codes.shape) + _ZERO

    def codes(self, weights: np.ndarray) -> np.ndarray:
        absmax = self.steps(weights.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            ratio = np.divide(weights, absmax, out=np.zeros_like(weights), where=absmax != 0)
        return np.searchsorted((NF4_LEVELS[:-1] + NF4_LEVELS[1:]) / 2, ratio).astype(np.int32)

    def zero_codes(self, shape: tuple[int, ...]) -> np.ndarray | int:
        del shape
        return NF4_LEVELS.tolist().index(0.0)

    def steps(self, shape: tuple[int, ...]) -> np.ndarray:
        absmax, size = self.absmax, math.prod(shape)
        if isinstance(absmax, QuantizedAbsmax):
            inner = np.repeat(absmax.codes.absmax, ABSMAX_BLOCK)[: absmax.codes.codes.size]
            absmax = DYNAMIC_MAP[absmax.codes.codes] * inner + absmax.offset
        block_size = block_size_of(size, max(absmax.size, 1))
        return np.repeat(absmax, block_size)[:size].reshape(shape)


Grid = Float | Uniform | Affine | NF4


def spread(entries: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Repeats every entry over its block of weights of ``shape``, all blocks of equal size.

    The shape says how weights share entries, as in ``wfm_jax.compress.blocks``: ``[1, out]`` is one
    per output channel, ``[groups, out]`` one per group of inputs. ValueError if it does not fit.
    """
    fits = entries.ndim == len(shape) and all(
        b and n % b == 0 for b, n in zip(entries.shape, shape, strict=True)
    )
    if not fits:
        raise ValueError(f"a scale of shape {entries.shape} does not fit weights of shape {shape}")
    for axis, size in enumerate(shape):
        entries = np.repeat(entries, size // entries.shape[axis], axis)
    return entries


def is_float16(values: np.ndarray) -> bool:
    """Whether every float32 in ``values`` survives float16 bit for bit."""
    values = np.asarray(values, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        back = values.astype(np.float16).astype(np.float32)
    return back.tobytes() == values.tobytes()


def _checked_bits(bits: Any) -> int:
    """2 to 8, 16 or 32; what lies between 16 and 32 is stored as 16, what lies above as 32."""
    number = float(np.asarray(bits))
    if number >= 16:
        return 16 if number < 32 else 32
    if number not in INTEGER_BITS:
        raise ValueError(f"{number:g} bits: a tensor is stored in 2 to 8, 16 or 32")
    return int(number)


def _checked_inputs(inputs: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    if inputs is None:
        return None
    inputs = np.asarray(inputs, np.float32)
    if len(shape) != 2 or inputs.shape != (shape[0], 1):
        raise ValueError(f"row factors of shape {inputs.shape} for weights of shape {shape}")
    if not is_float16(inputs) or not (inputs > 0).all():
        raise ValueError("a row factor is no positive float16")
    return inputs


def _checked_absmax(absmax: Any) -> Any:
    if not isinstance(absmax, QuantizedAbsmax):
        return np.asarray(absmax, np.float32)
    codes: Any = np.asarray(absmax.codes.codes)
    inner: Any = np.asarray(absmax.codes.absmax, np.float32)
    offset: Any = np.asarray(absmax.offset, np.float32).reshape(())
    if codes.dtype != np.uint8 or inner.shape != (-(-codes.size // ABSMAX_BLOCK),):
        raise ValueError(
            f"double-quantized magnitudes must be uint8 with a maximum for every {ABSMAX_BLOCK} of "
            f"them, got {codes.dtype}{list(codes.shape)} and {list(inner.shape)}"
        )
    return QuantizedAbsmax(Codes8(codes, inner), offset)


def _nearest(weights: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """round(weights / steps), zero where a step is; clipped so that nothing wraps."""
    with np.errstate(over="ignore", invalid="ignore"):
        ratio = np.divide(weights, steps, out=np.zeros_like(weights), where=steps != 0)
    return np.rint(np.clip(np.nan_to_num(ratio), -(1 << 16), 1 << 16)).astype(np.int32)
