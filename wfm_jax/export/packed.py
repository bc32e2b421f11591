"""The packed file: what a compressed model weighs on disk, to the byte.

Layout of version 3, little-endian::

    magic "WFMP" | version u8 | header bytes u32 | float bytes u32 | stream bytes u32
    header   compressed JSON (``wfm_jax.export.header``): a record for each tensor, a model for each
             array of integers, and the metadata
    floats   float32 and float16: scales, row factors, weights without a grid
    stream   all integers in one entropy code (``wfm_jax.export.entropy``): weights, masks, scales
             on the coarse grid, zero points, and the histograms of all these
    crc32 u32 of everything before

Zero is an integer like any other, so no mask stands beside the values: mask and values together
take what their joint entropy allows.

A file that is cut short, altered, foreign or of another version raises ``PackedFileError``; nothing
of it is returned.
"""

import os
import struct
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from wfm_jax.export.header import Header, read_header, write_header
from wfm_jax.export.payload import Payload, read_payload, write_payload
from wfm_jax.export.pools import SIDE, WEIGHTS
from wfm_jax.export.tensors import PackedTensor
from wfm_jax.results import atomic

SECTIONS = ("preamble", "header", "histograms", *SIDE, "inputs", *WEIGHTS, "coder", "crc")
_MAGIC, _VERSION = b"WFMP", 3
_PREAMBLE, _CRC = struct.Struct("<4sBIII"), struct.Struct("<I")


class PackedFileError(ValueError):
    """A file is not a packed model, or not as it was written; names the file and the field."""


class _Whole(NamedTuple):
    """A file that was read: its parts, and their sizes in bytes (of the stream in fractions)."""

    tensors: dict[str, PackedTensor]
    metadata: dict[str, Any]
    sizes: dict[str, float]


def pack(tensors: Mapping[str, PackedTensor], metadata: Mapping[str, Any] | None = None) -> bytes:
    """The bytes of a packed file; ``metadata`` is any JSON. Raises ValueError naming a tensor."""
    records, models, floats, stream = write_payload(tensors)
    header = write_header(Header(records, models, dict(metadata or {})))
    preamble = _PREAMBLE.pack(_MAGIC, _VERSION, len(header), len(floats), len(stream))
    data = preamble + header + floats + stream
    return data + _CRC.pack(zlib.crc32(data))


def unpack(data: bytes, source: str = "packed bytes") -> dict[str, PackedTensor]:
    """The tensors as stored (codes and grids). Raises PackedFileError naming ``source``."""
    return _read(data, source).tensors


def read_packed(
    data: bytes, source: str = "packed bytes"
) -> tuple[dict[str, PackedTensor], dict[str, Any]]:
    """The tensors of ``unpack`` and the metadata given to ``pack``. Raises PackedFileError."""
    whole = _read(data, source)
    return whole.tensors, whole.metadata


def read_metadata(data: bytes, source: str = "packed bytes") -> dict[str, Any]:
    """The metadata that ``pack`` was given. Raises PackedFileError naming ``source``."""
    return _read(data, source).metadata


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
    """The effective float32 weights of a packed file, by path name. Raises PackedFileError."""
    with open(path, "rb") as file:
        tensors = unpack(file.read(), os.fspath(path))
    return {name: tensor.effective() for name, tensor in tensors.items()}


def size_breakdown(data: bytes) -> dict[str, int]:
    """Bytes by section of a packed file; they sum to its size. Raises PackedFileError.

    The weights are in three sections: ``pruned`` of tensors with a keep mask, ``matrices`` and
    ``vectors`` of the others. ``coder`` is what the last words of the stream hold beyond its
    integers. A byte that sections share counts where it begins.
    """
    exact = _read(data, "packed bytes").sizes
    ends = np.rint(np.cumsum([exact.get(section, 0) for section in SECTIONS])).astype(int)
    return dict(zip(SECTIONS, np.diff(ends, prepend=0).tolist(), strict=True))


def _read(data: bytes, source: str) -> _Whole:
    n_header, n_floats, n_stream = _check(data, source)
    at = np.cumsum([_PREAMBLE.size, n_header, n_floats, n_stream])
    header_bytes, floats, stream = (data[at[i] : at[i + 1]] for i in range(3))
    try:
        header = read_header(header_bytes)
    except ValueError as error:
        raise PackedFileError(f"{source}: header: {error}") from None
    try:
        tensors, sizes = read_payload(Payload(header.records, header.models, floats, stream))
    except (ValueError, OverflowError, MemoryError) as error:
        raise PackedFileError(f"{source}: {error}") from None
    fixed = {"preamble": _PREAMBLE.size, "header": n_header, "crc": _CRC.size}
    return _Whole(tensors, header.metadata, {**sizes, **fixed})


def _check(data: bytes, source: str) -> tuple[int, int, int]:
    """Sizes of header, floats and stream of bytes that are whole and unaltered."""
    if data[: len(_MAGIC)] != _MAGIC[: len(data)] or not data:
        raise PackedFileError(f"{source}: magic: not a packed model")
    if len(data) < _PREAMBLE.size + _CRC.size:
        raise PackedFileError(f"{source}: size: cut short at {len(data)} bytes")
    _, version, *sizes = _PREAMBLE.unpack_from(data)
    if version != _VERSION:
        raise PackedFileError(f"{source}: version: {version}, this library reads {_VERSION}")
    size = _PREAMBLE.size + sum(sizes) + _CRC.size
    if len(data) != size:
        raise PackedFileError(f"{source}: size: {len(data)} bytes where the file says {size}")
    if zlib.crc32(data[: -_CRC.size]) != _CRC.unpack(data[-_CRC.size :])[0]:
        raise PackedFileError(f"{source}: crc32: the bytes are not as they were written")
    return tuple(sizes)
