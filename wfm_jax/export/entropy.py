"""Integers in as few bits as their frequencies allow.

An array is cut into parts of equal length, each with a histogram of its own, so whoever orders it
well is rewarded. Histograms stand in the same stream as what they describe: every count 7 bits, the
largest of a part taken as 4096. A bin may hold several neighbouring integers, equally likely; with
no histogram at all everything is equally likely, which is plain bit packing. What costs least is
chosen.

The coder is asymmetric numeral systems (Duda 2013, arXiv 1311.2540) as implemented by constriction
(Bamler 2022, arXiv 2201.01741): a stack, so what is pushed last is read first. It ends within 64
bits of the information content of the whole file, however many arrays there are.
"""

from typing import Any, NamedTuple

import constriction
import numpy as np

from wfm_jax.export.coarse import from_codes, to_codes

_streams: Any = constriction
AnsCoder = _streams.stream.stack.AnsCoder
distributions = _streams.stream.model
Coder = Any
"""An ``AnsCoder``: a stack of integers, empty or made of uint32 words; its types are not known."""

PARTS = (16, 8, 4, 2, 1)
MAX_SIZE, MAX_BINS = 1 << 20, 512
_LARGEST, _COUNT_FRACTION = 1 << 12, 3
_ONE = 127 << _COUNT_FRACTION
_COUNT_CODES = 1 + (12 << _COUNT_FRACTION) + 1


class Model(NamedTuple):
    """How an array of integers is written; its histograms are in the stream.

    Attributes:
      lowest: the least integer.
      gap: how many integers are left out between zero and the next one, where zero is the least.
      size: how many different integers there may be, ``gap`` not counted.
      shift: a bin of a histogram holds ``2**shift`` of them.
      parts: how many histograms, one of ``PARTS``; or 0, all integers are equally likely.
    """

    lowest: int
    gap: int
    size: int
    shift: int
    parts: int

    def check(self) -> None:
        """Raises ValueError for values that no array leads to."""
        for field, value in self._asdict().items():
            if type(value) is not int:
                raise ValueError(f"{field} is {value!r}, it must be an integer")
        if not 1 <= self.size <= MAX_SIZE or not abs(self.lowest) <= MAX_SIZE:
            raise ValueError(f"size {self.size} from {self.lowest}: at most {MAX_SIZE}")
        if not 0 <= self.gap < 1 << 31 or not 0 <= self.shift < self.size.bit_length():
            raise ValueError(f"gap {self.gap} and shift {self.shift} do not fit size {self.size}")
        if self.parts not in (0, *PARTS):
            raise ValueError(f"parts is {self.parts}, it must be 0 or one of {PARTS}")


class Decoded(NamedTuple):
    """An array that was read, int32 ``[n]``, and what it took in bits without and with."""

    integers: np.ndarray
    bits: int
    histogram_bits: int


def push(coder: Coder, integers: np.ndarray) -> Model:
    """Puts int ``[n]`` onto the stack and says how; ValueError if they spread too far."""
    model, symbols = _from_zero(np.asarray(integers, np.int64).ravel())
    model, counts = _cheapest(model, symbols)
    if model.size == 1:
        return model
    if not model.parts:
        coder.encode_reverse(symbols, distributions.Uniform(model.size))
        return model
    cuts = _cuts(symbols.size, model.parts)
    for part in reversed(range(model.parts)):
        if (chunk := symbols[cuts[part] : cuts[part + 1]]).size:
            table = _rounded(counts[part])
            coder.encode_reverse(chunk, _categorical(table, model))
            coder.encode_reverse(table, distributions.Uniform(_COUNT_CODES))
    return model


def pop(coder: Coder, n: int, model: Model) -> Decoded:
    """Reads the ``n`` integers that ``push`` put there; ValueError if nothing such is there."""
    before, for_histograms, chunks = coder.num_valid_bits(), 0, []
    if model.size == 1:
        chunks = [np.zeros(n, np.int32)]
    elif not model.parts:
        chunks = [coder.decode(distributions.Uniform(model.size), n)]
    cuts = _cuts(n, model.parts)
    for part in range(model.parts if model.size > 1 else 0):
        if count := cuts[part + 1] - cuts[part]:
            start = coder.num_valid_bits()
            table = coder.decode(distributions.Uniform(_COUNT_CODES), _n_bins(model))
            for_histograms += start - coder.num_valid_bits()
            chunks.append(coder.decode(_categorical(table, model), count))
    symbols = np.concatenate(chunks) if chunks else np.zeros(0, np.int32)
    integers = np.where(symbols > 0, symbols + model.gap, symbols) + model.lowest
    bits = before - coder.num_valid_bits() - for_histograms
    return Decoded(integers.astype(np.int32), bits, for_histograms)


def entropy_bits(counts: np.ndarray) -> np.ndarray:
    """Bits of as many symbols as ``counts[..., k]`` says, at their own frequencies: ``[...]``."""
    counts = np.asarray(counts, np.float64)
    total = np.maximum(counts.sum(-1, keepdims=True), 1)
    return -(counts * np.log2(np.where(counts > 0, counts / total, 1))).sum(-1)


def _from_zero(integers: np.ndarray) -> tuple[Model, np.ndarray]:
    """The integers as int32 symbols from 0 on, without the gap above zero."""
    if not integers.size:
        return Model(0, 0, 1, 0, 0), integers.astype(np.int32)
    lowest = int(integers.min())
    others = integers[integers > 0]
    gap = int(others.min()) - 1 if lowest == 0 and others.size else 0
    size = int(integers.max()) - lowest - gap + 1
    if size > MAX_SIZE or abs(lowest) > MAX_SIZE:
        raise ValueError(f"integers from {lowest} to {integers.max()} spread too far")
    symbols = integers - lowest
    return Model(lowest, gap, size, 0, 0), np.where(symbols, symbols - gap, 0).astype(np.int32)


def _cheapest(model: Model, symbols: np.ndarray) -> tuple[Model, np.ndarray]:
    """The model that takes the fewest bits, histograms included, and its counts by part and bin."""
    best, least = (model, np.zeros((0, 1))), symbols.size * np.log2(model.size)
    finest = max(model.size.bit_length() - MAX_BINS.bit_length() + 1, 0)
    counts = _counts(symbols >> finest, -(-model.size >> finest))
    for shift in range(finest, model.size.bit_length()):
        table_bits = counts.shape[1] * np.log2(_COUNT_CODES)
        for parts in PARTS:
            of_parts = counts.reshape(parts, PARTS[0] // parts, -1).sum(1)
            bits = entropy_bits(of_parts).sum() + symbols.size * shift + parts * table_bits
            if bits < least:
                best, least = (model._replace(shift=shift, parts=parts), of_parts), bits
        counts = np.add.reduceat(counts, np.arange(0, counts.shape[1], 2), axis=1)
    return best


def _counts(symbols: np.ndarray, size: int) -> np.ndarray:
    """How often each symbol occurs in each of the most parts: ``[16, size]``."""
    part = np.repeat(np.arange(PARTS[0]), np.diff(_cuts(symbols.size, PARTS[0])))
    counts = np.bincount(part * size + symbols, minlength=PARTS[0] * size)
    return counts.reshape(PARTS[0], size)


def _cuts(n: int, parts: int) -> list[int]:
    return [n * i // parts for i in range(parts + 1)] if parts else []


def _n_bins(model: Model) -> int:
    return -(-model.size >> model.shift)


def _rounded(counts: np.ndarray) -> np.ndarray:
    """Counts in 7 bits: 0, or 1 more than the place on the coarse grid from 1 to 4096."""
    relative = np.maximum(counts * (_LARGEST / counts.max()), 1) * (1 + 2.0**-_COUNT_FRACTION / 2)
    codes = np.minimum(to_codes(relative, _COUNT_FRACTION) - _ONE + 1, _COUNT_CODES - 1)
    return np.where(counts > 0, codes, 0).astype(np.int32)


def _categorical(table: np.ndarray, model: Model) -> Any:
    counts = np.where(table > 0, from_codes(table + (_ONE - 1), _COUNT_FRACTION), np.float32(0))
    of_each = np.repeat(counts, 1 << model.shift)[: model.size]
    return distributions.Categorical(of_each.astype(np.float32), perfect=False)
