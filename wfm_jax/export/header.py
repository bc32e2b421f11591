"""The header of a packed file: what its tensors are, how its integers are written, and any JSON.

JSON text, one list per field of ``Record``, compressed by deflate (RFC 1951) with a preset
dictionary (``wfm_jax.export.header_words``).
"""

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from wfm_jax.export.coarse import FRACTION_BITS
from wfm_jax.export.entropy import Model
from wfm_jax.export.grid_code import (
    AFFINE,
    CODES8,
    FLOAT,
    FLOATS,
    NORMAL,
    ROWS,
    UNIFORM,
    GridForm,
)
from wfm_jax.export.grids import INTEGER_BITS
from wfm_jax.export.header_words import DICTIONARY

_MAX_TEXT, _MAX_WEIGHTS = 1 << 26, 1 << 31


class Record(NamedTuple):
    """What the header says of one tensor; all sizes follow from it.

    Attributes:
      name: its path.
      shape: of the weights.
      grid: see `GridForm.kind`.
      bits: of a weight.
      blocks: see `GridForm`.
      scales: see `GridForm`.
      pruned: whether it came with a keep mask.
    """

    name: str
    shape: list[int]
    grid: str
    bits: int
    blocks: list[int] | None
    scales: int | None
    pruned: int

    @property
    def size(self) -> int:
        """Weights of the tensor."""
        return math.prod(self.shape)

    @property
    def form(self) -> GridForm:
        """What of the tensor's grid is in the header."""
        return GridForm(self.grid, self.bits, self.blocks, self.scales)


class Header(NamedTuple):
    """What a packed file says of itself.

    Attributes:
      records: of the tensors, in their order.
      models: of the arrays of integers, in the order of the stream.
      metadata: any JSON by name.
    """

    records: list[Record]
    models: list[Model]
    metadata: dict[str, Any]


def write_header(header: Header) -> bytes:
    """The compressed text. Raises TypeError or ValueError where metadata is no JSON."""
    columns = {field: [getattr(one, field) for one in header.records] for field in Record._fields}
    fields = {"tensors": columns, "models": header.models, "metadata": header.metadata}
    text = json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()
    deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS, zdict=DICTIONARY)
    return deflate.compress(text) + deflate.flush()


def read_header(data: bytes) -> Header:
    """The inverse of ``write_header``; ValueError naming the field that is not as it writes it."""
    inflate = zlib.decompressobj(wbits=-zlib.MAX_WBITS, zdict=DICTIONARY)
    try:
        text = inflate.decompress(data, _MAX_TEXT)
        fields = json.loads(text)
    except (zlib.error, ValueError, RecursionError) as error:
        raise ValueError(f"no compressed JSON: {error}") from None
    if not inflate.eof or inflate.unused_data:
        raise ValueError("no compressed JSON: it does not end where it should")
    _check_fields("header", fields, ("tensors", "models", "metadata"))
    if not isinstance(fields["metadata"], dict):
        raise ValueError(f"metadata is {fields['metadata']!r}, it must be an object")
    return Header(_records(fields["tensors"]), _models(fields["models"]), fields["metadata"])


def _records(columns: Any) -> list[Record]:
    _check_fields("tensors", columns, Record._fields)
    if not all(isinstance(column, list) for column in columns.values()):
        raise ValueError("tensors: every field must be a list")
    if len({len(column) for column in columns.values()}) != 1:
        raise ValueError("tensors: lists of different lengths")
    records = [Record(*row) for row in zip(*map(columns.get, Record._fields), strict=True)]
    for record in records:
        _check_record(record)
    if len({record.name for record in records}) != len(records):
        raise ValueError("tensors: two have the same name")
    return records


def _check_record(record: Record) -> None:
    """Raises ValueError naming the tensor and the field."""
    if not _is_shape(record.shape) or record.size > _MAX_WEIGHTS:
        raise ValueError(f"tensor {record.name}: shape is {record.shape!r}")
    width = record.bits if type(record.bits) is int else None
    is_float = record.grid == FLOAT
    allowed = {
        "name": type(record.name) is str,
        "grid": record.grid in (FLOAT, UNIFORM, ROWS, AFFINE, NORMAL),
        "bits": width in (FLOATS if is_float else INTEGER_BITS),
        "blocks": record.blocks is None if is_float else _is_blocks(record),
        "scales": record.scales is None if is_float else _is_scales(record),
        "pruned": type(record.pruned) is int and record.pruned in (0, 1),
    }
    for field, fine in allowed.items():
        if not fine:
            value = getattr(record, field)
            raise ValueError(f"tensor {record.name}: {field} is {value!r}")


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)


def _is_blocks(record: Record) -> bool:
    return _is_shape(record.blocks) and record.form.n_scales <= max(record.size, 1)


def _is_scales(record: Record) -> bool:
    if type(record.scales) is not int:
        return False
    if record.scales == CODES8:
        return record.grid == NORMAL
    return record.scales in FRACTION_BITS or record.scales in FLOATS


def _models(rows: Any) -> list[Model]:
    n = len(Model._fields)
    if not isinstance(rows, list) or not all(isinstance(r, list) and len(r) == n for r in rows):
        raise ValueError(f"models must be a list of {', '.join(Model._fields)}")
    models = [Model(*row) for row in rows]
    for i, model in enumerate(models):
        try:
            model.check()
        except ValueError as error:
            raise ValueError(f"models: {i}: {error}") from None
    return models


def _check_fields(where: str, fields: Any, wanted: Sequence[str]) -> None:
    if not isinstance(fields, Mapping):
        raise ValueError(f"{where} is no object")
    if unknown := sorted(set(fields) - set(wanted)):
        raise ValueError(f"{where}: unknown field {', '.join(unknown)}")
    if missing := sorted(set(wanted) - set(fields)):
        raise ValueError(f"{where}: no field {', '.join(missing)}")
