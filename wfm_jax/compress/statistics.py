"""Statistics of data by path name: what enters each kernel.

Methods that look at data (Wanda, GPTQ, AWQ, Taylor scores, Fisher estimates) all want sums of the
same few things, so these are gathered once and shared; `wfm_jax.compress.gather_statistics` does.
Frantar et al., "GPTQ: accurate post-training quantization for generative pre-trained
transformers", 2022 (arXiv 2210.17323), for the second moment of a layer's inputs.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.compress.checks import is_traced
from wfm_jax.compress.entering import entering
from wfm_jax.compress.paths import Pattern, select


class LeafStats(NamedTuple):
    """Sums over what was seen of one leaf; `merge_statistics` adds them, `mean_statistics` divides.

    A leaf of more than two axes counts as ``[in, out]`` with its contracted axes flattened.

    Attributes:
      count: float32 scalar, rows seen: vectors that were multiplied by the kernel. Zero for a leaf
        that multiplies nothing; its two sums are then empty.
      second_moment: float32 ``[in, in]``, sum of x x^T over rows.
      absolute: float32 ``[in]``, sum of \\|x\\| over rows.
      gradient: float32 of the leaf's shape, sum of dL/dw over ``examples``; None without a loss.
      gradient_square: likewise, of (dL/dw)^2.
      examples: float32 scalar, number of gradients in the sums: batches, or examples.
    """

    count: jax.Array
    second_moment: jax.Array
    absolute: jax.Array
    gradient: jax.Array | None = None
    gradient_square: jax.Array | None = None
    examples: jax.Array | None = None


Stats = Mapping[str, LeafStats]
"""By path name, the full one also inside `wfm_jax.compress.matching`."""


def input_statistics(
    apply: Callable[[Any, Any], Any], params: Any, inputs: Any, *, pattern: Pattern = "*"
) -> dict[str, LeafStats]:
    """Returns what enters each kernel in one forward pass; pure, worth a ``jit``.

    The pass is traced and every parameter followed to the matrix products it takes part in, through
    reshapes, transposes, casts and calls. A kernel that is used several times sums over all uses.
    Complex activations count as two rows, real and imaginary part.

    Args:
      apply: ``(params, inputs) -> anything``.
      params, inputs: any pytrees of arrays.
      pattern: which leaves; those that are no floating-point arrays of two or more axes are passed
        over.

    Returns:
      `LeafStats` by path name. Absent are leaves that multiply nothing (embeddings), and those that
      are summed over other axes than the leading ones (an embedding that is also used transposed,
      as the output layer) or by a batch of their own.

    Raises:
      NotImplementedError: for a kernel that enters a loop or a branch (layers under ``scan``).
      ValueError: if no leaf matches.
    """
    kernels = {
        path: leaf
        for path, leaf in select(params, pattern).items()
        if jnp.ndim(leaf) >= 2 and jnp.issubdtype(leaf.dtype, jnp.floating)
    }
    uses = entering(apply, params, inputs, set(kernels))
    return {path: _sums(jnp.concatenate(rows)) for path, rows in uses.items()}


def merge_statistics(a: Stats, b: Stats) -> dict[str, LeafStats]:
    """Returns the statistics of what either has seen.

    Args:
      a, b: of the same leaves.

    Raises:
      ValueError: if their leaves differ, or only one has gradients.
    """
    if jax.tree.structure(dict(a)) != jax.tree.structure(dict(b)):
        raise ValueError(
            "statistics of different leaves cannot be merged: "
            f"{', '.join(sorted(set(a) ^ set(b))) or 'only one has gradients'}"
        )
    return jax.tree.map(jnp.add, dict(a), dict(b))


def mean_statistics(leaf: LeafStats) -> LeafStats:
    """Returns means for sums: over rows, and over gradients. Counts become one, or stay zero."""
    rows = jnp.maximum(leaf.count, 1)
    gradients = jnp.maximum(1.0 if leaf.examples is None else leaf.examples, 1)
    return LeafStats(
        leaf.count / rows,
        leaf.second_moment / rows,
        leaf.absolute / rows,
        *(None if total is None else total / gradients for total in leaf[3:]),
    )


def statistics_of(
    stats: Stats | None, path: str, method: str, shape: tuple[int, ...] | None = None
) -> LeafStats:
    """Returns the statistics of one leaf, for a method that cannot do without.

    Args:
      stats: as given to a transform's ``update``.
      path: name of the leaf.
      method: its name, for the message.
      shape: of the leaf, if what enters it is needed.

    Raises:
      ValueError: if they are missing, empty, or of another shape.
    """
    if stats is None or path not in stats:
        raise ValueError(
            f"{method} of {path!r} needs statistics: gather them with gather_statistics"
        )
    leaf = stats[path]
    if shape is None:
        return leaf
    if leaf.second_moment.shape[-2:] != (shape[0], shape[0]):
        raise ValueError(
            f"{method} of {path!r} {list(shape)} needs statistics of its {shape[0]} inputs, got a "
            f"second moment of shape {list(leaf.second_moment.shape)}"
        )
    if not is_traced(leaf.count) and not np.all(np.asarray(leaf.count) > 0):
        raise ValueError(f"{method} of {path!r} needs statistics of data: no rows were seen")
    return leaf


def _sums(rows: jax.Array) -> LeafStats:
    """Sums over rows ``[n, in]``."""
    if jnp.iscomplexobj(rows):
        rows = jnp.concatenate([rows.real, rows.imag])
    rows = rows.astype(jnp.float32)
    second_moment = jnp.matmul(rows.T, rows, precision="highest")
    return LeafStats(jnp.float32(rows.shape[0]), second_moment, jnp.sum(jnp.abs(rows), axis=0))
