"""Relations: examples that are alike for the teacher shall be alike for the student.

Tung and Mori, "Similarity-preserving knowledge distillation", 2019 (arXiv 1907.09682). What is
compared are the similarities of the examples of a batch among each other, a square matrix as large
as the batch: features of any two widths fit, and nothing has to be learned beside the student.
"""

import jax
import jax.numpy as jnp


def similarities(features: jax.Array) -> jax.Array:
    """Returns how alike examples are: inner products, each row of unit norm.

    Args:
      features: ``[..., examples, width]``.

    Returns:
      ``[..., examples, examples]``, row i for example i; zeros for an example of zeros, with a
      gradient of zero.
    """
    return _unit_rows(_products(features))


def similarity_loss(student: jax.Array, teacher: jax.Array) -> jax.Array:
    """Returns the squared error of the similarities, mean over pairs of examples.

    Zero also where the student's features are the teacher's in another basis, or another unit.

    >>> student = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    >>> float(similarity_loss(student, jnp.array([[0.0, 0.0, 2.0], [0.0, 2.0, 0.0]])))
    0.0
    >>> float(similarity_loss(student, jnp.array([[1.0], [1.0]]))) > 0.2
    True

    Args:
      student: ``[..., examples, student_width]``; flatten what a whole example has, such as the
        tokens of a frame.
      teacher: ``[..., examples, teacher_width]``; gets no gradient.

    Returns:
      ``[...]``, between 0 and 4 / examples.

    Raises:
      ValueError: if the examples are not as many.
    """
    if student.shape[:-1] != teacher.shape[:-1]:
        raise ValueError(
            f"student and teacher need the same examples, got {student.shape[:-1]} and "
            f"{teacher.shape[:-1]}"
        )
    of_student, of_teacher = _products(student), _products(jax.lax.stop_gradient(teacher))
    apart = _unit_rows(of_student) - _unit_rows(of_teacher)
    # Compiled, what is equal may differ by a rounding error that Adam would normalise.
    equal = jnp.all(of_student == of_teacher, axis=-1, keepdims=True)
    return jnp.mean(jnp.square(jnp.where(equal, 0, apart)), axis=(-2, -1))


def _products(features: jax.Array) -> jax.Array:
    return jnp.einsum("...id,...jd->...ij", features, features)


def _unit_rows(products: jax.Array) -> jax.Array:
    power = jnp.sum(jnp.square(products), axis=-1, keepdims=True)
    some = power > 0
    return jnp.where(some, products * jax.lax.rsqrt(jnp.where(some, power, 1)), 0)
