"""Scores of weights: how much a weight is worth keeping.

A score is a function of one leaf, ``score(w, stats, key) -> array of w's shape``; larger means more
worth keeping, and no score is negative. Only the ranking matters, among the weights that are ranked
together: in a leaf (`uniformly`, `per_output`) or over all (`globally`). So scores are scaled such
that leaves compare: by what the network saw in total, not by how often a leaf was used.

What reads statistics takes them from `wfm_jax.compress.gather_statistics`. Any function of these
three arguments is a score as well: ``lambda w, stats, key: w**2`` ranks blocks by their L2 norm.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.compress.checks import check_number
from wfm_jax.compress.statistics import LeafStats
from wfm_jax.compress.uniform import as_float

Score = Callable[[jax.Array, LeafStats | None, jax.Array], jax.Array]
"""``score(w, stats_of_the_leaf, key) -> scores``."""


def magnitude(w: jax.Array, stats: LeafStats | None, key: jax.Array) -> jax.Array:
    """Returns |w|, in the shape and dtype of ``w``; needs no statistics.

    Han et al., "Learning both weights and connections for efficient neural networks", 2015
    (arXiv 1506.02626).
    """
    del stats, key
    return jnp.abs(w)


def taylor(w: jax.Array, stats: LeafStats | None, key: jax.Array) -> jax.Array:
    """Returns |w dL/dw|, the first-order change of the loss when the weight becomes zero.

    Molchanov et al., "Pruning convolutional neural networks for resource efficient inference", 2017
    (arXiv 1611.06440).

    Args:
      w: weights of any shape.
      stats: of the leaf; reads ``gradient``, the sum over batches, which is the same sum for all
        leaves.
      key: not used.

    Returns:
      float32 of the shape of ``w``.

    Raises:
      ValueError: without statistics of gradients.
    """
    del key
    if stats is None or stats.gradient is None:
        raise ValueError("taylor needs statistics: gather them with gather_statistics and a loss")
    if stats.gradient.shape != w.shape:
        raise ValueError(
            f"taylor: a gradient of shape {stats.gradient.shape} for weights of shape {w.shape}"
        )
    return jnp.abs(as_float(w) * stats.gradient)


def wanda(w: jax.Array, stats: LeafStats | None, key: jax.Array) -> jax.Array:
    """Returns |w| times the rms of the input that it multiplies.

    Sun et al., "A simple and effective pruning approach for large language models", 2024
    (arXiv 2306.11695). There it is the L2 norm of the inputs seen, which is the rms times the same
    number for all weights of a kernel; the rms also compares kernels that saw different numbers of
    rows. The paper ranks the inputs of every output by themselves: ``distribution=per_output``.

    Args:
      w: a kernel ``[in, out]``; of more axes, the leading ones are the inputs.
      stats: of the leaf; reads ``count`` and the diagonal of ``second_moment``.
      key: not used.

    Returns:
      float32 of the shape of ``w``.

    Raises:
      ValueError: without statistics, for statistics of no rows, or of other inputs than those of
        ``w``.
    """
    del key
    if stats is None:
        raise ValueError("wanda needs statistics: gather them with gather_statistics")
    n_in = stats.second_moment.shape[0]
    if n_in not in np.cumprod(w.shape)[:-1]:
        raise ValueError(f"wanda: statistics of {n_in} inputs for a kernel of shape {w.shape}")
    check_number("rows of the statistics", stats.count, lambda rows: rows > 0, "1 or more")
    rms = jnp.sqrt(jnp.diagonal(stats.second_moment) / stats.count)
    return (jnp.abs(as_float(w)).reshape(n_in, -1) * rms[:, None]).reshape(w.shape)


def random_score(w: jax.Array, stats: LeafStats | None, key: jax.Array) -> jax.Array:
    """Returns independent draws, uniform in [0, 1): the control that any score has to beat.

    Args:
      w: weights; only their shape is read.
      stats: not used.
      key: the source of the draws.

    Returns:
      float32 of the shape of ``w``.
    """
    del stats
    return jax.random.uniform(key, w.shape, jnp.float32)
