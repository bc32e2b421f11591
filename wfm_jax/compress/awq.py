"""AWQ: inputs that are large on average get a finer grid.

Lin et al., "AWQ: activation-aware weight quantization for on-device LLM compression and
acceleration", 2023 (arXiv 2306.00978). Row i of a kernel is multiplied by s_i before it is rounded
and divided by s_i afterwards, with s_i = mean |x_i|^alpha; alpha is searched for, by the error of
the kernel's outputs.

What is stored: integers, a scale for each output (or group of inputs and output) as ever, and the
vector s, one float16 for each input. The authors fold 1 / s into the layer before, which costs
nothing there but ties all kernels that read the same activations to one s. Here every kernel has
its own, so that nothing has to be known of the model; the receiver divides the activations, or the
unpacked weights, by it. Beside 4-bit weights of [64, 256] these are 2 % more bytes, of [256, 64]
6 %.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from wfm_jax.compress.checks import check_no_nan
from wfm_jax.compress.half import round_to_half
from wfm_jax.compress.quantize import ScaleRule
from wfm_jax.compress.statistics import LeafStats
from wfm_jax.compress.surrogate import straight_through
from wfm_jax.compress.uniform import (
    Bound,
    absmax_scale,
    as_float,
    check_bits,
    check_bound,
    fake_quant,
)

ALPHAS = np.linspace(0.0, 1.0, 21)
"""The exponents that `awq` tries. Zero is rounding to nearest."""

SMALLEST = 1e-4
"""Inputs below this share of the mean |x| count as that."""


class AWQResult(NamedTuple):
    """A kernel on its grid, and how it got there.

    Attributes:
      weights: of the shape and dtype of the kernel; at 16 bits and more the kernel itself.
      scale: float32 ``[1, out]`` or ``[in / group_size, out]``, of the multiplied kernel.
      inputs: float32 ``[in, 1]``, s; its values are float16's.
      alpha: float32 scalar, the exponent.
      error: float32 scalar, E \\|x (weights - w)\\|^2 over E \\|x w\\|^2.
    """

    weights: jax.Array
    scale: jax.Array
    inputs: jax.Array
    alpha: jax.Array
    error: jax.Array


def awq(
    w: jax.Array,
    stats: LeafStats,
    bits: ArrayLike,
    *,
    group_size: int | None = None,
    bound: Bound = "restricted",
    scale: ScaleRule = absmax_scale,
) -> AWQResult:
    """Chooses how to multiply a kernel's rows such that its outputs change least.

    Never worse on the statistics than rounding to nearest with the same rule for scales, which is
    among the candidates and wins ties.

    Args:
      w: kernel ``[in, out]``.
      stats: of its inputs; reads ``absolute`` and ``second_moment``.
      bits: scalar: 2 to 8, or 16 and more for ``w`` unchanged; may be traced.
      group_size: number of consecutive inputs that share a scale, ``None`` for all.
      bound: the scale convention.
      scale: the rule for scales, such as `mse_scale`.

    Returns:
      `AWQResult`.

    Raises:
      ValueError: for shapes that do not fit, concrete bits that are not allowed, an unknown bound,
        a group size that does not divide, or concrete NaN.
    """
    w = jnp.asarray(w)
    _check(w, stats, bits, bound)
    bits = jnp.asarray(bits)
    return _searched(w, stats.second_moment, stats.absolute, bits, group_size, bound, scale)


@partial(jax.jit, static_argnames=("group_size", "bound", "scale"))
def _searched(
    w: jax.Array,
    second_moment: jax.Array,
    absolute: jax.Array,
    bits: jax.Array,
    group_size: int | None,
    bound: Bound,
    scale: ScaleRule,
) -> AWQResult:
    """The search, one exponent after the other."""
    values = as_float(w)
    moment = second_moment.astype(values.dtype)

    def energy(x):
        """E \\|x d\\|^2 for every column d, added up."""
        return jnp.sum(x * jnp.matmul(moment, x, precision="highest"))

    def candidate(alpha):
        inputs = input_scale(absolute, alpha)
        grid = scale(values * inputs, bits, group_size=group_size, bound=bound)
        snapped = snap(w, bits, grid, inputs, bound=bound)
        return AWQResult(snapped, grid, inputs, alpha, energy(as_float(snapped) - values))

    def try_alpha(best, alpha):
        tried = candidate(alpha)
        better = tried.error < best.error
        return jax.tree.map(lambda new, old: jnp.where(better, new, old), tried, best), None

    alphas = jnp.asarray(ALPHAS, jnp.float32)
    best, _ = jax.lax.scan(try_alpha, candidate(alphas[0]), alphas[1:])
    total = energy(values)
    return best._replace(error=best.error / jnp.where(total > 0, total, 1))


def input_scale(absolute: jax.Array, alpha: ArrayLike) -> jax.Array:
    """Returns s, float32 ``[in, 1]``: mean \\|x\\|^alpha, its extremes around 1, in float16 values.

    Inputs that were always zero count as average ones: nothing is known of them.

    Args:
      absolute: ``[in]``, a sum or a mean of \\|x\\|.
      alpha: exponent; may be traced.
    """
    seen = absolute > 0
    mean = jnp.sum(absolute) / jnp.maximum(jnp.sum(seen), 1)
    relative = jnp.where(seen, jnp.maximum(absolute / jnp.where(mean > 0, mean, 1), SMALLEST), 1)
    s = relative**alpha
    s = s / jnp.sqrt(jnp.max(s) * jnp.min(s))
    return round_to_half(s.astype(jnp.float32))[:, None]


def snap(
    w: jax.Array, bits: ArrayLike, scale: ArrayLike, inputs: jax.Array, *, bound: Bound
) -> jax.Array:
    """Snaps a kernel to the grid of its rows times ``inputs``, straight through.

    The result is (integer * scale) * (1 / inputs): division as in `wfm_jax.compress.uniform`.

    Args:
      w: kernel ``[in, out]``.
      bits: scalar, may be traced; 16 and more return ``w``.
      scale: of the multiplied kernel; see `fake_quant`.
      inputs: ``[in, 1]``, positive.
      bound: the scale convention.
    """
    values = as_float(jax.lax.stop_gradient(w))
    inputs = inputs.astype(values.dtype)
    snapped = fake_quant(values * inputs, bits, bound=bound, scale=scale) * jnp.reciprocal(inputs)
    return straight_through(w, jnp.where(jnp.asarray(bits) >= 16, w, snapped.astype(w.dtype)))


def _check(w: jax.Array, stats: LeafStats, bits: ArrayLike, bound: str) -> None:
    check_bits(bits)
    check_bound(bound)
    if w.ndim != 2 or not jnp.issubdtype(w.dtype, jnp.floating):
        raise ValueError(f"w must be a floating-point kernel [in, out], got shape {w.shape}")
    if stats.second_moment.shape != (len(w), len(w)):
        raise ValueError(
            f"statistics of {list(stats.second_moment.shape)} do not fit w {list(w.shape)}: the "
            f"second moment must be {[len(w)] * 2}"
        )
    check_no_nan("w", w)
    check_no_nan("stats.second_moment", stats.second_moment)
