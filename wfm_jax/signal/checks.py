"""Checks of arrays at the doors of the room: static shapes and dtypes only, so they work in jit."""

import jax
import jax.numpy as jnp
import numpy as np


def check_array(
    name: str,
    x: jax.Array | np.ndarray,
    *axes: str | int,
    real: bool = False,
    batched: bool = False,
) -> None:
    """Raises ValueError in one line that names the argument unless dtype and axes fit.

    Args:
        name: of the argument.
        x: the array.
        axes: its axes: a name stands for any length, a number for that length.
        real: whether it must be real, integers too; else it must be complex.
        batched: more axes in front of ``axes`` are fine.
    """
    shape = jnp.shape(x)
    last = shape[len(shape) - len(axes) :] if batched and len(shape) > len(axes) else shape
    fits = len(last) == len(axes) and all(
        isinstance(axis, str) or axis == n for axis, n in zip(axes, last, strict=True)
    )
    dtype = jnp.result_type(x)
    kinds = (jnp.floating, jnp.integer) if real else (jnp.complexfloating,)
    if fits and any(jnp.issubdtype(dtype, kind) for kind in kinds):
        return
    wanted = ", ".join(["..."] * batched + [str(axis) for axis in axes])
    raise ValueError(
        f"{name} must be {'real' if real else 'complex'} [{wanted}], got {dtype}{list(shape)}"
    )
