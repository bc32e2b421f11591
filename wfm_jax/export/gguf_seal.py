"""A checksum for GGUF, which has none: a damaged file is refused before it is parsed.

The second key of a sealed file, ``wfm.crc32``, is the CRC-32 of the file with zeros in that key's
place. The first one is the architecture, so the place is always the same; other readers see a key
like any other.
"""

import struct
import zlib

from wfm_jax.export.container import ExportFileError

ARCHITECTURE, CHECKSUM = "wfm", "wfm.crc32"
_MAGIC, _VERSION = b"GGUF", 3
_UINT32, _STRING = struct.pack("<I", 4), struct.pack("<I", 8)


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


_FIRST_KEYS = _text("general.architecture") + _STRING + _text(ARCHITECTURE) + _text(CHECKSUM)
_KEYS = slice(24, 24 + len(_FIRST_KEYS + _UINT32))
_CRC = slice(_KEYS.stop, _KEYS.stop + 4)


def seal(data: bytes) -> bytes:
    """The bytes of a file with its checksum in place.

    Raises:
        ValueError: the first two keys are not the architecture and a checksum of type uint32.
    """
    if data[_KEYS] != _FIRST_KEYS + _UINT32:
        raise ValueError(f"the first keys must be general.architecture and {CHECKSUM}, a uint32")
    return data[: _CRC.start] + _checksum(data) + data[_CRC.stop :]


def check_seal(data: bytes, source: str) -> None:
    """Nothing, if these are all the bytes that were sealed.

    Raises:
        ExportFileError: what is foreign, of another version or architecture, cut short or altered;
            begins with ``source`` and the field.
    """
    if not data or not _MAGIC.startswith(data[: len(_MAGIC)]):
        raise ExportFileError(f"{source}: magic: not a GGUF file")
    if len(data) < _CRC.stop:
        raise ExportFileError(f"{source}: size: cut short at {len(data)} bytes")
    (version,) = struct.unpack_from("<I", data, len(_MAGIC))
    if version != _VERSION:
        raise ExportFileError(f"{source}: version: {version}, this library reads {_VERSION}")
    if data[_KEYS] != _FIRST_KEYS + _UINT32:
        raise ExportFileError(
            f"{source}: general.architecture: not a model of architecture {ARCHITECTURE!r}, "
            "as this library writes it"
        )
    if data[_CRC] != _checksum(data):
        raise ExportFileError(f"{source}: {CHECKSUM}: the bytes are not as they were written")


def _checksum(data: bytes) -> bytes:
    return struct.pack("<I", zlib.crc32(data[: _CRC.start] + bytes(4) + data[_CRC.stop :]))
