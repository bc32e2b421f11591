"""The training step over configurations: many students, one batch and one teacher pass a step.

A student carries everything numerical about its configuration as arrays, so one program trains all
of them: masks, scales and bits in its compression state; temperature, alpha, learning rate and
steps in its recipe.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from wfm_jax.compress import Transform, blend
from wfm_jax.model import Batch, ModelConfig, Outputs, sample_batch
from wfm_jax.train.losses import TaskWeights, distillation_losses, task_losses
from wfm_jax.train.optimizer import adam, learning_rate_at

Strategy = Literal["map", "vmap"]


class Recipe(NamedTuple):
    """How a configuration trains; float32 scalars, or stacked along a leading config axis.

    ``alpha`` weighs distillation: alpha * KD + (1 - alpha) * task. ``total_steps`` is the length
    of this training stage: a student that has done them stands still.
    """

    temperature: ArrayLike
    alpha: ArrayLike
    learning_rate: ArrayLike
    total_steps: ArrayLike


class Student(NamedTuple):
    """A configuration in training, or a stack of them.

    Attributes:
        params: latent weights, float32.
        compression: state of the compression transform (masks, scales, bits); not trained.
        optimizer: optax state.
        step: int32, steps done in this training stage.
        loss: float32, the last step's loss.
        diverged_at: int32, the step whose loss or gradient was not finite; -1 while healthy. A
            diverged student is frozen.
    """

    params: Any
    compression: Any
    optimizer: Any
    step: jax.Array
    loss: jax.Array
    diverged_at: jax.Array


def start_stage(student: Student) -> Student:
    """A student at the start of a training stage: fresh optimizer, no steps done."""
    fresh = adam(0.0).init(student.params)
    return student._replace(optimizer=fresh, step=jnp.zeros((), jnp.int32))


def new_student(params: Any, compression: Any) -> Student:
    """A student that has not been trained."""
    return Student(
        params=params,
        compression=compression,
        optimizer=adam(0.0).init(params),
        step=jnp.zeros((), jnp.int32),
        loss=jnp.zeros((), jnp.float32),
        diverged_at=jnp.full((), -1, jnp.int32),
    )


def student_step(
    config: ModelConfig,
    apply: Callable[[Any, Any], Outputs],
    transform: Transform,
    weights: TaskWeights,
    student: Student,
    recipe: Recipe,
    batch: Batch,
    teacher: Outputs,
) -> Student:
    """One optimizer step of one configuration.

    Args:
        config: the student's architecture (static).
        apply: its forward pass.
        transform: the compression in force; its ``apply`` is differentiated straight through.
        weights: task weights of the loss.
        student: the state.
        recipe: its scalars.
        batch: shared by all configurations.
        teacher: the teacher's answers to ``batch``, shared too.
    """

    def loss_of(params: Any) -> jax.Array:
        outputs = apply(transform.apply(params, student.compression), batch.inputs)
        task = weights.total(task_losses(config, outputs, batch))
        distilled = weights.total(
            distillation_losses(config, outputs, teacher, batch, jnp.asarray(recipe.temperature))
        )
        return blend(jnp.asarray(recipe.alpha), distilled, task)

    def advance(student: Student) -> Student:
        loss, grads = jax.value_and_grad(loss_of)(student.params)
        rate = learning_rate_at(student.step, recipe.total_steps, recipe.learning_rate)
        updates, optimizer = adam(rate).update(grads, student.optimizer, student.params)
        healthy = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(grads))
        moved = (
            optax.apply_updates(student.params, updates),
            optimizer,
            student.step + 1,
            loss,
            student.diverged_at,
        )
        frozen = (
            student.params,
            student.optimizer,
            student.step,
            student.loss,
            student.step,
        )
        chosen = jax.tree.map(lambda new, old: jnp.where(healthy, new, old), moved, frozen)
        return Student(chosen[0], student.compression, *chosen[1:])

    working = (student.step < recipe.total_steps) & (student.diverged_at < 0)
    return jax.lax.cond(working, advance, lambda student: student, student)


class Trainer(NamedTuple):
    """What a training program is made of, all static but the teacher's parameters.

    ``teacher_config`` and ``teacher_apply`` may be of another size than the student's.
    """

    config: ModelConfig
    apply: Callable[[Any, Any], Outputs]
    transform: Transform
    teacher_apply: Callable[[Any, Any], Outputs]
    weights: TaskWeights = TaskWeights()
    batch_size: int = 64
    strategy: Strategy = "map"

    def chunk(
        self,
        students: Student,
        recipes: Recipe,
        teacher_params: Any,
        key: jax.Array,
        first_step: jax.Array,
        *,
        n_steps: int,
    ) -> Student:
        """``n_steps`` steps of all students.

        Args:
            students: stacked along a leading config axis.
            recipes: stacked likewise.
            teacher_params: the teacher's parameters.
            key: typed key of the data stream; step t draws its batch from ``fold_in(key, t)``.
            first_step: int32, t of the first step.
            n_steps: static length of the chunk.
        """

        def step(students: Student, t: jax.Array) -> tuple[Student, None]:
            batch = sample_batch(
                self.config, key=jax.random.fold_in(key, t), batch_size=self.batch_size
            )
            teacher = self.teacher_apply(teacher_params, batch.inputs)

            def one(pair: tuple[Student, Recipe]) -> Student:
                return student_step(
                    self.config, self.apply, self.transform, self.weights, *pair, batch, teacher
                )

            over = jax.lax.map if self.strategy == "map" else lambda f, xs: jax.vmap(f)(xs)
            return over(one, (students, recipes)), None

        steps = first_step + jnp.arange(n_steps, dtype=jnp.int32)
        return jax.lax.scan(step, students, steps)[0]
