"""Stages of many configurations in one program: each takes the step that its pipeline asks for."""

import enum

import jax
import jax.numpy as jnp

from wfm_jax.sweep import compression
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.train.distill import Recipe, Student, start_stage


class Action(enum.IntEnum):
    """What one configuration does next."""

    REST = 0
    PRUNE = 1
    QUANTIZE = 2
    START_TRAINING = 3


def settings_of(configuration: Configuration) -> compression.Settings:
    """The numbers of a configuration's P and Q."""
    return compression.Settings(
        sparsity=jnp.float32(configuration.sparsity),
        weight_bits=jnp.float32(configuration.weight_bits),
        scale=jnp.int32(compression.SCALES.index(configuration.resolved_scale)),
        uniform=jnp.asarray(configuration.distribution == "uniform"),
        score_latent=jnp.asarray(configuration.score_on == "latent"),
        train_latent=jnp.asarray(configuration.train_from == "latent"),
    )


def recipe_of(configuration: Configuration, stage: int) -> Recipe:
    """The numbers of a configuration's training stage; ``FT`` is distillation of weight zero."""
    distils = configuration.stages[stage] == "KD"
    return Recipe(
        temperature=jnp.float32(configuration.temperature),
        alpha=jnp.float32(configuration.alpha if distils else 0.0),
        learning_rate=jnp.float32(configuration.learning_rate),
        total_steps=jnp.int32(configuration.stage_steps()[stage]),
    )


def resting_recipe() -> Recipe:
    """The recipe of a configuration that does not train now: no steps."""
    return Recipe(jnp.float32(1.0), jnp.float32(0.0), jnp.float32(0.0), jnp.int32(0))


@jax.jit
def act(students: Student, settings: compression.Settings, actions: jax.Array) -> Student:
    """Takes each configuration's action, int32[n] of :class:`Action`, in one compiled program.

    One configuration after the other, so that only the branch that is asked for runs.
    """

    def one(entry: tuple[Student, compression.Settings, jax.Array]) -> Student:
        student, numbers, action = entry

        def with_state(update):
            return lambda: student._replace(
                compression=update(student.params, student.compression, numbers)
            )

        def start():
            current = compression.TRANSFORM.apply(student.params, student.compression)
            params = jax.tree.map(
                lambda latent, now: jnp.where(numbers.train_latent, latent, now),
                student.params,
                current,
            )
            return start_stage(student._replace(params=params))

        branches = [
            lambda: student,
            with_state(compression.prune),
            with_state(compression.quantize),
            start,
        ]
        return jax.lax.switch(action, branches)

    return jax.lax.map(one, (students, settings, actions))


@jax.jit
def deployed(students: Student) -> dict:
    """The weights that a deployment of each configuration would hold, stacked."""
    return jax.vmap(compression.TRANSFORM.apply)(students.params, students.compression)
