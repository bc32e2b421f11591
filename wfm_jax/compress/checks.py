"""Checks of numbers that may be traced: what has a value must be right, the rest is trusted."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


def is_traced(x: Any) -> bool:
    """Tells whether ``x`` has no value yet, because it is being traced."""
    return isinstance(x, Tracer)


def check_number(name: str, x: Any, allowed: Callable[[Any], Any], wanted: str) -> None:
    """Raises ValueError if ``x`` has a value that is no scalar, or not an allowed one.

    Args:
      name: the argument's name, for the message.
      x: the number.
      allowed: tells whether a scalar is allowed; must be false for NaN.
      wanted: what is allowed, in words.
    """
    if is_traced(x):
        return
    value = np.asarray(x)
    if value.shape != () or not allowed(value):
        raise ValueError(f"{name} must be {wanted}, got {x}")


def check_no_nan(name: str, x: Any) -> None:
    """Raises ValueError if ``x`` has a value that holds NaN; ``name`` says what it is."""
    if is_traced(x):
        return
    with jax.ensure_compile_time_eval():  # a concrete array may be met while others are traced
        if bool(jnp.any(jnp.isnan(x))):
            raise ValueError(f"{name} holds NaN")
