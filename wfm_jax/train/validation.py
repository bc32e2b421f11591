"""How well students do on the way, on examples drawn for it: the task loss of each."""

import jax
import jax.numpy as jnp

from wfm_jax.train.distill import Trainer, in_use
from wfm_jax.train.strategy import over
from wfm_jax.train.student import Recipe, Student


def validation_losses(
    trainer: Trainer, students: Student, recipes: Recipe, key: jax.Array, *, n_batches: int
) -> jax.Array:
    """Mean task loss of each student as it is compressed now, float32[n].

    Args:
        trainer: what the students are trained by.
        students: stacked along a leading config axis.
        recipes: stacked likewise; of these the bits of activations are in force.
        key: typed key of the examples, the same for all.
        n_batches: of the trainer's size.
    """

    def one_batch(total: jax.Array, i: jax.Array) -> tuple[jax.Array, None]:
        inputs, labels = trainer.problem.batch(jax.random.fold_in(key, i))

        def one(pair: tuple[Student, Recipe]) -> jax.Array:
            student, recipe = pair
            forward = in_use(
                trainer.problem,
                trainer.problem.apply,
                recipe,
                quantize_activations=trainer.quantize_activations,
            )
            params = trainer.transform.apply(student.params, student.compression)
            return trainer.problem.task_loss(forward(params, inputs), labels)

        return total + over(trainer.strategy, one, (students, recipes)), None

    zero = jnp.zeros(students.step.shape, jnp.float32)
    total, _ = jax.lax.scan(one_batch, zero, jnp.arange(n_batches))
    return total / n_batches
