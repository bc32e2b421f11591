"""Integers of a few bits, side by side in bytes, the most significant bit first."""

import numpy as np


def packed_size(count: int, width: int) -> int:
    """Bytes that ``count`` integers of ``width`` bits take."""
    return -(-count * width // 8)


def pack_bits(values: np.ndarray, width: int) -> bytes:
    """Packs unsigned integers below ``2**width`` (width 0 to 32); the last byte ends in zeros."""
    values = np.asarray(values, np.uint32).ravel()
    if values.size and int(values.max()) >> width:
        raise ValueError(f"{int(values.max())} does not fit into {width} bits")
    shifts = np.arange(width - 1, -1, -1, dtype=np.uint32)
    return np.packbits((values[:, None] >> shifts & 1).astype(np.uint8)).tobytes()


def unpack_bits(data: bytes, count: int, width: int) -> np.ndarray:
    """The ``count`` integers (uint32) that ``pack_bits`` put into ``data``.

    Raises ValueError unless ``data`` has exactly their size.
    """
    if len(data) != packed_size(count, width):
        raise ValueError(f"{len(data)} bytes for {count} integers of {width} bits")
    bits = np.unpackbits(np.frombuffer(data, np.uint8), count=count * width)
    shifts = np.arange(width - 1, -1, -1, dtype=np.uint32)
    return (bits.reshape(count, width).astype(np.uint32) << shifts).sum(1, dtype=np.uint32)
