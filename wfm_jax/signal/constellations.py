"""Demapping any constellation, by brute force: the points need no structure, and may be learned.

Every bit sums over all M points, where :func:`wfm_jax.signal.qam.demap` needs sqrt(M) levels per
axis and no large numbers: squared distances of float32 make the LLRs here right within
2e-7 |y - point|^2 / n0 of the nearer points. Use it for constellations that are not square.
"""

import jax
import jax.numpy as jnp

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
    m = points.size.bit_length() - 1
    # Points come first, so that each sum runs over whole arrays of symbols.
    offset = y - points.reshape((-1,) + (1,) * y.ndim)
    metric = -(jnp.square(offset.real) + jnp.square(offset.imag)) / n0
    reduce = jax.nn.logsumexp if method == "exact" else jnp.max

    def llr(bit: int) -> jax.Array:
        by_bit = metric.reshape(2**bit, 2, -1, *y.shape)
        return reduce(by_bit[:, 1], axis=(0, 1)) - reduce(by_bit[:, 0], axis=(0, 1))

    return jnp.stack([llr(bit) for bit in range(m)], axis=-1)


def check_points(points: jax.Array) -> jax.Array:
    """Points as complex64[2**m]; ValueError unless they are a vector of a power of two."""
    points = jnp.asarray(points)
    if points.ndim != 1 or points.size < 2 or points.size & (points.size - 1):
        raise ValueError(
            f"points must be a vector of a power of two, at least two, got shape {points.shape}"
        )
    return points.astype(jnp.complex64)
