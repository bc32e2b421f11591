"""Stages of many configurations in one program: each takes the step that its pipeline asks for."""

import enum
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax import compress
from wfm_jax.sweep import compression
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.train.distill import Recipe, Student, start_stage


class Action(enum.IntEnum):
    """What one configuration does next."""

    REST = 0
    PRUNE = 1
    QUANTIZE = 2
    START_TRAINING = 3


def settings_of(configuration: Configuration, choices: compression.Choices) -> compression.Settings:
    """The numbers of a configuration's P and Q."""
    spread = (configuration.distribution, configuration.structure)
    return compression.Settings(
        sparsity=np.float32(configuration.sparsity),
        weight_bits=np.float32(configuration.weight_bits),
        score=np.int32(choices.scores.index(configuration.score)),
        spread=np.int32(choices.spreads.index(spread)),
        scale=np.int32(choices.scales.index(configuration.resolved_scale)),
        rounding=np.int32(choices.roundings.index(configuration.rounding)),
        score_latent=np.bool_(configuration.score_on == "latent"),
        train_latent=np.bool_(configuration.train_from == "latent"),
    )


def recipe_of(configuration: Configuration, stage: int) -> Recipe:
    """The numbers of a configuration's training stage; ``FT`` is distillation of weight zero."""
    distils = configuration.stages[stage] == "KD"
    quantized = "Q" in configuration.stages[:stage]
    return Recipe(
        temperature=np.float32(configuration.temperature),
        alpha=np.float32(configuration.alpha if distils else 0.0),
        learning_rate=np.float32(configuration.learning_rate),
        total_steps=np.int32(configuration.stage_steps()[stage]),
        act_bits=np.float32(configuration.act_bits if quantized else 32),
    )


def resting_recipe() -> Recipe:
    """The recipe of a configuration that does not train now: no steps."""
    zero = np.float32(0.0)
    return Recipe(np.float32(1.0), zero, zero, np.int32(0), act_bits=np.float32(32))


@functools.partial(jax.jit, static_argnames="choices")
def act(
    students: Student,
    settings: compression.Settings,
    actions: jax.Array,
    stats: compress.Stats | None,
    *,
    choices: compression.Choices,
) -> Student:
    """Takes each configuration's action, int32[n] of :class:`Action`, in one compiled program.

    One configuration after the other, so that only the branch that is asked for runs. ``stats`` are
    shared by all.
    """

    def one(entry: tuple[Student, compression.Settings, jax.Array]) -> Student:
        student, numbers, action = entry
        now = student.params, student.compression, numbers, choices, stats

        def prune():
            return student._replace(compression=compression.prune(*now))

        def quantize():
            params, state = compression.quantize(*now)
            return student._replace(params=params, compression=state)

        def start():
            current = compression.TRANSFORM.apply(student.params, student.compression)
            params = jax.tree.map(
                lambda latent, now: jnp.where(numbers.train_latent, latent, now),
                student.params,
                current,
            )
            return start_stage(student._replace(params=params))

        return jax.lax.switch(action, [lambda: student, prune, quantize, start])

    return jax.lax.map(one, (students, settings, actions))


class Deployed(NamedTuple):
    """What a deployment holds of each configuration, stacked along the config axis.

    Attributes:
        params: the weights that its forward pass sees.
        keep, scale, bits: masks, scales and stored bits by path name.
        half: whether everything without bits is stored in float16.
        diverged_at: the step it diverged at, -1 if it did not.
    """

    params: Any
    keep: dict[str, Any]
    scale: dict[str, Any]
    bits: dict[str, Any]
    half: Any
    diverged_at: Any


@jax.jit
def deployed(students: Student) -> Deployed:
    """The students as they would be handed over."""
    state = students.compression
    return Deployed(
        params=jax.vmap(compression.TRANSFORM.apply)(students.params, state),
        keep=state.prune.keep,
        scale={**state.kernels.scale, **state.tables.scale},
        bits={**state.kernels.bits, **state.tables.bits},
        half=state.vectors.on,
        diverged_at=students.diverged_at,
    )
