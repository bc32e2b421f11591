"""Hints: a student's features, through a map that is learned with it, are those of its teacher.

Romero et al., "FitNets: hints for thin deep nets", 2015 (arXiv 1412.6550). Where the student is
narrower than its teacher its features cannot be compared as they are; a linear map takes them to
the teacher's width. It serves training alone and is left behind, so it travels as a pytree of its
own (`match_init`), trained like adapters in `wfm_jax.compress.lora`: the optimizer sees the pair of
parameters and maps. Without a map: `wfm_jax.compress.similarity_loss`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class FeatureMap(NamedTuple):
    """A linear map from a student's features to its teacher's.

    Attributes:
      kernel: float32 ``[student_width, teacher_width]``.
      bias: float32 ``[teacher_width]``.
    """

    kernel: jax.Array
    bias: jax.Array


def match_init(student_width: int, teacher_width: int, *, key: jax.Array) -> FeatureMap:
    """Returns the map that training starts from.

    The identity where the widths are equal, so that a student that starts as its teacher starts
    without loss; otherwise normal with a variance of one over the student's width, which keeps the
    size of the features. The bias is zero.

    Args:
      student_width: of the student's features.
      teacher_width: of the teacher's.
      key: typed PRNG key.

    Raises:
      ValueError: for a width below 1.
    """
    if min(student_width, teacher_width) < 1:
        raise ValueError(f"widths must be at least 1, got {student_width} and {teacher_width}")
    if student_width == teacher_width:
        kernel = jnp.eye(student_width)
    else:
        kernel = jax.random.normal(key, (student_width, teacher_width)) * student_width**-0.5
    return FeatureMap(kernel, jnp.zeros(teacher_width))


def match_loss(feature_map: FeatureMap, student: jax.Array, teacher: jax.Array) -> jax.Array:
    """Returns the squared error of the mapped features, mean over the teacher's width.

    In the square of the teacher's units: divide by its variance for a loss of order one. Gradients
    reach the student and the map, none the teacher.

    >>> feature_map = match_init(2, 2, key=jax.random.key(0))
    >>> match_loss(feature_map, jnp.array([[1.0, 2.0], [3.0, 3.0]]), jnp.array([[1.0, 4.0]]))
    Array([2. , 2.5], dtype=float32)

    Args:
      feature_map: from `match_init`, or as trained.
      student: ``[..., student_width]``.
      teacher: ``[..., teacher_width]``.

    Returns:
      ``[...]``, a loss an example.

    Raises:
      ValueError: for widths that are not those of the map.
    """
    widths = student.shape[-1], teacher.shape[-1]
    if widths != feature_map.kernel.shape:
        raise ValueError(
            f"features of widths {widths[0]} and {widths[1]} do not fit a map from "
            f"{feature_map.kernel.shape[0]} to {feature_map.kernel.shape[1]}"
        )
    mapped = student @ feature_map.kernel + feature_map.bias
    return jnp.mean(jnp.square(mapped - jax.lax.stop_gradient(teacher)), axis=-1)
