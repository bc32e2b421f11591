"""Attention maps: what the teacher looks at, the student shall look at.

Sun et al., "MobileBERT: a compact task-agnostic BERT for resource-limited devices", 2020
(arXiv 2004.02984), section 3.3: the Kullback-Leibler divergence of the student's attention from the
teacher's. There every head has its partner; here student and teacher may have any numbers of heads,
and the mean over the heads is compared.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from wfm_jax.compress.distill import softened_kl

_LEAST_SHARE = 1e-12
"""Shares below count as this, and get no gradient."""


def attention_loss(
    student: jax.Array, teacher: jax.Array, temperature: ArrayLike = 1.0
) -> jax.Array:
    """Returns T^2 KL(teacher || student) of where each query looks, on average over the heads.

    >>> one_head = jnp.array([[[0.5, 0.5]]])
    >>> two_heads = jnp.array([[[0.0, 1.0]], [[1.0, 0.0]]])
    >>> attention_loss(one_head, two_heads)
    Array([0.], dtype=float32)

    Args:
      student: ``[..., student_heads, queries, keys]``, shares that sum to one over the keys.
      teacher: ``[..., teacher_heads, queries, keys]``; gets no gradient.
      temperature: scalar T > 0 of the averaged shares (p^(1/T), of unit sum again): above one the
        keys that are hardly looked at count more; may be traced.

    Returns:
      ``[..., queries]``, in nats, never negative.

    Raises:
      ValueError: for maps that differ in more than the number of heads, or a concrete temperature
        that is not positive.
    """
    if student.shape[:-3] + student.shape[-2:] != teacher.shape[:-3] + teacher.shape[-2:]:
        raise ValueError(
            "attention maps may differ in the number of heads alone, got "
            f"{student.shape} and {teacher.shape}"
        )
    return softened_kl(_log_mean(student), _log_mean(teacher), temperature)


def _log_mean(shares: jax.Array) -> jax.Array:
    return jnp.log(jnp.maximum(jnp.mean(shares, axis=-3), _LEAST_SHARE))
