"""How well students do on the way, on frames that are drawn for it: the task loss of each."""

import jax
import jax.numpy as jnp

from wfm_jax.model import sample_batch
from wfm_jax.train.distill import Trainer, in_use
from wfm_jax.train.losses import task_losses
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
        key: typed key of the frames, the same for all.
        n_batches: of the trainer's size.
    """

    def one_batch(total: jax.Array, i: jax.Array) -> tuple[jax.Array, None]:
        own = jax.random.fold_in(key, i)
        batch = sample_batch(trainer.config, key=own, batch_size=trainer.batch_size)

        def one(pair: tuple[Student, Recipe]) -> jax.Array:
            student, recipe = pair
            forward = in_use(
                trainer.config,
                trainer.apply,
                recipe,
                quantize_activations=trainer.quantize_activations,
            )
            params = trainer.transform.apply(student.params, student.compression)
            losses = task_losses(trainer.config, forward(params, batch.inputs), batch)
            return trainer.weights.total(losses)

        return total + over(trainer.strategy, one, (students, recipes)), None

    zero = jnp.zeros(students.step.shape, jnp.float32)
    total, _ = jax.lax.scan(one_batch, zero, jnp.arange(n_batches))
    return total / n_batches
