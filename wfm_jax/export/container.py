"""A header and a payload between a magic and a checksum: how exported files are made strict.

Layout, little-endian::

    magic 4 bytes | version u8 | header bytes u32 | payload bytes u64
    header   zlib-compressed JSON
    payload  zlib-compressed bytes
    crc32 u32 of everything before
"""

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

_PREAMBLE, _CRC = struct.Struct("<4sBIQ"), struct.Struct("<I")


class ExportFileError(ValueError):
    """A file is not what it should be, or not as it was written; names the file and the field."""


class Format(NamedTuple):
    """Four bytes that say what a file is, the version that is written and read, and its name in
    error messages."""

    magic: bytes
    version: int
    noun: str


def join(form: Format, header: Mapping[str, Any], payload: bytes) -> bytes:
    """The bytes of a file; ``header`` is any JSON object."""
    text = zlib.compress(json.dumps(header, separators=(",", ":")).encode(), 9)
    body = zlib.compress(payload, 9)
    data = _PREAMBLE.pack(form.magic, form.version, len(text), len(body)) + text + body
    return data + _CRC.pack(zlib.crc32(data))


def split(form: Format, data: bytes, source: str) -> tuple[dict[str, Any], bytes]:
    """Header and payload of what :func:`join` made.

    Raises:
        ExportFileError: bytes that are foreign, of another version, cut short or altered; begins
            with ``source`` and the field.
    """
    if not data or not form.magic.startswith(data[: len(form.magic)]):
        raise ExportFileError(f"{source}: magic: not {form.noun}")
    if len(data) < _PREAMBLE.size + _CRC.size:
        raise ExportFileError(f"{source}: size: cut short at {len(data)} bytes")
    _, version, n_header, n_payload = _PREAMBLE.unpack_from(data)
    if version != form.version:
        raise ExportFileError(f"{source}: version: {version}, this library reads {form.version}")
    size = _PREAMBLE.size + n_header + n_payload + _CRC.size
    if len(data) != size:
        raise ExportFileError(f"{source}: size: {len(data)} bytes where the file says {size}")
    if zlib.crc32(data[: -_CRC.size]) != _CRC.unpack(data[-_CRC.size :])[0]:
        raise ExportFileError(f"{source}: crc32: the bytes are not as they were written")
    end = _PREAMBLE.size + n_header
    try:
        header = json.loads(zlib.decompress(data[_PREAMBLE.size : end]))
        return dict(header), zlib.decompress(data[end : -_CRC.size])
    except (ValueError, TypeError, zlib.error) as error:
        raise ExportFileError(f"{source}: header: {error}") from None
