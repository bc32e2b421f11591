"""A training on one device: steps in compiled chunks, a log, checkpoints, and stops in between."""

import dataclasses
import json
import math
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from wfm_jax.results import checkpoint
from wfm_jax.results.progress import Progress
from wfm_jax.train.interrupt import StopRequest
from wfm_jax.train.optimizer import adam, learning_rate_at

Losses = dict[str, jax.Array]
LossOf = Callable[[Any, jax.Array], tuple[jax.Array, Losses]]
"""``loss_of(params, key) -> (loss, its parts)``; draws its batch from the key."""


class Training(NamedTuple):
    """State of a training; ``step`` int32 counts optimizer steps."""

    params: Any
    optimizer: optax.OptState
    step: jax.Array


class TrainingDivergedError(ValueError):
    """The loss was not finite; the message says at which step."""


@dataclasses.dataclass(frozen=True)
class Fit:
    """How a training runs.

    Attributes:
        title: for the progress bar and the log.
        steps: optimizer steps.
        learning_rate: peak of the warm-up and cosine.
        accumulate: batches whose mean gradient makes one step.
        chunk_steps: steps between two looks from the host.
        save_every_s: seconds between checkpoints.
    """

    title: str
    steps: int
    learning_rate: float
    accumulate: int = 1
    chunk_steps: int = 100
    save_every_s: float = 60.0


def new_training(params: Any) -> Training:
    """A training at its start."""
    return Training(params, adam(0.0).init(params), jnp.zeros((), jnp.int32))


def fit(
    how: Fit,
    loss_of: LossOf,
    training: Training,
    stream: jax.Array,
    folder: pathlib.Path,
    *,
    identity: str,
    log: pathlib.Path,
    progress: Progress,
    stop: StopRequest,
) -> Training:
    """Trains to the end, or from the checkpoint in ``folder`` to the end.

    Args:
        how: steps, rates and pauses.
        loss_of: the loss.
        training: the start, if there is no checkpoint.
        stream: typed key of the data; step t draws from ``fold_in(stream, t)``.
        folder: of the checkpoint on the way; the finished state is saved there too.
        identity: of the training; a checkpoint of another is refused.
        log: a JSON line a chunk, appended.
        progress: where to tell of it.
        stop: asked between chunks; when it says so, the state is saved first.

    Raises:
        Stopped: ``stop`` asked for it.
        CheckpointError: the checkpoint is damaged or of another training.
        TrainingDivergedError: the loss was not finite.
    """
    if checkpoint.exists(folder):
        # As NumPy: arrays tied to a device would make another program of the same steps.
        like = jax.tree.map(np.asarray, training)
        good = checkpoint.last_good(folder)
        if good.damage:
            progress.say(f"{good.damage}: going on from the one before")
        training = checkpoint.restore(
            folder, like, config_hash=identity, generation=good.generation
        )
    done, saved = int(training.step), time.monotonic()
    chunk = make_chunk(how, loss_of, stream)
    progress.start(how.title, how.steps, done)
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", encoding="utf-8") as lines:
        while done < how.steps:
            n_steps = min(how.chunk_steps, how.steps - done)
            training, losses = chunk(training, n_steps)
            values = {name: round(float(value), 5) for name, value in losses.items()}
            done += n_steps
            lines.write(json.dumps({"training": how.title, "step": done, **values}) + "\n")
            lines.flush()
            if not all(map(math.isfinite, values.values())):
                raise TrainingDivergedError(
                    f"{how.title}: the loss was not finite before step {done}: lower the learning "
                    "rate"
                )
            progress.advance(n_steps, "  ".join(f"{k} {v:.3f}" for k, v in values.items()))
            due = time.monotonic() - saved > how.save_every_s
            if due or done == how.steps or stop.signum is not None:
                checkpoint.save(folder, training, config_hash=identity)
                saved = time.monotonic()
                stop.raise_if_asked()
    return training


def make_chunk(
    how: Fit, loss_of: LossOf, stream: jax.Array
) -> Callable[[Training, int], tuple[Training, Losses]]:
    """The compiled ``chunk(training, n_steps) -> (training, mean losses)``; donates its state."""

    def gradient(params: Any, key: jax.Array) -> tuple[Any, Losses]:
        return jax.grad(loss_of, has_aux=True)(params, key)

    def mean_gradient(params: Any, key: jax.Array) -> tuple[Any, Losses]:
        if how.accumulate == 1:
            return gradient(params, key)

        def add(total: Any, key: jax.Array) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, gradient(params, key)), None

        shapes = jax.eval_shape(gradient, params, key)
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        total, _ = jax.lax.scan(add, zeros, jax.random.split(key, how.accumulate))
        return jax.tree.map(lambda x: x / how.accumulate, total)

    def step(training: Training, _: None) -> tuple[Training, Losses]:
        key = jax.random.fold_in(stream, training.step)
        grads, losses = mean_gradient(training.params, key)
        rate = learning_rate_at(training.step, how.steps, how.learning_rate)
        updates, optimizer = adam(rate).update(grads, training.optimizer, training.params)
        params = optax.apply_updates(training.params, updates)
        return Training(params, optimizer, training.step + 1), losses

    def chunk(training: Training, n_steps: int) -> tuple[Training, Losses]:
        training, losses = jax.lax.scan(step, training, length=n_steps)
        return training, jax.tree.map(jnp.mean, losses)

    return jax.jit(chunk, static_argnums=1, donate_argnums=0)
