"""What is trained of a compression state, such as the steps of quantization grids.

A compression state decides what the forward pass sees of the weights; some of its numbers may be
trained with them (LSQ: :func:`wfm_jax.compress.lsq_fake_quant` has a gradient for its scale). Which
ones, and in which coordinates the optimizer moves them, is a pair of functions.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Scales = Mapping[str, jax.Array]
"""By path name."""


class Learned(NamedTuple):
    """What of a compression state is trained; pure, static.

    Attributes:
        get: ``get(state) -> values``, a pytree of float32 arrays, what the optimizer moves.
        put: ``put(state, values) -> state``, differentiable in the values; the state's structure,
            shapes and dtypes stay, and leaves that are not trained stay the same objects.
            ``put(state, get(state))`` is the state.
    """

    get: Callable[[Any], Any]
    put: Callable[[Any, Any], Any]


def log_scales(
    read: Callable[[Any], Scales], replace: Callable[[Any, dict[str, jax.Array]], Any]
) -> Learned:
    """Scales, trained as logarithms.

    Adam's steps do not know a scale's size, which lies anywhere between 1e-4 and 1: Jain et al.,
    "Trained quantization thresholds", 2020 (arXiv 1903.08066). A learning rate is then the largest
    relative change of a step, and no scale changes its sign. The values are logarithms relative to
    the scale in the state, so zeros: a scale that has no gradient stays what it is, bit for bit. A
    scale of zero (a channel of zeros) stays zero, whatever its gradient.

    >>> learned = log_scales(lambda state: {"scale": state}, lambda _, new: new["scale"])
    >>> learned.put(jnp.array([0.5, 0.0]), {"scale": jnp.log(jnp.array([3.0, 3.0]))})
    Array([1.5, 0. ], dtype=float32)

    Args:
        read: ``read(state)``, the scales to train, none negative.
        replace: ``replace(state, scales)``, the state with these instead.
    """

    def get(state: Any) -> dict[str, jax.Array]:
        return {path: jnp.zeros_like(scale) for path, scale in read(state).items()}

    def put(state: Any, values: Mapping[str, jax.Array]) -> Any:
        def moved(scale: jax.Array, by: jax.Array) -> jax.Array:
            return jnp.where(scale == 0, scale, scale * jnp.exp(by))

        return replace(state, {path: moved(old, values[path]) for path, old in read(state).items()})

    return Learned(get, put)
