"""Learned scales: the step of the grid is trained with the weights.

Esser et al., "Learned step size quantization", 2020 (arXiv 1902.08153), LSQ. A `Transform` decides
and does not train, so scales that are trained travel as a pytree of their own, like adapters in
`wfm_jax.compress.lora`: `lsq_init` makes them, `lsq_apply` gives the weights that the forward pass
sees, and the gradient of both is the optimizer's business.

A weight w at step s is s round(clip(v, lowest, highest)) with v = w / s. Straight through the
rounding, the gradient with respect to s is round(v) - v inside the range and the clipping limit
outside. Summed over the n weights of a block it is larger than the weights' own, in proportion to
their size, by about sqrt(n highest), by which it is therefore divided.
"""

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from wfm_jax.compress.blocks import as_blocks, reduce_blocks, scale_shape, spread
from wfm_jax.compress.paths import Pattern, flatten, select, unflatten
from wfm_jax.compress.quantize import kernels
from wfm_jax.compress.transform import Params
from wfm_jax.compress.uniform import Bound, as_float, fake_quant, integer_range


def lsq_scale(
    w: jax.Array,
    bits: ArrayLike,
    *,
    axis: int | None = -1,
    group_size: int | None = None,
    bound: Bound = "half_step",
) -> jax.Array:
    """Returns the scale that learning starts from, 2 mean |w| / sqrt(2^(b-1) - 1).

    Weights that are exactly zero do not count: pruned ones would pull the mean down.

    Args:
      w, bits, axis, group_size, bound: see `wfm_jax.compress.absmax_scale`. ``axis=None`` shares
        one scale over the tensor, as in the paper. The bound matters not here, but in `lsq_apply`.

    Returns:
      float32 of the shape given by `absmax_scale`; zero for a block of zeros.
    """
    w = as_float(w)
    blocks = scale_shape(w.shape, axis, group_size)
    n_weights = jnp.maximum(reduce_blocks(jnp.count_nonzero, w, blocks), 1)
    mean = reduce_blocks(jnp.sum, jnp.abs(w), blocks) / n_weights
    return 2 * mean * jax.lax.rsqrt(integer_range(bits, bound, w.dtype)[1])


def lsq_fake_quant(
    w: jax.Array, scale: jax.Array, bits: ArrayLike, *, bound: Bound = "half_step"
) -> jax.Array:
    """Snaps weights to their grid; the gradient reaches the weights and the scale.

    The value is that of `wfm_jax.compress.fake_quant`. With respect to ``w`` the gradient is one
    where ``lowest < w / scale < highest`` and zero elsewhere, with respect to ``scale`` that of the
    paper. A scale of zero gives zeros and still has a gradient: that of weights beyond the range.

    Args:
      w: weights of any rank.
      scale: of the rank of ``w``, such as `lsq_scale`; its shape says how weights are grouped.
      bits: scalar: 2 to 8, or 16 and more for ``w`` unchanged, with no gradient for ``scale``. May
        be traced, and then is not checked.
      bound: the range of the integers; the paper's is ``"half_step"``, which has a -2^(b-1).

    Returns:
      Array of the shape and dtype of ``w``.

    Raises:
      ValueError: for concrete bits other than 2 to 8, 16 or 32, an unknown bound, or a scale that
        does not fit.
    """
    integer_range(bits, bound, jnp.float32)  # checks both
    w = jnp.asarray(w)
    blocks = as_blocks(jax.lax.stop_gradient(scale), w).shape
    return _snap(w, jnp.reshape(scale, blocks), jnp.asarray(bits, jnp.float32), bound)


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def _snap(w: jax.Array, scale: jax.Array, bits: jax.Array, bound: Bound) -> jax.Array:
    return fake_quant(w, bits, bound=bound, scale=scale)


@_snap.defjvp
def _snap_jvp(bound, primals, tangents):
    w, scale, bits = primals
    w_moves, scale_moves, _ = tangents
    values = as_float(w)
    lowest, highest, _ = integer_range(bits, bound, values.dtype)
    step = spread(as_blocks(scale, values), w.shape)
    v = jnp.where(step == 0, jnp.inf * jnp.sign(values), values / step)
    v = jnp.where(values == 0, 0, v)
    inside = (lowest < v) & (v < highest)
    slope = jnp.where(inside, jnp.round(v) - v, jnp.clip(v, lowest, highest))
    slope = slope * jax.lax.rsqrt(highest * (w.size / scale.size))
    through = jnp.where(inside, w_moves, 0)
    moves = through + (slope * spread(as_float(scale_moves), w.shape)).astype(w.dtype)
    return _snap(w, scale, bits, bound), jnp.where(bits >= 16, w_moves, moves)


def lsq_init(
    params: Params,
    pattern: Pattern,
    bits: ArrayLike,
    *,
    axis: int | None = -1,
    group_size: int | None = None,
) -> dict[str, jax.Array]:
    """Returns the scales to train, one array a kernel, by path name.

    >>> params = {"dense": {"kernel": jnp.eye(4), "bias": jnp.zeros(4)}}
    >>> scales = lsq_init(params, "*", 3)
    >>> def loss(trained, x):
    ...     dense = lsq_apply(*trained, bits=3)["dense"]
    ...     return jnp.sum(x @ dense["kernel"] + dense["bias"])
    >>> _, towards = jax.grad(loss)((params, scales), jnp.ones(4))
    >>> jax.tree.map(jnp.shape, towards)
    {'dense/kernel': (1, 4)}

    What was learnt is stored as ``QuantizeState(scales, bits)``, the state of
    `wfm_jax.compress.quantize` with the same bound.

    Args:
      params: any pytree.
      pattern: which kernels: a glob, a tuple of globs, or a predicate; see
        `wfm_jax.compress.matches`. Leaves that match and are no floating-point kernels of two or
        more axes (biases, norms) are passed over.
      bits: scalar, may be traced.
      axis: the output-channel axis, which keeps scales of its own; ``None`` for the paper's one
        scale a tensor.
      group_size: number of consecutive inputs that share a scale, ``None`` for all.

    Raises:
      ValueError: if no kernel matches, for concrete bits other than 2 to 8, 16 or 32, or a group
        size that divides some kernel's inputs unevenly.
    """
    chosen = select(kernels(params), pattern)
    return {p: lsq_scale(w, bits, axis=axis, group_size=group_size) for p, w in chosen.items()}


def lsq_apply(
    params: Params,
    scales: Mapping[str, jax.Array],
    bits: ArrayLike,
    *,
    bound: Bound = "half_step",
) -> Params:
    """Returns the parameters that the forward pass sees, differentiable in all it is given.

    Args:
      params: the latent weights.
      scales: from `lsq_init`, or trained since; one set, not a stack (use ``vmap``).
      bits: scalar: 2 to 8, or 16 and more for weights unchanged; may be traced.
      bound: the range of the integers; see `lsq_fake_quant`.

    Returns:
      A tree of the structure, shapes and dtypes of ``params``; the other leaves are the same
      objects.

    Raises:
      ValueError: for a scale whose path ``params`` lacks, or that does not fit its weights.
    """
    flat = flatten(params)
    if unknown := sorted(set(scales) - set(flat)):
        raise ValueError(f"scales for paths that params lack: {', '.join(unknown)}")
    snapped = {
        path: lsq_fake_quant(flat[path], scale, bits, bound=bound) for path, scale in scales.items()
    }
    return unflatten(params, snapped)
