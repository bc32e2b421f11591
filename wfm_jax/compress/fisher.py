"""How much a loss should rise when weights move: half the curvature times the squared move.

At a minimum the gradient is zero, and of a log-likelihood the Hessian's diagonal is estimated by
the mean square of the per-example gradients, the empirical Fisher matrix; of another loss it is the
right quantity up to a factor. An estimate costs one pass over the data for all tensors and levels,
where measuring them (`wfm_jax.compress.evaluate_cells`) costs one each; it knows neither what
rounding errors of a tensor do together nor moves too large for a parabola.

Dong et al., "HAWQ-V2: Hessian aware trace-weighted quantization of neural networks", 2019
(arXiv 1911.03852), with a curvature of its own for each weight in place of a tensor's mean.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from wfm_jax.compress.paths import flatten
from wfm_jax.compress.statistics import Stats, statistics_of
from wfm_jax.compress.transform import Params


def expected_increase(params: Params, compressed: Params, stats: Stats, path: str) -> jax.Array:
    """Returns the loss's expected rise when one tensor is replaced: 1/2 sum of F (w - w')^2.

    Args:
      params: where the gradients were taken.
      compressed: a tree like it.
      stats: of `gather_statistics` or `gradient_statistics`, with a loss and ``per_example=True``.
      path: name of the tensor.

    Returns:
      float32 scalar, in the unit of the loss.

    Raises:
      ValueError: for statistics without gradients of the tensor.
    """
    leaf = statistics_of(stats, path, "the Fisher estimate")
    if leaf.gradient_square is None or leaf.examples is None:
        raise ValueError(
            f"the Fisher estimate of {path!r} needs gradients: gather statistics with a loss"
        )
    fisher = leaf.gradient_square / jnp.maximum(leaf.examples, 1)
    moved = (flatten(compressed)[path] - flatten(params)[path]).astype(jnp.float32)
    return 0.5 * jnp.sum(fisher * jnp.square(moved))


def expected_increases(
    params: Params,
    stats: Stats,
    paths: Sequence[str],
    compress: Callable[[Params, Any], Params],
    levels: ArrayLike,
) -> jax.Array:
    """Returns the expected rise for every tensor at every level; pure, worth a ``jit``.

    >>> from wfm_jax.compress import gradient_statistics, prune_by
    >>> params, x = {"w": jnp.array([[0.1], [2.0]])}, jnp.array([[1.0, 0.0], [-1.0, 0.0]])
    >>> def loss(params, x):
    ...     return jnp.sum(x @ params["w"])
    >>> stats = gradient_statistics(loss, params, x, per_example=True)
    >>> expected_increases(params, stats, ["w"], lambda p, row: prune_by(p, ["w"], row), [0, 0.5])
    Array([[0.   , 0.005]], dtype=float32)

    Args:
      params: where the gradients were taken.
      stats: see `expected_increase`.
      paths: the tensors.
      compress: ``(params, row) -> params``, each tensor to its own level, as `quantize_by` and
        `prune_by` do with paths.
      levels: ``[n_levels]``, bits or sparsities.

    Returns:
      float32 ``[n_tensors, n_levels]``.

    Raises:
      ValueError: see `expected_increase`.
    """

    def at(level):
        compressed = compress(params, jnp.broadcast_to(level, len(paths)))
        return jnp.stack([expected_increase(params, compressed, stats, path) for path in paths])

    return jax.lax.map(at, jnp.asarray(levels, jnp.float32)).T
