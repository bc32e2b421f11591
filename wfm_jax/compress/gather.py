"""Statistics of data, gathered once and shared by all methods and configurations that want them."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from wfm_jax.compress.gradients import Loss, gradient_statistics
from wfm_jax.compress.paths import Pattern
from wfm_jax.compress.statistics import LeafStats, input_statistics, merge_statistics


def gather_statistics(
    apply: Callable[[Any, Any], Any],
    params: Any,
    batches: Iterable[Any],
    *,
    pattern: Pattern = "*",
    loss: Loss | None = None,
    per_example: bool = False,
) -> dict[str, LeafStats]:
    """Runs data through a model and returns what methods of compression want to know of it.

    A loop on the host over compiled steps. ``params`` are what the forward pass sees: for a model
    that is already compressed, what its transform's ``apply`` returns.

    >>> params = {"dense": {"kernel": jnp.ones((2, 3)), "bias": jnp.zeros(3)}}
    >>> def apply(params, x):
    ...     return x @ params["dense"]["kernel"] + params["dense"]["bias"]
    >>> stats = gather_statistics(apply, params, [jnp.eye(2), 2 * jnp.eye(2)])
    >>> stats["dense/kernel"].second_moment
    Array([[5., 0.],
           [0., 5.]], dtype=float32)

    Args:
      apply: the forward pass, ``(params, inputs) -> anything``; it is traced, so that any layer
        library will do. See `input_statistics`.
      params: any pytree.
      batches: what ``apply``, and ``loss``, take as their second argument: any pytree of arrays.
        Equal shapes compile once.
      pattern: which leaves; see `wfm_jax.compress.matches`.
      loss: adds gradients, of every floating-point leaf; see `gradient_statistics`.
      per_example: see `gradient_statistics`.

    Returns:
      `LeafStats` by path name: of the kernels that multiply something, and with a loss also of the
      other leaves.

    Raises:
      ValueError: without batches, if no leaf matches or none of them multiplies anything, or if
        what was seen is not finite; names the leaf.
      NotImplementedError: for kernels inside loops; see `input_statistics`.
    """

    @jax.jit
    def seen(params, inputs):
        stats = input_statistics(apply, params, inputs, pattern=pattern)
        if loss is None:
            return stats
        gradients = gradient_statistics(
            loss, params, inputs, pattern=pattern, per_example=per_example
        )
        return {path: _joined(stats.get(path), leaf) for path, leaf in gradients.items()}

    total = None
    for inputs in batches:
        stats = seen(params, inputs)
        total = stats if total is None else merge_statistics(total, stats)
    if total is None:
        raise ValueError("batches is empty: statistics need data")
    if not total:
        raise ValueError(f"none of the leaves that match {pattern!r} multiplies anything")
    for path, leaf in total.items():
        if not all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(leaf)):
            raise ValueError(f"statistics of {path!r} are not finite: look for NaN in the batches")
    return total


def _joined(entering: LeafStats | None, gradients: LeafStats) -> LeafStats:
    return gradients if entering is None else LeafStats(*entering[:3], *gradients[3:])
