"""The training step of ``experiments.pretrain`` on its tasks."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from wfm_jax.evaluate.products import frame_products
from wfm_jax.model import Batch, ModelConfig, build, sample_batch
from wfm_jax.train.fit import Fit, Losses, Training, make_chunk, new_training
from wfm_jax.train.losses import task_losses
from wfm_jax.train.teacher import TeacherSettings, teacher_stream


class Work(NamedTuple):
    """A training at its start: model, settings, ``apply(params, inputs)`` and parameters."""

    config: ModelConfig
    settings: TeacherSettings
    apply: Callable[..., Any]
    params: Any

    @property
    def frames_per_step(self) -> int:
        return self.settings.batch_size * self.settings.accumulate

    @property
    def fit(self) -> Fit:
        settings = self.settings
        return Fit("", settings.steps, settings.learning_rate, settings.accumulate)


class Compiled(NamedTuple):
    """A compiled training.

    Attributes:
        call: runs the steps; their mean losses, when they are done.
        compile_s: seconds from the Python function to the program.
        state_bytes: parameters and optimizer state, updated in place.
        temporary_bytes: what the program allocates beside them.
    """

    call: Callable[[], Losses]
    compile_s: float
    state_bytes: int
    temporary_bytes: int


def begin(config: ModelConfig, settings: TeacherSettings) -> Work:
    """Builds the model as :func:`wfm_jax.train.teacher.train_teacher` does."""
    options = {"dtype": settings.compute, "remat": settings.remat}
    return Work(config, settings, *build(config, jax.random.key(settings.seed), **options))


def draw(work: Work, key: jax.Array) -> Batch:
    """The batch that a step draws from its key."""
    settings = work.settings
    return sample_batch(
        work.config,
        key=key,
        batch_size=settings.batch_size,
        blind_fraction=settings.blind_fraction,
        view_dropout=settings.view_dropout,
        carrier_offset_fraction=settings.carrier_offset_fraction,
    )


def loss(work: Work, params: Any, batch: Batch) -> tuple[jax.Array, Losses]:
    """The loss of a batch and its parts."""
    losses = task_losses(work.config, work.apply(params, batch.inputs), batch)
    return work.settings.weights.total(losses), losses


def drawn(work: Work, n_batches: int) -> list[Batch]:
    """Batches of the training's own stream, for those who are given their frames."""
    run, stream = jax.jit(lambda key: draw(work, key)), teacher_stream(work.settings)
    return [run(jax.random.fold_in(stream, step)) for step in range(n_batches)]


def drawing(work: Work, n_steps: int) -> Compiled:
    """``n_steps`` steps as pretraining runs them: one program, frames drawn inside."""

    def loss_of(params: Any, key: jax.Array) -> tuple[jax.Array, Losses]:
        return loss(work, params, draw(work, key))

    chunk = make_chunk(work.fit, loss_of, teacher_stream(work.settings))
    began, training = time.perf_counter(), new(work)
    program = chunk.lower(training, n_steps).compile()  # pyright: ignore[reportFunctionMemberAccess]
    compile_s, memory = time.perf_counter() - began, program.memory_analysis()
    state = [training]

    def call() -> Losses:
        state[0], losses = jax.block_until_ready(program(state[0]))
        return losses

    return Compiled(
        call,
        compile_s,
        getattr(memory, "argument_size_in_bytes", 0),
        getattr(memory, "temp_size_in_bytes", 0),
    )


def on_given(work: Work, batches: list[Batch]) -> Callable[[], Losses]:
    """A step on each of the given batches, as one program; their mean losses."""
    stream = teacher_stream(work.settings)

    def step(training: Training, batch: Batch) -> tuple[Training, Losses]:
        chunk = make_chunk(work.fit, lambda params, _: loss(work, params, batch), stream)
        return chunk(training, 1)

    def steps(training: Training, batches: Batch) -> tuple[Training, Losses]:
        training, losses = jax.lax.scan(step, training, batches)
        return training, jax.tree.map(jnp.mean, losses)

    program, given, state = jax.jit(steps, donate_argnums=0), stack(batches), [new(work)]

    def call() -> Losses:
        state[0], losses = jax.block_until_ready(program(state[0], given))
        return losses

    return call


def operations_per_step(work: Work) -> float:
    """Of the model's matrix products: forward, and two products backward for each of them."""
    macs = sum(p.macs for p in frame_products(work.config, work.apply, work.params))
    return 2.0 * 3.0 * macs * work.frames_per_step


def n_parameters(work: Work) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(work.params))


def stack(trees: list[Any]) -> Any:
    """A leading axis over the trees."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def new(work: Work) -> Training:
    """A training of its own copy of the parameters, which its steps may overwrite."""
    return new_training(jax.tree.map(jnp.copy, work.params))
