"""GPTQ: each input's rounding error is made up for by the inputs that are still to come.

Frantar et al., "GPTQ: accurate post-training quantization for generative pre-trained transformers",
2022 (arXiv 2210.17323). The rows of a kernel are rounded one after the other; the error of each,
weighed by the inputs' second moment H, moves those that follow, so that what leaves the kernel
changes least. Weights that a mask removes are rounded to zero and made up for alike, as in
Frantar and Alistarh, "SparseGPT", 2023 (arXiv 2301.00774).
"""

from functools import partial
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from wfm_jax.compress.blocks import as_blocks, scale_shape, spread
from wfm_jax.compress.checks import check_no_nan, check_number
from wfm_jax.compress.damping import inverse_factor
from wfm_jax.compress.quantize import ScaleRule
from wfm_jax.compress.uniform import (
    Bound,
    absmax_scale,
    as_float,
    check_bits,
    check_bound,
    quantize_integers,
)

DeadInputs = Literal["zero", "nearest"]
"""What becomes of the weights of inputs that were always zero."""


class GPTQResult(NamedTuple):
    """A kernel on its grid, and how it got there.

    Attributes:
      weights: of the shape and dtype of the kernel, ``integers * scale``; at 16 bits and more the
        kernel itself.
      integers: int32 ``[in, out]``.
      scale: float32 ``[1, out]`` or ``[in / group_size, out]``; see `absmax_scale`.
      damping: float32 scalar, the share of the mean diagonal of H that was added to it: what was
        asked for, or more where that left H singular.
      dead: bool ``[in]``, inputs that were always zero.
    """

    weights: jax.Array
    integers: jax.Array
    scale: jax.Array
    damping: jax.Array
    dead: jax.Array


def gptq(
    w: jax.Array,
    hessian: ArrayLike,
    bits: ArrayLike,
    *,
    group_size: int | None = None,
    bound: Bound = "restricted",
    damping: ArrayLike = 0.01,
    scale: ScaleRule = absmax_scale,
    keep: jax.Array | None = None,
    dead: DeadInputs = "zero",
) -> jax.Array:
    """Snaps a kernel to its grid such that its outputs change least.

    No gradient is defined by it; `wfm_jax.compress.gptq_quantize` is straight-through.

    >>> w = jax.random.normal(jax.random.key(0), (8, 4))
    >>> x = jax.random.normal(jax.random.key(1), (100, 8)) + 2.0  # inputs that are alike
    >>> def output_error(snapped):
    ...     return jnp.sum((x @ (w - snapped)) ** 2)
    >>> from wfm_jax.compress.uniform import fake_quant
    >>> bool(output_error(gptq(w, x.T @ x, 3)) < 0.5 * output_error(fake_quant(w, 3)))
    True

    Args:
      w: kernel ``[in, out]``.
      hessian: ``[in, in]``, the second moment of its inputs, in any positive scale: twice that, a
        sum or a mean. `LeafStats.second_moment` is one.
      bits: scalar: 2 to 8, or 16 and more for ``w`` unchanged; may be traced.
      group_size: number of consecutive inputs that share a scale, ``None`` for all. The scale of a
        group is taken when it is its turn, of the weights as they are then.
      bound: the scale convention.
      damping: share of the mean diagonal of H that is added to its diagonal; 1 % as published. May
        be traced.
      scale: the rule for scales, such as `mse_scale`.
      keep: boolean ``[in, out]``; where False, the weight becomes zero and does not count for the
        scale.
      dead: the weights of inputs that were always zero become zero, as the authors' program has it,
        or the ``"nearest"`` on the grid.

    Returns:
      Array of the shape and dtype of ``w``.

    Raises:
      ValueError: for shapes that do not fit, concrete bits or damping that are not allowed, an
        unknown bound or ``dead``, a group size that does not divide, or concrete NaN.
    """
    return gptq_with_report(
        w,
        hessian,
        bits,
        group_size=group_size,
        bound=bound,
        damping=damping,
        scale=scale,
        keep=keep,
        dead=dead,
    ).weights


def gptq_with_report(
    w: jax.Array,
    hessian: ArrayLike,
    bits: ArrayLike,
    *,
    group_size: int | None = None,
    bound: Bound = "restricted",
    damping: ArrayLike = 0.01,
    scale: ScaleRule = absmax_scale,
    keep: jax.Array | None = None,
    dead: DeadInputs = "zero",
) -> GPTQResult:
    """Does what `gptq` does, and tells what that took. Arguments and errors as of `gptq`."""
    w, hessian = jnp.asarray(w), jnp.asarray(hessian)
    _check(w, hessian, bits, bound, damping, dead)
    keep = jnp.ones(w.shape, bool) if keep is None else jnp.asarray(keep)
    if keep.shape != w.shape:
        raise ValueError(f"keep of shape {keep.shape} does not fit weights of shape {w.shape}")
    scale_shape(w.shape, -1, group_size)  # raises where the group does not divide
    bits, damping = jnp.asarray(bits), jnp.asarray(damping)
    return _rounded(w, hessian, bits, damping, keep, group_size, bound, scale, dead)


@partial(jax.jit, static_argnames=("group_size", "bound", "scale", "dead"))
def _rounded(
    w: jax.Array,
    hessian: jax.Array,
    bits: jax.Array,
    damping: jax.Array,
    keep: jax.Array,
    group_size: int | None,
    bound: Bound,
    scale: ScaleRule,
    dead: DeadInputs,
) -> GPTQResult:
    """The algorithm, row by row within blocks that move the rest of the kernel together."""
    values = as_float(w)
    upper, used, unseen = inverse_factor(hessian.astype(values.dtype), damping)

    def grid_of(w, kept):
        """One scale for each output, ``[1, out]``."""
        rule = scale(jnp.where(kept, w, 0), bits, group_size=None, bound=bound)
        return as_blocks(rule, w)

    whole = grid_of(values, keep) if group_size is None else None
    if dead == "zero":
        values = jnp.where(unseen[:, None], 0, values)
    size = group_size or _block_size(len(values))

    def round_block(errors: jax.Array, start: jax.Array):
        """The rows of a block, in turn; ``errors`` of all rows before it, weighed."""

        def rows(x):
            return jax.lax.dynamic_slice_in_dim(x, start, size)

        moved_by = jax.lax.dynamic_slice_in_dim(upper, start, size, axis=1)
        within, kept = rows(moved_by), rows(keep)
        current = rows(values) - jnp.matmul(moved_by.T, errors, precision="highest")
        grid = grid_of(current, kept) if whole is None else whole

        def round_row(i, carry):
            current, integers, own_errors = carry
            row = jax.lax.dynamic_slice_in_dim(current, i, 1)
            nearest = quantize_integers(row, bits, grid, bound=bound)
            nearest = jnp.where(kept[i], nearest, 0)
            snapped = (nearest.astype(row.dtype) * grid).astype(w.dtype)
            error = (row - as_float(snapped)) / within[i, i]
            current = current - within[i][:, None] * error
            return current, integers.at[i].set(nearest[0]), own_errors.at[i].set(error[0])

        empty = (jnp.zeros(current.shape, jnp.int32), jnp.zeros_like(current))
        _, integers, own_errors = jax.lax.fori_loop(0, size, round_row, (current, *empty))
        errors = jax.lax.dynamic_update_slice_in_dim(errors, own_errors, start, axis=0)
        return errors, (integers, grid)

    starts = jnp.arange(0, len(values), size)
    _, (integers, grids) = jax.lax.scan(round_block, jnp.zeros_like(values), starts)
    integers = integers.reshape(w.shape)
    grid = grids[:, 0] if whole is None else whole
    snapped = integers.astype(values.dtype) * spread(grid, w.shape)
    weights = jnp.where(bits >= 16, w, snapped.astype(w.dtype))
    return GPTQResult(weights, integers, grid, used, unseen)


def _block_size(n: int) -> int:
    """Rows whose errors move the rest together: faster, and the same as one by one."""
    return max(size for size in range(1, 129) if n % size == 0)


def _check(w, hessian, bits, bound, damping, dead) -> None:
    check_bits(bits)
    check_bound(bound)
    check_number("damping", damping, lambda d: 0 <= d < float("inf"), "zero or positive")
    if dead not in get_args(DeadInputs):
        raise ValueError(f"dead must be 'zero' or 'nearest', got {dead!r}")
    if w.ndim != 2 or not jnp.issubdtype(w.dtype, jnp.floating):
        raise ValueError(f"w must be a floating-point kernel [in, out], got shape {w.shape}")
    if hessian.shape != (len(w), len(w)):
        raise ValueError(
            f"hessian must be [in, in] = {[len(w)] * 2} for w {list(w.shape)}, got "
            f"{list(hessian.shape)}"
        )
    check_no_nan("w", w)
    check_no_nan("hessian", hessian)
