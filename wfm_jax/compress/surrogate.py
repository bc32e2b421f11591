"""The straight-through estimator: round on the way forward, not on the way back.

Bengio, Léonard and Courville, "Estimating or propagating gradients through stochastic neurons for
conditional computation", 2013 (arXiv 1308.3432).
"""

import jax


@jax.custom_jvp
def straight_through(x: jax.Array, value: jax.Array) -> jax.Array:
    """Returns exactly ``value``, with the gradient of ``x``.

    The usual ``x + stop_gradient(value - x)`` gives ``value`` only up to rounding, which is not
    enough for weights that must lie on a grid.

    Args:
      x: array that receives the whole gradient, unchanged.
      value: array of the shape and dtype of ``x``; receives none.
    """
    del x
    return value


@straight_through.defjvp
def _straight_through_jvp(primals, tangents):
    return primals[1], tangents[0]
