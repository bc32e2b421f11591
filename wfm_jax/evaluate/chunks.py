"""A function of frames, some frames at a time: the memory in use is that of one chunk."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from wfm_jax.evaluate.many import CHUNK

BLOCK = 64


def in_chunks(of: Callable[[Any], Any], frames: Any, *, most: int = CHUNK) -> Any:
    """``of(frames)``, at most ``most`` frames at a time; call it inside a compiled program.

    Args:
        of: from leaves [n, ...] to leaves [n, ...], frame by frame.
        frames: leaves [n_frames, ...].
        most: frames of a chunk; the largest divisor of ``n_frames`` that is not above it is taken.
    """
    n_frames = jax.tree.leaves(frames)[0].shape[0]
    size = next(size for size in range(most, 0, -1) if n_frames % size == 0)
    chunks = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[1:]), frames)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), jax.lax.map(of, chunks))


def in_blocks(program: Callable[..., Any], *frames: Any, size: int = BLOCK) -> Any:
    """``program(*frames)``, ``size`` frames at a time; call it on the host.

    Where the number of frames is not known beforehand: every block has the same shape, so the
    program compiles once, and the last one is filled up with the last frame.

    Args:
        program: from leaves [size, ...] to leaves [size, ...], frame by frame.
        frames: leaves [n_frames, ...], at least one frame.
        size: frames of a block.

    Returns:
        the program's leaves as NumPy [n_frames, ...].
    """
    n_frames = jax.tree.leaves(frames)[0].shape[0]
    found = []
    for first in range(0, n_frames, size):
        rows = np.minimum(np.arange(first, first + size), n_frames - 1)
        block = jax.tree.map(lambda x, rows=rows: x[rows], frames)
        found.append(jax.device_get(program(*block)))
    return jax.tree.map(lambda *blocks: np.concatenate(blocks)[:n_frames], *found)
