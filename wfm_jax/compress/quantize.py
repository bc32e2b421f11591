"""Weight quantization as a transform: calibrate once, snap at every forward pass.

Between the two lies the stored scale. It makes quantization-aware training stable (the grid stays
while the weights move) and snapping idempotent (what was snapped stays where it is).
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from wfm_jax.compress.checks import is_traced
from wfm_jax.compress.paths import flatten, unflatten
from wfm_jax.compress.scales import mse_scale, percentile_scale
from wfm_jax.compress.transform import Params, Transform
from wfm_jax.compress.uniform import Bound, absmax_scale, check_bits, check_bound, fake_quant

ScaleRule = Callable[..., jax.Array]
"""``(w, bits, *, group_size, bound) -> scale``, such as `absmax_scale`."""


class QuantizeState(NamedTuple):
    """The grids in force.

    Attributes:
      scale: path name -> float32 scale, of the shape given by `absmax_scale`.
      bits: path name -> float32 scalar; 16 and more leave the leaf in floating point.
    """

    scale: dict[str, jax.Array]
    bits: dict[str, jax.Array]


def auto_scale(w: jax.Array, bits: float | jax.Array, **settings) -> jax.Array:
    """Returns `mse_scale` up to 3 bits, `absmax_scale` above: a `ScaleRule`.

    Args:
      w: a kernel ``[..., in, out]``.
      bits: scalar, may be traced.
      **settings: ``group_size`` and ``bound``, as of `absmax_scale`.

    Returns:
      float32 of the shape of `absmax_scale`.
    """
    if not is_traced(bits):
        return (mse_scale if bits <= 3 else absmax_scale)(w, bits, **settings)
    return jax.lax.cond(
        bits <= 3,
        lambda: mse_scale(w, bits, **settings),
        lambda: absmax_scale(w, bits, **settings),
    )


def quantize(
    bits: ArrayLike | Mapping[str, ArrayLike],
    *,
    scale: Literal["auto", "absmax", "mse", "percentile"] | ScaleRule = "auto",
    bound: Bound = "restricted",
    group_size: int | None = None,
    min_bits: int | None = None,
) -> Transform:
    """Quantizes kernels: every floating-point leaf of two or more axes, ``[..., in, out]``.

    ``init`` leaves all in floating point; ``update`` calibrates the scales on the parameters as it
    is given them, and leaves those unchanged; ``apply`` snaps them to the stored grid with
    `fake_quant`. Restrict it with `wfm_jax.compress.matching`.

    >>> params = {"kernel": jnp.array([[0.1, -7.0], [0.4, 1.2], [3.5, 1.6]])}
    >>> method = quantize(4)  # integers up to 7
    >>> params, state = method.update(params, method.init(params, key=jax.random.key(0)))
    >>> method.apply(params, state)["kernel"].tolist(), state.scale["kernel"].tolist()
    ([[0.0, -7.0], [0.5, 1.0], [3.5, 2.0]], [[0.5, 1.0]])

    Args:
      bits: scalar: 2 to 8, or 16 or 32 for floating point; may be traced. Or such scalars by path
        name, mixed precision: kernels that are not named are left in floating point.
      scale: how scales are calibrated: ``"absmax"``, ``"mse"``, ``"percentile"`` (99.9),
        ``"auto"`` (mse up to 3 bits, absmax above), or a function like `absmax_scale`.
      bound: the scale convention.
      group_size: number of consecutive inputs that share a scale, ``None`` for all.
      min_bits: raises ``bits`` to at least this, as embeddings and heads may need.

    Returns:
      A transform with a `QuantizeState`.

    Raises:
      ValueError: for concrete bits that are not allowed, an unknown scale or bound; from ``init``,
        for a group size that divides some leaf's inputs unevenly; from ``init`` and ``update``, for
        bits of a path that is no kernel; from ``update``, for concrete weights that hold NaN.
    """
    of_path = bits_by_path(bits, min_bits)
    check_bound(bound)
    rule = scale_rule(scale)

    def calibrate(w, b):
        return rule(w, b, group_size=group_size, bound=bound)

    def init(params, *, key):
        del key
        of_path(params)
        scales = {p: jax.eval_shape(calibrate, w, 8) for p, w in kernels(params).items()}
        return QuantizeState(
            {path: jnp.zeros(s.shape, s.dtype) for path, s in scales.items()},
            {path: jnp.float32(32) for path in scales},
        )

    def update(params, state, stats=None):
        del state, stats
        own = of_path(params)
        scales = {path: calibrate(w, own[path]) for path, w in kernels(params).items()}
        for path, s in scales.items():
            if not is_traced(s) and bool(jnp.any(jnp.isnan(s))):
                raise ValueError(f"params[{path!r}] holds NaN")
        return params, QuantizeState(scales, {p: jnp.asarray(own[p], jnp.float32) for p in scales})

    def apply(params, state):
        snapped = {
            path: fake_quant(w, state.bits[path], bound=bound, scale=state.scale[path])
            for path, w in kernels(params).items()
        }
        return unflatten(params, snapped)

    return Transform(init, update, apply)


def bits_by_path(
    bits: ArrayLike | Mapping[str, ArrayLike], min_bits: int | None
) -> Callable[[Params], dict[str, ArrayLike]]:
    """Returns a function that gives the bits of every kernel of some parameters, by path name.

    Args:
      bits, min_bits: see `quantize`.

    Raises:
      ValueError: as `quantize`; from the function, for bits of a path that is no kernel.
    """
    if min_bits is not None:
        check_bits(min_bits, "min_bits")

    def raised(one: ArrayLike) -> ArrayLike:
        return one if min_bits is None else jnp.maximum(one, min_bits)

    if not isinstance(bits, Mapping):
        check_bits(bits)
        everywhere = raised(bits)
        return lambda params: dict.fromkeys(kernels(params), everywhere)
    for path, one in bits.items():
        check_bits(one, f"bits[{path!r}]")
    named = {path: raised(one) for path, one in bits.items()}

    def of_path(params):
        everything = kernels(params)
        if unknown := sorted(set(named) - set(everything)):
            raise ValueError(f"bits of what is no kernel: {', '.join(unknown)}")
        return dict.fromkeys(everything, 32) | named

    return of_path


def kernels(params: Params) -> dict[str, jax.Array]:
    """Returns by path name what is quantized: floating-point leaves of shape ``[..., in, out]``."""
    return {
        path: leaf
        for path, leaf in flatten(params).items()
        if jnp.ndim(leaf) >= 2 and jnp.issubdtype(leaf.dtype, jnp.floating)
    }


def scale_rule(scale: str | ScaleRule) -> ScaleRule:
    """Returns the function that a name of `quantize` stands for; raises ValueError."""
    match scale:
        case "auto":
            return auto_scale
        case "absmax":
            return absmax_scale
        case "mse":
            return mse_scale
        case "percentile":
            return percentile_scale
        case str():
            raise ValueError(
                f"scale must be 'auto', 'absmax', 'mse', 'percentile' or a function, got {scale!r}"
            )
        case _:
            return scale
