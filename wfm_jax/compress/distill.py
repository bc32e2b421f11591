"""Distillation losses: what a student should match of its teacher.

Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015 (arXiv 1503.02531).
Logits are divided by a temperature T, and the loss multiplied by T^2 so that its gradient keeps
its size. All losses are per example (reduce them as you like), are zero where student and teacher
agree, and let no gradient through to the teacher. Logits are finite.

Gradients are written out: T (softmax(s/T) - softmax(t/T)). So a student that equals its teacher
gets *exactly* zero, where differentiating the sum would leave a rounding error for Adam to
normalise to full-sized steps.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from wfm_jax.compress.checks import check_number


def softened_kl(
    student_logits: jax.Array, teacher_logits: jax.Array, temperature: ArrayLike
) -> jax.Array:
    """Returns T^2 KL(softmax(teacher / T) || softmax(student / T)) over the last axis.

    >>> apart, same = softened_kl(jnp.array([[2.0, 0.0], [1.0, 1.0]]), jnp.array([1.0, 1.0]), 2.0)
    >>> f"{apart:.2f}", f"{same:.2f}"
    ('0.48', '0.00')

    Args:
      student_logits: ``[..., classes]``.
      teacher_logits: ``[..., classes]``.
      temperature: scalar T > 0; may be traced.

    Returns:
      ``[...]``, in nats, never negative.
    """
    t = _temperature(temperature, student_logits)
    teacher = jax.lax.stop_gradient(teacher_logits)
    return jnp.square(t) * _categorical_kl(student_logits / t, teacher / t)


def softened_bernoulli_kl(
    student_llr: jax.Array, teacher_llr: jax.Array, temperature: ArrayLike
) -> jax.Array:
    """Returns T^2 KL(Bernoulli(sigmoid(teacher / T)) || Bernoulli(sigmoid(student / T))).

    For bits: an LLR is the logit ln P(bit=1) / P(bit=0). Stable for LLRs of any finite size.

    Args:
      student_llr: any shape.
      teacher_llr: the same shape.
      temperature: scalar T > 0; may be traced.

    Returns:
      Elementwise, in nats, never negative.
    """
    t = _temperature(temperature, student_llr)
    teacher = jax.lax.stop_gradient(teacher_llr)
    return jnp.square(t) * _bernoulli_kl(student_llr / t, teacher / t)


def squared_error(student: jax.Array, teacher: jax.Array) -> jax.Array:
    """Returns (student - teacher)^2 elementwise, for regression heads: real arrays of any shape."""
    return jnp.square(student - jax.lax.stop_gradient(teacher))


def blend(alpha: float | jax.Array, distillation: jax.Array, task: jax.Array) -> jax.Array:
    """Returns alpha * distillation + (1 - alpha) * task.

    Both ends are exact for finite losses; an infinite or NaN loss shows even at weight zero.

    Args:
      alpha: weight of distillation in [0, 1]; may be traced.
      distillation: loss against the teacher.
      task: loss against the labels, of the same shape.
    """
    return alpha * distillation + (1 - alpha) * task


def _temperature(temperature, logits):
    check_number("temperature", temperature, lambda t: 0 < t < float("inf"), "positive")
    return jnp.asarray(temperature, logits.dtype)


@jax.custom_jvp
def _categorical_kl(student, teacher):
    log_p, log_q = jax.nn.log_softmax(teacher), jax.nn.log_softmax(student)
    return jnp.maximum(jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1), 0)


@_categorical_kl.defjvp
def _categorical_kl_jvp(primals, tangents):
    student, teacher = primals
    # Exponentials last: a compiler may fuse the divisions of softmax into the subtraction, and
    # then equal arguments leave a rounding error.
    slope = jnp.exp(jax.nn.log_softmax(student)) - jnp.exp(jax.nn.log_softmax(teacher))
    return _categorical_kl(student, teacher), jnp.sum(slope * tangents[0], axis=-1)


@jax.custom_jvp
def _bernoulli_kl(student, teacher):
    one = jax.nn.sigmoid(teacher) * (jax.nn.softplus(-student) - jax.nn.softplus(-teacher))
    zero = jax.nn.sigmoid(-teacher) * (jax.nn.softplus(student) - jax.nn.softplus(teacher))
    return jnp.maximum(one + zero, 0)


@_bernoulli_kl.defjvp
def _bernoulli_kl_jvp(primals, tangents):
    student, teacher = primals
    slope = jax.nn.sigmoid(student) - jax.nn.sigmoid(teacher)
    return _bernoulli_kl(student, teacher), slope * tangents[0]
