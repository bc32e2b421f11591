"""AWQ as a transform: stored scales of outputs and of inputs; see `wfm_jax.compress.awq`."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from wfm_jax.compress.awq import awq, snap
from wfm_jax.compress.checks import check_no_nan
from wfm_jax.compress.paths import unflatten
from wfm_jax.compress.quantize import ScaleRule, bits_by_path, kernels, quantize, scale_rule
from wfm_jax.compress.statistics import statistics_of
from wfm_jax.compress.transform import Transform
from wfm_jax.compress.uniform import Bound


class AWQState(NamedTuple):
    """The grids in force.

    Attributes:
      scale: path name -> float32 scale of the multiplied kernel.
      bits: path name -> float32 scalar; 16 and more leave the leaf in floating point.
      inputs: path name -> float32 ``[in, 1]`` of float16 values, by which rows are multiplied
        before they are rounded. It is stored beside the scale: the weights are not integers times
        ``scale`` alone.
    """

    scale: dict[str, jax.Array]
    bits: dict[str, jax.Array]
    inputs: dict[str, jax.Array]


def awq_quantize(
    bits: ArrayLike | Mapping[str, ArrayLike],
    *,
    scale: Literal["auto", "absmax", "mse", "percentile"] | ScaleRule = "auto",
    bound: Bound = "restricted",
    group_size: int | None = None,
    min_bits: int | None = None,
) -> Transform:
    """Quantizes kernels on grids that are finer where inputs are large.

    ``init`` leaves all in floating point; ``update`` finds the scales, and leaves the parameters
    unchanged; ``apply`` snaps to the stored grid, straight through. Zeros stay zero.

    Args:
      bits, scale, bound, group_size, min_bits: see `wfm_jax.compress.quantize`.

    Returns:
      A transform with an `AWQState`, whose ``update`` needs ``stats``.

    Raises:
      ValueError: as `wfm_jax.compress.quantize`; from ``update``, for a kernel without statistics,
        or of more than two axes.
    """
    plain = quantize(bits, scale=scale, bound=bound, group_size=group_size, min_bits=min_bits)
    rule, of_path = scale_rule(scale), bits_by_path(bits, min_bits)

    def init(params, *, key):
        scales, in_force = plain.init(params, key=key)
        ones = {path: jnp.ones((w.shape[0], 1)) for path, w in kernels(params).items()}
        return AWQState(scales, in_force, ones)

    def update(params, state, stats=None):
        del state
        found, own = {}, of_path(params)
        for path, w in kernels(params).items():
            if w.ndim != 2:
                raise ValueError(
                    f"awq_quantize takes kernels [in, out], params[{path!r}] has shape {w.shape}"
                )
            check_no_nan(f"params[{path!r}]", w)
            seen = statistics_of(stats, path, "awq_quantize", w.shape)
            found[path] = awq(w, seen, own[path], group_size=group_size, bound=bound, scale=rule)
        return params, AWQState(
            {path: f.scale for path, f in found.items()},
            {path: jnp.asarray(own[path], jnp.float32) for path in found},
            {path: f.inputs for path, f in found.items()},
        )

    def apply(params, state):
        snapped = {
            path: snap(w, state.bits[path], state.scale[path], state.inputs[path], bound=bound)
            for path, w in kernels(params).items()
        }
        return unflatten(params, snapped)

    return Transform(init, update, apply)
