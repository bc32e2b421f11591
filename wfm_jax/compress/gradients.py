"""Gradients of a loss as statistics of its parameters: first-order scores, the Fisher diagonal.

Theis et al., "Faster gaze prediction with dense networks and Fisher pruning", 2018
(arXiv 1801.05787): the mean square of the per-example gradients estimates the loss's curvature.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from wfm_jax.compress.paths import Pattern, select, unflatten
from wfm_jax.compress.statistics import LeafStats

Loss = Callable[[Any, Any], jax.Array]
"""``loss(params, inputs) -> scalar``."""


def gradient_statistics(
    loss: Loss,
    params: Any,
    inputs: Any,
    *,
    pattern: Pattern = "*",
    per_example: bool = False,
    chunk: int = 8,
) -> dict[str, LeafStats]:
    """Returns the loss's gradient and its square; pure, worth a ``jit``.

    The mean square over examples is the diagonal of the empirical Fisher matrix. Squares of the
    batch's gradient cost one backward pass but are no estimate of it: their mean falls with the
    size of the batch. For ranking weights of one model that is often enough.

    Args:
      loss: ``(params, inputs) -> scalar``.
      params: any pytree.
      inputs: any pytree of arrays; with ``per_example``, all with the same leading axis.
      pattern: which leaves, of any rank; those that are not floating point are passed over.
      per_example: sums over examples, each given to ``loss`` as a batch of one, instead of one
        gradient for the batch.
      chunk: number of examples whose gradients are in memory at a time.

    Returns:
      `LeafStats` of every leaf, by path name, with empty input statistics.

    Raises:
      ValueError: if no leaf matches, the inputs have no common leading axis, or ``chunk`` is below
        one.
    """
    chosen = {
        path: leaf
        for path, leaf in select(params, pattern).items()
        if jnp.issubdtype(leaf.dtype, jnp.floating)
    }

    def gradient(inputs):
        by_path = jax.grad(lambda part: loss(unflatten(params, part), inputs))(chosen)
        return {path: g.astype(jnp.float32) for path, g in by_path.items()}

    def summed(examples):
        many = jax.vmap(gradient)(jax.tree.map(lambda x: x[:, None], examples))
        return {p: (jnp.sum(g, 0), jnp.sum(jnp.square(g), 0)) for p, g in many.items()}

    if per_example:
        number = _examples(inputs)
        sums = _in_chunks(summed, inputs, number, chunk)
    else:
        number = 1
        sums = {path: (g, jnp.square(g)) for path, g in gradient(inputs).items()}
    no_inputs = (jnp.float32(0), jnp.zeros((0, 0)), jnp.zeros(0))
    return {
        path: LeafStats(*no_inputs, g, square, jnp.float32(number))
        for path, (g, square) in sums.items()
    }


def _examples(inputs: Any) -> int:
    sizes = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(inputs)}
    if len(sizes) != 1 or sizes == {()}:
        raise ValueError(
            f"per_example needs inputs with one leading axis, got lengths {sorted(sizes)}"
        )
    return next(iter(sizes))[0]


def _in_chunks(
    summed: Callable[[Any], Any], inputs: Any, number: int, chunk: int
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Adds up ``summed`` of consecutive chunks; the rest goes last."""
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    whole = number - number % chunk

    def step(total, part):
        return jax.tree.map(jnp.add, total, summed(part)), None

    total = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(summed, inputs))
    parts = jax.tree.map(lambda x: x[:whole].reshape(-1, chunk, *x.shape[1:]), inputs)
    total, _ = jax.lax.scan(step, total, parts)
    if whole < number:
        total, _ = step(total, jax.tree.map(lambda x: x[whole:], inputs))
    return total
