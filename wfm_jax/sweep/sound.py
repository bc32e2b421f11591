"""Whether a problem is what it says, before hours are spent on it: one line for what is not."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax import compress
from wfm_jax.train.problem import Problem


def check_problem(problem: Problem) -> None:
    """Traces every function of a problem, and runs its forward pass and task loss once.

    Args:
        problem: anybody's.

    Raises:
        ValueError: parameters that are not finite float32 arrays; a pattern that matches no kernel;
            functions that cannot be traced, do not fit together, or give something else than they
            should. Names the argument.
    """
    _check_params(problem.params)
    _named("prunable", lambda: compress.select(problem.params, problem.prunable))
    key = jax.random.key(0)
    what = "batch(key) cannot be traced by jax.jit"
    pair = _named(what, lambda: jax.eval_shape(problem.batch, key))
    if not (isinstance(pair, tuple | list) and len(pair) == 2):
        raise ValueError(f"batch must return (inputs, labels), got {type(pair).__name__}")
    inputs, labels = pair
    lengths = {leaf.shape[:1] for leaf in jax.tree.leaves(inputs)}
    if len(lengths) != 1 or () in lengths:
        raise ValueError("batch must return inputs of equally many examples on their first axes")
    outputs = _named(
        "apply(params, inputs) fails on what batch draws",
        lambda: jax.eval_shape(problem.apply, problem.params, inputs),
    )
    _check_scalar("task_loss", problem.task_loss, outputs, labels)
    numbers = (outputs, outputs, labels, jax.ShapeDtypeStruct((), jnp.float32))
    _check_scalar("distillation_loss", problem.distillation_loss, *numbers)
    _check_finite(problem)


def _check_params(params: Any) -> None:
    leaves = compress.flatten(params)
    if not leaves:
        raise ValueError("params has no arrays")
    for path, leaf in leaves.items():
        if not hasattr(leaf, "dtype") or not hasattr(leaf, "shape"):
            raise ValueError(f"params must be float32 arrays, got {type(leaf).__name__} at {path}")
        if leaf.dtype != jnp.float32:
            raise ValueError(f"params must be float32 arrays, got {leaf.dtype} at {path}")
        if not np.isfinite(np.asarray(leaf)).all():
            raise ValueError(f"params must be finite, got NaN or infinity at {path}")


def _check_scalar(name: str, loss: Callable[..., Any], *args: Any) -> None:
    found = _named(f"{name} fails on what apply answers", lambda: jax.eval_shape(loss, *args))
    if not (hasattr(found, "shape") and found.shape == () and found.dtype == jnp.float32):
        words = f"{found.dtype}{list(found.shape)}" if hasattr(found, "shape") else repr(found)
        raise ValueError(f"{name} must return a float32 scalar, got {words}")


def _check_finite(problem: Problem) -> None:
    @jax.jit
    def healthy(params: Any, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        inputs, labels = problem.batch(key)
        outputs = problem.apply(params, inputs)
        found = [jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(outputs)]
        return jnp.all(jnp.stack(found)), jnp.isfinite(problem.task_loss(outputs, labels))

    answers, loss = healthy(problem.params, jax.random.key(0))
    if not answers:
        raise ValueError("apply(params, inputs) gives NaN or infinity on what batch draws")
    if not loss:
        raise ValueError("task_loss is NaN or infinite for the trained params")


def _named(what: str, call: Callable[[], Any]) -> Any:
    """``call()``; whatever it raises as one line that begins with ``what``."""
    try:
        return call()
    except Exception as error:
        line = str(error).strip().split("\n", 1)[0] or type(error).__name__
        raise ValueError(f"{what}: {line}") from error
