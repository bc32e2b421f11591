"""GPTQ as a transform: new weights on a stored grid; see `wfm_jax.compress.gptq`."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from wfm_jax.compress.checks import check_no_nan
from wfm_jax.compress.gptq import DeadInputs, gptq_with_report
from wfm_jax.compress.paths import unflatten
from wfm_jax.compress.quantize import ScaleRule, bits_by_path, kernels, quantize, scale_rule
from wfm_jax.compress.statistics import statistics_of
from wfm_jax.compress.transform import Transform
from wfm_jax.compress.uniform import Bound


class GPTQState(NamedTuple):
    """The grids in force, as in `QuantizeState`, and what finding the weights took.

    Attributes:
      scale: path name -> float32 scale.
      bits: path name -> float32 scalar; 16 and more leave the leaf in floating point.
      damping: path name -> float32 scalar, the share of the mean diagonal that was added to the
        second moment; more than was asked for where that was singular.
      n_dead: path name -> int32 scalar, inputs that were always zero.
    """

    scale: dict[str, jax.Array]
    bits: dict[str, jax.Array]
    damping: dict[str, jax.Array]
    n_dead: dict[str, jax.Array]


def gptq_quantize(
    bits: ArrayLike | Mapping[str, ArrayLike],
    *,
    scale: Literal["auto", "absmax", "mse", "percentile"] | ScaleRule = "auto",
    bound: Bound = "restricted",
    group_size: int | None = None,
    min_bits: int | None = None,
    damping: ArrayLike = 0.01,
    dead: DeadInputs = "zero",
    keep_zeros: bool = True,
) -> Transform:
    """Quantizes kernels such that their outputs change least.

    ``init`` leaves all in floating point; ``update`` replaces the kernels by weights on a grid and
    stores its scales; ``apply`` snaps to the stored grid, straight through, as that of
    `wfm_jax.compress.quantize`, and so leaves the new weights as they are. Every kernel is treated
    by itself, by statistics of the model as it was; whoever wants those of a model whose first
    layers are quantized gathers them again, and takes a layer at a time with
    `wfm_jax.compress.matching`.

    Args:
      bits, scale, bound, group_size, min_bits: see `wfm_jax.compress.quantize`.
      damping, dead: see `gptq`.
      keep_zeros: weights that are exactly zero stay zero, as after pruning, and do not make up for
        others.

    Returns:
      A transform with a `GPTQState`, whose ``update`` needs ``stats``.

    Raises:
      ValueError: as `wfm_jax.compress.quantize`; from ``update``, for a kernel without statistics,
        or of more than two axes.
    """
    transform = quantize(bits, scale=scale, bound=bound, group_size=group_size, min_bits=min_bits)
    rule, of_path = scale_rule(scale), bits_by_path(bits, min_bits)

    def init(params, *, key):
        scales, in_force = transform.init(params, key=key)
        return GPTQState(
            scales,
            in_force,
            {path: jnp.zeros_like(s, shape=()) for path, s in scales.items()},
            {path: jnp.int32(0) for path in scales},
        )

    def update(params, state, stats=None):
        del state
        rounded, own = {}, of_path(params)
        for path, w in kernels(params).items():
            if w.ndim != 2:
                raise ValueError(
                    f"gptq_quantize takes kernels [in, out], params[{path!r}] has shape {w.shape}"
                )
            check_no_nan(f"params[{path!r}]", w)
            rounded[path] = gptq_with_report(
                w,
                statistics_of(stats, path, "gptq_quantize", w.shape).second_moment,
                own[path],
                group_size=group_size,
                bound=bound,
                damping=damping,
                scale=rule,
                keep=w != 0 if keep_zeros else None,
                dead=dead,
            )
        new = unflatten(params, {path: r.weights for path, r in rounded.items()})
        return new, GPTQState(
            {path: r.scale for path, r in rounded.items()},
            {path: jnp.asarray(own[path], jnp.float32) for path in rounded},
            {path: r.damping for path, r in rounded.items()},
            {path: jnp.sum(r.dead, dtype=jnp.int32) for path, r in rounded.items()},
        )

    return Transform(init, update, transform.apply)
