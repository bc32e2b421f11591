"""A function of frames, some frames at a time: the memory in use is that of one chunk."""

from collections.abc import Callable
from typing import Any

import jax

from wfm_jax.evaluate.many import CHUNK


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
