"""Which of GGUF's types a tensor is stored in, and the way there and back.

Kernels ``[in, out]`` are stored as rows of output channels, as llama.cpp does, so that blocks run
along the inputs. GGUF lists dimensions in reverse: those of a kernel read ``[in, out]`` there.
"""

from typing import Any, Literal

import numpy as np

from wfm_jax.compress import (
    q4_0_dequantize,
    q4_0_quantize,
    q8_0_dequantize,
    q8_0_quantize,
)
from wfm_jax.compress.gguf_blocks import GROUP_SIZE
from wfm_jax.compress.paths import flatten
from wfm_jax.export.gguf_bytes import q4_0_bytes, q4_0_of_bytes, q8_0_bytes, q8_0_of_bytes

Quantization = Literal["Q8_0", "Q4_0"]
_FLOATS = {"F16": np.float16, "F32": np.float32}


def tensor_types(params: Any, quantization: Quantization) -> dict[str, str]:
    """How each tensor is stored, by path name: ``Q8_0``, ``Q4_0``, ``F16`` or ``F32``.

    Kernels whose number of inputs is a multiple of 32 are quantized, those outside the encoder
    blocks (embeddings, heads) never below 8 bits. Other kernels and tables are float16, vectors
    float32.

    Args:
        params: a tree of arrays or shapes.
        quantization: of the blocks' kernels.

    Raises:
        ValueError: an unknown quantization.
    """
    if quantization not in ("Q8_0", "Q4_0"):
        raise ValueError(f"quantization must be Q8_0 or Q4_0, got {quantization!r}")

    def type_of(path: str, shape: tuple[int, ...]) -> str:
        if len(shape) < 2:
            return "F32"
        if not _is_kernel(path) or shape[0] % GROUP_SIZE:
            return "F16"
        return quantization if path.startswith("block_") else "Q8_0"

    return {path: type_of(path, leaf.shape) for path, leaf in flatten(params).items()}


def encode(path: str, weights: Any, kind: str) -> np.ndarray:
    """What a file holds of a tensor: floats, or uint8 rows of blocks.

    Raises:
        ValueError: weights that are not finite, before or after.
    """
    w = np.asarray(weights, np.float32)
    if not np.isfinite(w).all():
        raise ValueError(f"{path}: has weights that are not finite")
    match kind:
        case "Q8_0":
            array = q8_0_bytes(q8_0_quantize(w))  # type: ignore
        case "Q4_0":
            array = q4_0_bytes(q4_0_quantize(w))  # type: ignore
        case _:
            with np.errstate(over="ignore"):
                array = np.ascontiguousarray(w.T if _is_kernel(path) else w).astype(_FLOATS[kind])
    if not np.isfinite(decode(path, array, kind)).all():
        raise ValueError(f"{path}: has weights too large for {kind}")
    return array


def decode(path: str, array: np.ndarray, kind: str) -> np.ndarray:
    """The float32 weights of what a file holds.

    Raises:
        ValueError: a type that is not written here.
    """
    match kind:
        case "Q8_0":
            return np.asarray(q8_0_dequantize(q8_0_of_bytes(array)))
        case "Q4_0":
            return np.asarray(q4_0_dequantize(q4_0_of_bytes(array)))
        case "F16" | "F32":
            return np.array(array.T if _is_kernel(path) else array, np.float32, order="C")
        case _:
            raise ValueError(f"{path}: of type {kind}, only Q8_0, Q4_0, F16 and F32 are read")


def _is_kernel(path: str) -> bool:
    return path.endswith("/kernel")
