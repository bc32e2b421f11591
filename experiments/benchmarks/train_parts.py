"""The parts of the training step, each timed alone.

In loops of their own, because the compiler lays out the body of a loop differently: called from
Python for each batch, the gradient takes half as long again.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.benchmarks import train
from experiments.benchmarks.train import Work
from wfm_jax.model import Batch, to_batch
from wfm_jax.model.batches import drop_views
from wfm_jax.train.fit import Losses, Training
from wfm_jax.train.optimizer import adam, learning_rate_at


def parts(work: Work, batches: list[Batch]) -> dict[str, Callable[[], object]]:
    """Calls that run a part once for each batch, their inputs ready."""
    settings, stack = work.settings, train.stack(batches)
    keys = jax.random.split(jax.random.key(settings.seed), len(batches))

    def present(key: jax.Array) -> jax.Array:
        rate, batch_size = settings.view_dropout, settings.batch_size
        return drop_views(work.config, rate, key=key, batch_size=batch_size)

    received = (stack.frame, stack.blind)
    if settings.view_dropout:
        received += (jax.vmap(present)(keys),)

    def gradient(params: Any, batch: Batch) -> tuple[Any, Losses]:
        return jax.grad(lambda params: train.loss(work, params, batch), has_aux=True)(params)

    return {
        # Only the frame is asked for: what prepares its views is dropped by the compiler.
        "frames": _loop(lambda _, key: train.draw(work, key).frame, work.params, keys),
        "views": _loop(lambda _, drawn: to_batch(work.config, *drawn), work.params, received),
        "forward": _loop(work.apply, work.params, stack.inputs),
        "forward, losses, backward": _loop(gradient, work.params, stack),
        "optimizer": _optimizer(work, len(batches)),
    }


def _loop(function: Callable[[Any, Any], Any], params: Any, inputs: Any) -> Callable[[], object]:
    """A compiled call that adds up ``function(params, x)`` over the inputs' leading axis."""

    def run(params: Any, inputs: Any) -> Any:
        def add(total: Any, x: Any) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, function(params, x)), None

        shapes = jax.eval_shape(function, params, jax.tree.map(lambda x: x[0], inputs))
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        return jax.lax.scan(add, zeros, inputs)[0]

    program = jax.jit(run)
    return lambda: jax.block_until_ready(program(params, inputs))


def _optimizer(work: Work, n_steps: int) -> Callable[[], object]:
    settings = work.settings

    def update(training: Training, gradient: Any) -> Training:
        rate = learning_rate_at(training.step, settings.steps, settings.learning_rate)
        updates, optimizer = adam(rate).update(gradient, training.optimizer, training.params)
        params = optax.apply_updates(training.params, updates)
        return Training(params, optimizer, training.step + 1)

    run, state = jax.jit(update, donate_argnums=0), [train.new(work)]
    gradient = jax.tree.map(jnp.ones_like, work.params)

    def steps() -> None:
        for _ in range(n_steps):
            state[0] = run(state[0], gradient)
        jax.block_until_ready(state[0])

    return steps
