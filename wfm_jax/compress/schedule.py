"""Gradual sparsity: much is removed while much is left, and less and less towards the end.

Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model compression",
2017 (arXiv 1710.01878).
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from wfm_jax.compress.checks import check_number, is_traced


def cubic_sparsity(
    step: ArrayLike,
    *,
    start: ArrayLike,
    end: ArrayLike,
    final: ArrayLike,
    initial: ArrayLike = 0.0,
) -> jax.Array:
    """Returns final + (initial - final) (1 - (step - start) / (end - start))^3.

    Constant before ``start`` and from ``end`` on, where it is exactly ``final``; it never falls. As
    a method's numbers may be traced, a schedule is that method at another sparsity. Masks only ever
    shrink:

    >>> from wfm_jax.compress.prune import prune
    >>> params = {"w": jnp.arange(100.0)}
    >>> def thin(state, step):
    ...     method = prune(cubic_sparsity(step, start=0, end=4, final=0.8))
    ...     _, state = method.update(params, state)
    ...     return state, state.keep["w"].sum()
    >>> state = prune(0.0).init(params, key=jax.random.key(0))
    >>> jax.lax.scan(thin, state, jnp.arange(6))[1]
    Array([100,  54,  30,  21,  20,  20], dtype=int32)

    Every update sorts all scores: update every some hundred steps, not at each.

    Args:
      step: number of steps done; any shape.
      start: step at which the sparsity begins to rise.
      end: step at which it arrives; later than ``start``.
      final: sparsity from ``end`` on, in [0, 1).
      initial: sparsity up to ``start``, in [0, ``final``].

    Returns:
      float32 of the shape of ``step``.

    Raises:
      ValueError: for numbers that have a value and are outside these ranges.
    """
    check_number("final", final, lambda s: 0 <= s < 1, "one number in [0, 1)")
    check_number("initial", initial, lambda s: 0 <= s < 1, "one number in [0, 1)")
    if not (is_traced(initial) or is_traced(final)):
        check_number("initial", initial, lambda s: s <= final, f"at most final={final}")
    if not (is_traced(start) or is_traced(end)):
        check_number("end", end, lambda e: e > start, f"later than start={start}")
    step, start, end, final, initial = (
        jnp.asarray(x, jnp.float32) for x in (step, start, end, final, initial)
    )
    to_go = 1 - jnp.clip((step - start) / (end - start), 0, 1)
    return final + (initial - final) * to_go**3
