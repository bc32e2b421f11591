"""The training step over configurations: many students, one batch and one teacher pass a step.

A student carries everything numerical about its configuration as arrays, so one program trains all
of them: masks, scales and bits in its compression state; temperature, alpha, learning rate and
steps in its recipe.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from wfm_jax.compress import Transform, blend
from wfm_jax.model import (
    Batch,
    Forward,
    Inputs,
    ModelConfig,
    Outputs,
    activation_points,
    quantizing_dynamically,
    sample_batch,
)
from wfm_jax.train.losses import TaskWeights, distillation_losses, task_losses
from wfm_jax.train.optimizer import adam, learning_rate_at
from wfm_jax.train.unlabelled import (
    UNLABELLED_STREAM,
    Unlabelled,
    labelled_by,
    sample_unlabelled,
)

Strategy = Literal["map", "vmap"]


class Recipe(NamedTuple):
    """How a configuration trains; float32 scalars, or stacked along a leading config axis.

    ``alpha`` weighs distillation: alpha * KD + (1 - alpha) * task. ``total_steps`` is the length
    of this training stage: a student that has done them stands still. ``act_bits`` are those of
    activations, on grids over the batch's own ranges; 16 and more leave them, and a trainer that
    quantizes none reads none.
    """

    temperature: ArrayLike
    alpha: ArrayLike
    learning_rate: ArrayLike
    total_steps: ArrayLike
    act_bits: ArrayLike | None = None


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
    apply: Forward,
    transform: Transform,
    weights: TaskWeights,
    student: Student,
    recipe: Recipe,
    batch: Batch,
    teacher: Outputs,
    *,
    quantize_activations: bool = False,
    unlabelled: tuple[Batch, Outputs] | None = None,
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
        quantize_activations: static; whether ``recipe.act_bits`` are in force.
        unlabelled: frames that :func:`labelled_by` the teacher, and its answers. They have no task
            loss: as many as they are among all frames they weigh in the loss, by distillation
            alone, and nothing where alpha is zero.

    Raises:
        ValueError: activations to quantize without ``recipe.act_bits``.
    """
    forward = apply
    if quantize_activations:
        if recipe.act_bits is None:
            raise ValueError("quantize_activations needs act_bits in the recipe")
        at = quantizing_dynamically(activation_points(config), recipe.act_bits)
        forward = functools.partial(apply, at=at)

    def distilled(outputs: Outputs, teacher: Outputs, batch: Batch) -> jax.Array:
        temperature = jnp.asarray(recipe.temperature)
        return weights.total(distillation_losses(config, outputs, teacher, batch, temperature))

    def loss_of(params: Any) -> jax.Array:
        seen = transform.apply(params, student.compression)
        alpha = jnp.asarray(recipe.alpha)
        inputs = [batch.inputs] + ([] if unlabelled is None else [unlabelled[0].inputs])
        outputs, *of_rest = answers(forward, seen, inputs)
        task = weights.total(task_losses(config, outputs, batch))
        loss = blend(alpha, distilled(outputs, teacher, batch), task)
        if unlabelled is None:
            return loss
        rest, teacher_of_rest = unlabelled
        n_frames, n_rest = batch.n0.shape[0], rest.n0.shape[0]
        share = jnp.where(alpha > 0.0, n_rest / (n_frames + n_rest), 0.0)
        return blend(share, distilled(of_rest[0], teacher_of_rest, rest), loss)

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


def answers(
    apply: Callable[[Any, Inputs], Outputs], params: Any, inputs: Sequence[Inputs]
) -> list[Outputs]:
    """Outputs for each of several inputs, in one forward pass."""
    if len(inputs) == 1:
        return [apply(params, inputs[0])]
    outputs = apply(params, jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *inputs))
    ends = np.cumsum([0] + [each.modulation.shape[0] for each in inputs])
    return [
        jax.tree.map(lambda x, part=slice(*reach): x[part], outputs)
        for reach in itertools.pairwise(ends)
    ]


class Trainer(NamedTuple):
    """What a training program is made of, all static but the teacher's parameters.

    ``teacher_apply`` may be of another size than the student's. ``batch_size`` counts labelled
    frames; ``unlabelled`` ones come on top, so that the others are the same with and without them.
    ``quantize_activations`` puts the recipes' ``act_bits`` in force, in the students.
    """

    config: ModelConfig
    apply: Forward
    transform: Transform
    teacher_apply: Callable[[Any, Any], Outputs]
    weights: TaskWeights = TaskWeights()
    batch_size: int = 64
    strategy: Strategy = "map"
    quantize_activations: bool = False
    unlabelled: Unlabelled | None = None

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
            key: typed key of the data stream; step t draws its batch from ``fold_in(key, t)``, and
                frames without labels from a fold of that.
            first_step: int32, t of the first step.
            n_steps: static length of the chunk.
        """

        def step(students: Student, t: jax.Array) -> tuple[Student, None]:
            batch, teacher, unlabelled = self._lesson(teacher_params, jax.random.fold_in(key, t))

            def one(pair: tuple[Student, Recipe]) -> Student:
                return student_step(
                    self.config,
                    self.apply,
                    self.transform,
                    self.weights,
                    *pair,
                    batch,
                    teacher,
                    quantize_activations=self.quantize_activations,
                    unlabelled=unlabelled,
                )

            over = jax.lax.map if self.strategy == "map" else lambda f, xs: jax.vmap(f)(xs)
            return over(one, (students, recipes)), None

        steps = first_step + jnp.arange(n_steps, dtype=jnp.int32)
        return jax.lax.scan(step, students, steps)[0]

    def _lesson(
        self, teacher_params: Any, key: jax.Array
    ) -> tuple[Batch, Outputs, tuple[Batch, Outputs] | None]:
        """A step's batch with the teacher's answers, and the same of frames without labels."""
        config = self.config
        batch = sample_batch(config, key=key, batch_size=self.batch_size)
        if self.unlabelled is None:
            return batch, self.teacher_apply(teacher_params, batch.inputs), None
        links, n_frames = self.unlabelled
        key = jax.random.fold_in(key, UNLABELLED_STREAM)
        rest = sample_unlabelled(config, links, key=key, batch_size=n_frames)
        both = answers(self.teacher_apply, teacher_params, [batch.inputs, rest.inputs])
        return batch, both[0], (labelled_by(config, rest, both[1]), both[1])
