"""The packed file: what a compressed model weighs on disk, to the byte.

Layout, little-endian::

    magic "WFMP" | version u8 | header bytes u32 | payload bytes u64
    header   zlib-compressed JSON: one list per field of ``Record``, and the metadata
    payload  for each tensor its mask, its values and what its grid needs (scales, zero points, row
             factors), each from a whole byte on
    crc32 u32 of everything before

A file that is cut short, altered, foreign or of a later version raises ``PackedFileError``;
nothing of it is returned.
"""

import json
import os
import struct
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from wfm_jax.export.bits import packed_size
from wfm_jax.export.grid_code import GridCode, GridForm
from wfm_jax.export.masks import MaskCode
from wfm_jax.export.tensors import PackedTensor, Sections, decode_tensor, encode_tensor
from wfm_jax.results import atomic

_MAGIC, _VERSION = b"WFMP", 2
SECTIONS = ("masks", "values", "scales", "zero_points", "inputs")
_PREAMBLE, _CRC = struct.Struct("<4sBIQ"), struct.Struct("<I")


class PackedFileError(ValueError):
    """A file is not a packed model, or not as it was written; names the file and the field."""


class Record(NamedTuple):
    """What the header says of one tensor; the sections' sizes follow from it."""

    name: str
    shape: list[int]
    bits: int
    kept: int
    mask: str
    mask_parameter: int
    mask_bytes: int
    scale_shape: list[int] | None
    scale_bits: int
    grid: str | None

    @property
    def form(self) -> GridForm:
        return GridForm(self.grid, self.bits, self.scale_shape, self.scale_bits)

    def section_sizes(self) -> tuple[int, ...]:
        """Bytes of each of ``SECTIONS``."""
        values = packed_size(self.kept, self.bits)
        return self.mask_bytes, values, *self.form.section_sizes(self.shape)


def pack(tensors: Mapping[str, PackedTensor], metadata: Mapping[str, Any] | None = None) -> bytes:
    """The bytes of a packed file; ``metadata`` is any JSON. Raises ValueError naming a tensor."""
    records, payload = [], []
    for name, tensor in tensors.items():
        try:
            sections = encode_tensor(tensor)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        records.append(_record(name, tensor, sections))
        payload += [sections.mask.data, sections.values, *sections.grid[1:]]
    columns = dict(zip(Record._fields, zip(*records, strict=True), strict=True)) if records else {}
    header = {"tensors": columns, "metadata": dict(metadata or {})}
    compressed = zlib.compress(json.dumps(header, separators=(",", ":")).encode(), 9)
    body = b"".join(payload)
    data = _PREAMBLE.pack(_MAGIC, _VERSION, len(compressed), len(body)) + compressed + body
    return data + _CRC.pack(zlib.crc32(data))


def unpack(data: bytes, source: str = "packed bytes") -> dict[str, PackedTensor]:
    """The tensors as stored (codes, grids, masks). Raises PackedFileError naming ``source``."""
    header, records = _read_header(data, source)
    at, tensors = _PREAMBLE.size + header, {}
    for record in records:
        parts = []
        for size in record.section_sizes():
            parts.append(data[at : at + size])
            at += size
        mask = MaskCode(record.mask, record.mask_parameter, parts[0])
        sections = Sections(mask, record.kept, parts[1], GridCode(record.form, *parts[2:]))
        try:
            tensor = decode_tensor(sections, tuple(record.shape))
        except (ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError) as error:
            raise PackedFileError(f"{source}: tensor {record.name}: {error}") from None
        tensors[record.name] = tensor
    return tensors


def save_packed(
    path: str | os.PathLike,
    tensors: Mapping[str, PackedTensor],
    metadata: Mapping[str, Any] | None = None,
) -> int:
    """Writes a packed file in one step and returns its size in bytes."""
    data = pack(tensors, metadata)
    atomic.write_bytes(path, data)
    return len(data)


def load_packed(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The effective float32 weights by name, bit for bit those that were packed.

    Raises PackedFileError for a damaged or foreign file, OSError for one that cannot be read.
    """
    with open(path, "rb") as file:
        tensors = unpack(file.read(), str(path))
    return {name: tensor.effective() for name, tensor in tensors.items()}


def read_metadata(data: bytes, source: str = "packed bytes") -> dict[str, Any]:
    """The metadata given to ``pack``. Raises PackedFileError."""
    _check(data, source)
    return _parse_header(data, source)["metadata"]


def size_breakdown(data: bytes) -> dict[str, int]:
    """Bytes by purpose: ``header``, those of ``SECTIONS``, ``crc``; they sum to the file's size."""
    header, records = _read_header(data, "packed bytes")
    sizes = [record.section_sizes() for record in records]
    totals = [sum(column) for column in zip((0,) * len(SECTIONS), *sizes, strict=True)]
    return {
        "header": _PREAMBLE.size + header,
        **dict(zip(SECTIONS, totals, strict=True)),
        "crc": _CRC.size,
    }


def _record(name: str, tensor: PackedTensor, sections: Sections) -> Record:
    mask, form = sections.mask, sections.grid.form
    return Record(
        name,
        list(tensor.values.shape),
        form.bits,
        sections.kept,
        mask.kind,
        mask.parameter,
        len(mask.data),
        form.scale_shape,
        form.scale_bits,
        form.kind,
    )


def _check(data: bytes, source: str) -> tuple[int, int]:
    """Sizes of header and payload of bytes that are whole and unaltered."""
    if data[: len(_MAGIC)] != _MAGIC[: len(data)] or not data:
        raise PackedFileError(f"{source}: magic: not a packed model")
    if len(data) < _PREAMBLE.size + _CRC.size:
        raise PackedFileError(f"{source}: size: cut short at {len(data)} bytes")
    _, version, header, payload = _PREAMBLE.unpack_from(data)
    if version != _VERSION:
        raise PackedFileError(f"{source}: version: {version}, this library reads {_VERSION}")
    size = _PREAMBLE.size + header + payload + _CRC.size
    if len(data) != size:
        raise PackedFileError(f"{source}: size: {len(data)} bytes where the file says {size}")
    if zlib.crc32(data[: -_CRC.size]) != _CRC.unpack(data[-_CRC.size :])[0]:
        raise PackedFileError(f"{source}: crc32: the bytes are not as they were written")
    return header, payload


def _parse_header(data: bytes, source: str) -> dict[str, Any]:
    header = _PREAMBLE.unpack_from(data)[2]
    try:
        parsed = json.loads(zlib.decompress(data[_PREAMBLE.size : _PREAMBLE.size + header]))
        return {"tensors": parsed["tensors"], "metadata": parsed["metadata"]}
    except (ValueError, TypeError, KeyError, zlib.error) as error:
        raise PackedFileError(f"{source}: header: {error}") from None


def _read_header(data: bytes, source: str) -> tuple[int, list[Record]]:
    """The header's size and its records, whose sections fill the payload exactly."""
    header, payload = _check(data, source)
    columns = _parse_header(data, source)["tensors"]
    try:
        fields = [columns[field] for field in Record._fields] if columns else []
        records = [Record(*row) for row in zip(*fields, strict=True)]
        described = sum(sum(record.section_sizes()) for record in records)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise PackedFileError(f"{source}: header: {error!r}") from None
    if described != payload:
        raise PackedFileError(f"{source}: header: describes {described} of {payload} bytes")
    return header, records
