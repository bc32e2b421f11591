"""Blocks of GGUF as bytes: rows are output channels, a block is 32 inputs of one of them.

``block_q8_0`` is a float16 scale and 32 bytes; ``block_q4_0`` a float16 scale and 16 bytes, whose
low halves are the first 16 integers plus 8 and whose high halves are the last 16 (ggml-common.h).
"""

import numpy as np

from wfm_jax.compress import Q4_0, Q8_0
from wfm_jax.compress.gguf_blocks import GROUP_SIZE

_HALF = GROUP_SIZE // 2
_SCALE = np.dtype("<f2")


def q8_0_bytes(q: Q8_0) -> np.ndarray:
    """uint8 ``[out, in / 32 * 34]`` of a kernel ``[in, out]``."""
    return _rows(q.scale, _blocks(q.integers).view(np.uint8))


def q4_0_bytes(q: Q4_0) -> np.ndarray:
    """uint8 ``[out, in / 32 * 18]`` of a kernel ``[in, out]``."""
    codes = (_blocks(q.integers) + 8).astype(np.uint8)
    return _rows(q.scale, codes[..., :_HALF] | codes[..., _HALF:] << 4)


def q8_0_of_bytes(rows: np.ndarray) -> Q8_0:
    """The inverse of :func:`q8_0_bytes`."""
    scale, values = _parts(rows, GROUP_SIZE)
    return Q8_0(_kernel(values.view(np.int8)), scale)  # type: ignore


def q4_0_of_bytes(rows: np.ndarray) -> Q4_0:
    """The inverse of :func:`q4_0_bytes`."""
    scale, values = _parts(rows, _HALF)
    codes = np.concatenate([values & 15, values >> 4], axis=-1)
    return Q4_0(_kernel(codes.astype(np.int8) - np.int8(8)), scale)  # type: ignore


def _blocks(integers) -> np.ndarray:
    """int8 ``[out, in / 32, 32]``."""
    rows = np.ascontiguousarray(np.asarray(integers).T)
    return rows.reshape(rows.shape[0], -1, GROUP_SIZE)


def _kernel(blocks: np.ndarray) -> np.ndarray:
    """The inverse of :func:`_blocks`."""
    return np.ascontiguousarray(blocks.reshape(blocks.shape[0], -1).T)


def _rows(scale, values: np.ndarray) -> np.ndarray:
    scales = np.ascontiguousarray(np.asarray(scale, _SCALE).T)[..., None].view(np.uint8)
    return np.concatenate([scales, values], axis=-1).reshape(values.shape[0], -1)


def _parts(rows: np.ndarray, n_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    """Scales ``[in / 32, out]``, and the integers' bytes, uint8 ``[out, in / 32, n_bytes]``."""
    blocks = rows.reshape(rows.shape[0], -1, _SCALE.itemsize + n_bytes)
    scales = np.ascontiguousarray(blocks[..., : _SCALE.itemsize]).view(_SCALE)[..., 0]
    values = np.ascontiguousarray(blocks[..., _SCALE.itemsize :])
    return np.ascontiguousarray(scales.T).astype(np.float16), values
