"""Tensors as the floats and the one stream of integers of a packed file, and back."""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from wfm_jax.export.entropy import AnsCoder, Model, pop, push
from wfm_jax.export.grid_code import FLOATS, GridCode, decode_grid, encode_grid
from wfm_jax.export.grids import Float, Grid
from wfm_jax.export.header import Record
from wfm_jax.export.pools import SIDE, counts, has_rows, live_rows, order, pools, section_of
from wfm_jax.export.tensors import PackedTensor, Values, decode_values, encode_values, n_stored

_WORD = np.dtype("<u4")


class Payload(NamedTuple):
    """What tensors become.

    Attributes:
      records: one for each tensor.
      models: one for each pool, in the order of the stream.
      floats: bytes of float32 and float16: what grids need of all tensors, then the weights of
        tensors without a grid.
      stream: bytes of all integers.
    """

    records: list[Record]
    models: list[Model]
    floats: bytes
    stream: bytes


class _Tensor(NamedTuple):
    """A tensor on its way: ``integers`` by section."""

    record: Record
    grid: Grid
    integers: dict[str, np.ndarray]
    grid_floats: list[np.ndarray]
    floats: np.ndarray


def write_payload(tensors: Mapping[str, PackedTensor]) -> Payload:
    """Encodes tensors by path name. Raises ValueError naming the one that cannot be stored."""
    encoded = []
    for name, tensor in tensors.items():
        try:
            encoded.append(_encode(name, tensor))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    records = [one.record for one in encoded]
    coder, models = AnsCoder(), []
    for pool in reversed(pools(records)):
        members = [encoded[i] for i in pool.members]
        joined = np.concatenate([one.integers[pool.section].ravel() for one in members])
        if pool.section not in SIDE:
            joined = joined[order([(one.grid, one.record, one.integers) for one in members])]
        models.append(push(coder, joined))
    floats = [array for one in encoded for array in one.grid_floats]
    floats += [one.floats for one in encoded]
    stream = coder.get_compressed().astype(_WORD).tobytes()
    return Payload(records, models[::-1], b"".join(array.tobytes() for array in floats), stream)


def read_payload(payload: Payload) -> tuple[dict[str, PackedTensor], dict[str, float]]:
    """The tensors, and bytes by section, those of the stream in fractions.

    Raises ValueError naming the tensor or the array that is not as ``write_payload`` writes it.
    """
    records, plan = payload.records, pools(payload.records)
    if len(plan) != len(payload.models):
        raise ValueError(f"models: {len(payload.models)} for {len(plan)} arrays of integers")
    stream, floats = _Stream(payload.stream), _Floats(payload.floats)
    integers: list[dict[str, np.ndarray]] = [{} for _ in records]
    grids: list[Grid] = []
    for pool, model in zip(plan, payload.models, strict=True):
        sizes = [counts(records[i])[pool.section] for i in pool.members]
        array = stream.take(pool.section, sum(sizes), model)
        if pool.section not in SIDE:
            if not grids:
                grids = [_grid(*one, floats) for one in zip(records, integers, strict=True)]
            by = order([(grids[i], records[i], integers[i]) for i in pool.members])
            ordered, array = array, np.empty_like(array)
            array[by] = ordered
        for i, own in zip(pool.members, np.split(array, np.cumsum(sizes[:-1])), strict=True):
            integers[i][pool.section] = own
    tensors = {
        record.name: _decode(record, grid, own, floats)
        for record, grid, own in zip(records, grids, integers, strict=True)
    }
    of_stream, of_floats = stream.finish(), floats.finish()
    sizes = {s: of_stream.get(s, 0) + of_floats.get(s, 0) for s in {**of_stream, **of_floats}}
    return tensors, sizes


def _encode(name: str, tensor: PackedTensor) -> _Tensor:
    grid = tensor.grid.checked(tensor.values.shape)
    code, values = encode_grid(grid), encode_values(tensor, grid)
    pruned = int(tensor.keep is not None)
    record = Record(name, list(tensor.values.shape), *code.form, pruned)
    integers = {**code.integers, section_of(record): values.integers}
    if has_rows(record):
        integers["rows"] = live_rows(values.integers)
    return _Tensor(record, grid, integers, code.floats, values.floats)


def _grid(record: Record, integers: Mapping[str, np.ndarray], floats: "_Floats") -> Grid:
    own = [floats.take(*section) for section in record.form.floats(record.shape)]
    try:
        return decode_grid(GridCode(record.form, integers, own), tuple(record.shape))
    except ValueError as error:
        raise ValueError(f"tensor {record.name}: {error}") from None


def _decode(
    record: Record, grid: Grid, integers: Mapping[str, np.ndarray], floats: "_Floats"
) -> PackedTensor:
    section = section_of(record)
    own = integers[section].reshape(record.shape)
    try:
        stored = n_stored(own) if isinstance(grid, Float) else 0
        weights = floats.take(section, FLOATS.get(grid.bits, FLOATS[32]), stored)
        return decode_values(Values(own, weights), grid)
    except ValueError as error:
        raise ValueError(f"tensor {record.name}: {error}") from None


class _Stream:
    """Takes arrays of integers off the stream, in order, and tallies their bytes."""

    def __init__(self, data: bytes):
        self._coder, self._whole = AnsCoder(np.frombuffer(data, _WORD).astype(np.uint32)), len(data)
        self._sizes: defaultdict[str, float] = defaultdict(float)

    def take(self, section: str, n: int, model: Model) -> np.ndarray:
        try:
            decoded = pop(self._coder, n, model)
        except ValueError as error:
            raise ValueError(f"{section}: {error}") from None
        self._sizes[section] += decoded.bits / 8
        self._sizes["histograms"] += decoded.histogram_bits / 8
        return decoded.integers

    def finish(self) -> dict[str, float]:
        if not self._coder.is_empty():
            raise ValueError("the stream of integers does not end with the last tensor")
        self._sizes["coder"] += self._whole - sum(self._sizes.values())
        return self._sizes


class _Floats:
    """Takes arrays off the floats, in order, and tallies their bytes."""

    def __init__(self, data: bytes):
        self._data, self._at = data, 0
        self._sizes: defaultdict[str, float] = defaultdict(float)

    def take(self, section: str, dtype: np.dtype, n: int) -> np.ndarray:
        end = self._at + n * dtype.itemsize
        if end > len(self._data):
            raise ValueError(f"{section}: the floats end after {len(self._data)} bytes")
        array = np.frombuffer(self._data[self._at : end], dtype)
        self._sizes[section] += end - self._at
        self._at = end
        return array

    def finish(self) -> dict[str, float]:
        if self._at != len(self._data):
            raise ValueError(f"{len(self._data) - self._at} bytes of floats belong to no tensor")
        return self._sizes
