"""The training step over configurations: many students, one batch and one teacher pass a step.

A student carries everything numerical about its configuration as arrays, so one program trains all
of them: masks, scales and bits in its compression state; temperature, alpha, learning rate and
steps in its recipe.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from wfm_jax.compress import Transform, blend
from wfm_jax.model import quantizing_dynamically
from wfm_jax.train.hidden import Hidden, Layers, hidden_losses, seeing
from wfm_jax.train.learned_scales import Learned
from wfm_jax.train.optimizer import adam, learning_rate_at
from wfm_jax.train.problem import Problem, n_examples
from wfm_jax.train.strategy import Strategy, over
from wfm_jax.train.student import (
    Recipe,
    Student,
    Trained,
    check_started,
    new_student,
    start_stage,
    trained,
)
from wfm_jax.train.unlabelled import UNLABELLED_STREAM

__all__ = [
    "Lesson",
    "Recipe",
    "Student",
    "Trainer",
    "answers",
    "new_student",
    "start_stage",
    "student_step",
]

Answer = TypeVar("Answer")


class Lesson(NamedTuple):
    """Examples, and what the teacher says of them; shared by all configurations.

    Attributes:
        inputs: what a model reads of them.
        labels: what the losses read of them.
        teacher: the teacher's answers.
        layers: what its matched layers gave; nothing where none are.
    """

    inputs: Any
    labels: Any
    teacher: Any
    layers: Layers = Layers()


def student_step(
    problem: Problem,
    transform: Transform,
    student: Student,
    recipe: Recipe,
    lesson: Lesson,
    *,
    quantize_activations: bool = False,
    unlabelled: Lesson | None = None,
    learned: Learned | None = None,
    hidden: Hidden | None = None,
) -> Student:
    """One optimizer step of one configuration.

    Args:
        problem: the student's forward pass and the losses (static).
        transform: the compression in force; its ``apply`` is differentiated straight through.
        student: the state.
        recipe: its scalars.
        lesson: shared by all configurations.
        quantize_activations: static; whether ``recipe.act_bits`` are in force.
        unlabelled: examples that the teacher labelled, and its answers. They have no task loss: as
            many as they are among all examples they weigh in the loss, by distillation alone, and
            nothing where alpha is zero.
        learned: what of the compression state is trained with the weights.
        hidden: which layers are matched; their losses, weighed by ``recipe.hidden_weights``, are
            added to the distillation's.

    Raises:
        ValueError: activations to quantize without ``recipe.act_bits``, layers to match without
            ``recipe.hidden_weights`` or of another student, or a student that was started for
            another ``learned`` or ``hidden``.
    """
    check_started(student, learned, hidden)
    forward = seeing(hidden, problem.apply, "student")
    if hidden is not None:
        if recipe.hidden_weights is None:
            raise ValueError("hidden needs hidden_weights in the recipe")
        if hidden.student != problem.config:
            raise ValueError("hidden is of another student")
    forward = in_use(problem, forward, recipe, quantize_activations=quantize_activations)

    def distilled(answer: tuple[Any, Layers], maps: Any, lesson: Lesson) -> jax.Array:
        outputs, layers = answer
        temperature = jnp.asarray(recipe.temperature)
        loss = problem.distillation_loss(outputs, lesson.teacher, lesson.labels, temperature)
        if hidden is None or recipe.hidden_weights is None:
            return loss
        within = hidden_losses(hidden, maps, layers, lesson.layers)
        return loss + recipe.hidden_weights.total(within)

    def compression(student: Student, values: Any) -> Any:
        state = student.compression
        return state if learned is None else learned.put(state, values)

    def loss_of(moved: Trained) -> jax.Array:
        params, values, maps = moved
        seen = transform.apply(params, compression(student, values))
        alpha = jnp.asarray(recipe.alpha)
        inputs = [lesson.inputs]
        inputs += [] if unlabelled is None else [unlabelled.inputs]
        answer, *of_rest = answers(forward, seen, inputs)
        task = problem.task_loss(answer[0], lesson.labels)
        loss = blend(alpha, distilled(answer, maps, lesson), task)
        if unlabelled is None:
            return loss
        n, n_rest = n_examples(lesson.inputs), n_examples(unlabelled.inputs)
        share = jnp.where(alpha > 0.0, n_rest / (n + n_rest), 0.0)
        return blend(share, distilled(of_rest[0], maps, unlabelled), loss)

    def advance(student: Student) -> Student:
        before = trained(student, learned)
        loss, grads = jax.value_and_grad(loss_of)(before)
        rate = learning_rate_at(student.step, recipe.total_steps, recipe.learning_rate)
        updates, optimizer = adam(rate).update(grads, student.optimizer, before)
        healthy = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(grads))
        after = cast(Trained, optax.apply_updates(before, updates))
        moved = student._replace(
            params=after.params,
            compression=compression(student, after.values),
            optimizer=optimizer,
            step=student.step + 1,
            loss=loss,
            maps=student.maps and student.maps._replace(layers=after.maps),
        )
        frozen = student._replace(diverged_at=student.step)
        return jax.tree.map(
            lambda new, old: old if new is old else jnp.where(healthy, new, old), moved, frozen
        )

    working = (student.step < recipe.total_steps) & (student.diverged_at < 0)
    return jax.lax.cond(working, advance, lambda student: student, student)


def in_use(
    problem: Problem,
    forward: Callable[..., Answer],
    recipe: Recipe,
    *,
    quantize_activations: bool,
) -> Callable[..., Answer]:
    """A forward pass with the recipe's ``act_bits`` in force, where activations are quantized.

    Args:
        config: the student's architecture.
        forward: its forward pass.
        recipe: the configuration's.
        quantize_activations: whether any configuration of the program asks for it; static.

    Raises:
        ValueError: activations to quantize without ``recipe.act_bits``, or of a model whose points
            are not known.
    """
    if not quantize_activations:
        return forward
    if recipe.act_bits is None:
        raise ValueError("quantize_activations needs act_bits in the recipe")
    if problem.inside is None:
        raise ValueError("quantize_activations needs a problem that knows its model's inside")
    at = quantizing_dynamically(problem.inside.points, recipe.act_bits)
    return functools.partial(forward, at=at)


def answers(
    apply: Callable[[Any, Any], Answer], params: Any, inputs: Sequence[Any]
) -> list[Answer]:
    """What is answered to each of several inputs, in one forward pass."""
    if len(inputs) == 1:
        return [apply(params, inputs[0])]
    answer = apply(params, jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *inputs))
    ends = np.cumsum([0] + [n_examples(each) for each in inputs])
    return [
        jax.tree.map(lambda x, part=slice(*reach): x[part], answer)
        for reach in itertools.pairwise(ends)
    ]


class Trainer(NamedTuple):
    """What a training program is made of, all static but the teacher's parameters.

    ``problem`` is the students'; ``teacher_apply`` may be of another size than theirs.
    ``quantize_activations`` puts the recipes' ``act_bits`` in force, in the students.
    ``learned`` is trained with their weights, ``hidden`` layers are matched with the recipes'
    ``hidden_weights``; students are started for both (:func:`new_student`, :func:`start_stage`).
    """

    problem: Problem
    transform: Transform
    teacher_apply: Callable[..., Any]
    strategy: Strategy = "map"
    quantize_activations: bool = False
    learned: Learned | None = None
    hidden: Hidden | None = None

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
                examples without labels from a fold of that.
            first_step: int32, t of the first step.
            n_steps: static length of the chunk.
        """

        def step(students: Student, t: jax.Array) -> tuple[Student, None]:
            lesson, unlabelled = self._lessons(teacher_params, jax.random.fold_in(key, t))

            def one(pair: tuple[Student, Recipe]) -> Student:
                return student_step(
                    self.problem,
                    self.transform,
                    *pair,
                    lesson,
                    quantize_activations=self.quantize_activations,
                    unlabelled=unlabelled,
                    learned=self.learned,
                    hidden=self.hidden,
                )

            return over(self.strategy, one, (students, recipes)), None

        steps = first_step + jnp.arange(n_steps, dtype=jnp.int32)
        return jax.lax.scan(step, students, steps)[0]

    def _lessons(self, teacher_params: Any, key: jax.Array) -> tuple[Lesson, Lesson | None]:
        """A step's batch with the teacher's answers, and the same of examples without labels."""
        problem, untold = self.problem, self.problem.untold
        see = seeing(self.hidden, self.teacher_apply, "teacher")
        inputs, labels = problem.batch(key)
        if untold is None:
            return Lesson(inputs, labels, *see(teacher_params, inputs)), None
        more, secret = untold.draw(jax.random.fold_in(key, UNLABELLED_STREAM))
        own, of_more = answers(see, teacher_params, [inputs, more])
        lesson = Lesson(inputs, labels, *own)
        return lesson, Lesson(more, untold.label(secret, of_more[0]), *of_more)
