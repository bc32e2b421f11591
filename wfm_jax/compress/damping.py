"""A second moment made safe to invert: damped as much as it takes, and no more.

Added to the diagonal is a share of its mean, after Frantar et al., "GPTQ", 2022 (arXiv 2210.17323).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


class Damped(NamedTuple):
    """The inverse of a damped second moment.

    Attributes:
      upper: ``[in, in]``, the upper triangular U with U^T U = inverse of the damped moment, whose
        diagonal had the mean 1.
      share: scalar, what was added to that diagonal.
      dead: bool ``[in]``, where the diagonal was zero.
    """

    upper: jax.Array
    share: jax.Array
    dead: jax.Array


def inverse_factor(second_moment: jax.Array, damping: ArrayLike) -> Damped:
    """Returns the Cholesky factor of the inverse, from one factorisation.

    Inputs that were always zero take no part in the mean, and get that mean for their diagonal, so
    that the result does not depend on the scale of the moment. Where the damping asked for leaves
    the matrix singular in its precision, it is raised tenfold, from at least 1e-6, until it does
    not.

    Args:
      second_moment: symmetric ``[in, in]``, in any positive scale; may be traced.
      damping: share of the mean diagonal; may be traced.
    """
    diagonal = jnp.diagonal(second_moment)
    dead = diagonal <= 0
    mean = jnp.sum(jnp.where(dead, 0, diagonal)) / jnp.maximum(jnp.sum(~dead), 1)
    scaled = second_moment / jnp.where(mean > 0, mean, 1)
    scaled = jnp.where(dead[:, None] | dead, 0, scaled) + jnp.diag(dead.astype(scaled.dtype))
    n, eye = len(scaled), jnp.eye(len(scaled), dtype=scaled.dtype)
    smallest = n * jnp.finfo(scaled.dtype).eps

    def factor(share):
        # Both ends exchanged, the usual L L^T becomes R R^T with an upper triangular R, whose
        # inverse is U.
        return jnp.linalg.cholesky((scaled + share * eye)[::-1, ::-1])[::-1, ::-1]

    def singular(attempt):
        _, share, right = attempt
        return ~(jnp.min(jnp.square(jnp.diagonal(right))) > smallest) & (share < 1e3)

    def attempt_next(attempt):
        share, _, _ = attempt
        return jnp.maximum(10 * share, 1e-6), share, factor(share)

    share = jnp.asarray(damping, scaled.dtype)
    none_yet = (share, jnp.zeros_like(share), jnp.zeros_like(scaled))
    _, share, right = jax.lax.while_loop(singular, attempt_next, none_yet)
    upper = jax.scipy.linalg.solve_triangular(right, eye, lower=False)
    return Damped(upper, share, dead)
