"""Demapping any constellation, by brute force: the points need no structure, and may be learned.

Every bit sums over all M points, where :func:`wfm_jax.signal.qam.demap` needs sqrt(M) levels per
axis and no large numbers: squared distances of float32 make the LLRs here right within
2e-7 |y - point|^2 / n0 of the nearer points. Use it for constellations that are not square.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.signal import qam


def demap(
    y: jax.Array, n0: jax.Array | float, points: jax.Array, method: str = "exact"
) -> jax.Array:
    """LLRs of the bits of equalised symbols in complex white noise.

    Args:
        y: complex64[...], symbol plus noise.
        n0: variance of the complex noise, real, broadcast against ``y``.
        points: complex64[2**m]; the index is the MSB-first label, as in
            :func:`wfm_jax.signal.qam.constellation`. Differentiable.
        method: "exact" (log-sum-exp over the points) or "maxlog".

    Returns:
        float32[..., m], ln P(bit=1)/P(bit=0).

    Raises:
        ValueError: unknown ``method``, ``points`` not a vector of a power of two (at least two),
            ``y`` not complex, or ``n0`` complex or of a shape that does not broadcast to ``y``'s.
    """
    qam.check_method(method)
    points = check_points(points)
    y = qam.check_received(y)
    n0 = qam.check_noise(n0, y)
    reduce = _log_sum_exp if method == "exact" else _max

    def llr(ordered: jax.Array) -> jax.Array:
        offsets = [y - point for point in ordered]
        metrics = [-(jnp.square(o.real) + jnp.square(o.imag)) / n0 for o in offsets]
        half = len(metrics) // 2
        return reduce(metrics[half:]) - reduce(metrics[:half])

    # A loop over bits keeps the program short; within it, each point is an operation on all y.
    return jnp.moveaxis(jax.lax.map(llr, points[_by_bit(points.size)]), 0, -1)


def _by_bit(n_points: int) -> np.ndarray:
    """int[m, n_points]: for each bit, MSB first, the labels where it is 0, then those where 1."""
    labels = np.arange(n_points)
    bits = [(labels >> shift) & 1 for shift in reversed(range(n_points.bit_length() - 1))]
    return np.stack([np.argsort(bit, kind="stable") for bit in bits])


def _max(terms: list[jax.Array]) -> jax.Array:
    return functools.reduce(jnp.maximum, terms)


def _log_sum_exp(terms: list[jax.Array]) -> jax.Array:
    top = jax.lax.stop_gradient(_max(terms))
    return top + jnp.log(functools.reduce(jnp.add, [jnp.exp(term - top) for term in terms]))


def check_points(points: jax.Array) -> jax.Array:
    """Points as complex64[2**m]; ValueError unless they are a vector of a power of two."""
    points = jnp.asarray(points)
    if points.ndim != 1 or points.size < 2 or points.size & (points.size - 1):
        raise ValueError(
            f"points must be a vector of a power of two, at least two, got shape {points.shape}"
        )
    return points.astype(jnp.complex64)
