"""Stages of many configurations in one program: each takes the step that its pipeline asks for."""

import enum
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax import compress
from wfm_jax.sweep.compression import Choices, Settings, in_force, learned
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.prune_stage import prune
from wfm_jax.sweep.quantize_stage import quantize
from wfm_jax.train.hidden import HiddenWeights
from wfm_jax.train.student import Recipe, Student, start_stage


class Action(enum.IntEnum):
    """What one configuration does next."""

    REST = 0
    PRUNE = 1
    QUANTIZE = 2
    START_TRAINING = 3


def settings_of(configuration: Configuration, choices: Choices) -> Settings:
    """The numbers of a configuration's P and Q."""
    asked, own = configuration, dict(configuration.allocation)

    def index(name: Any, among: tuple[Any, ...]) -> np.int32:
        """Where a setting stands; anywhere where its grid does not read it."""
        return np.int32(among.index(name) if name in among else 0)

    bits = dict.fromkeys(choices.kernels, asked.weight_bits)
    bits |= dict.fromkeys(choices.tables, max(asked.weight_bits, asked.table_bits))
    return Settings(
        sparsity=np.float32(asked.sparsity),
        weight_bits=np.float32(asked.weight_bits),
        bits={path: np.float32(own.get(path, usual)) for path, usual in bits.items()},
        vector_bits=np.float32(asked.stored_vector_bits),
        score=index(asked.score, choices.scores),
        spread=index((asked.distribution, asked.structure), choices.spreads),
        grid=index(asked.grid, choices.grids),
        scale=index(asked.resolved_scale, choices.scales),
        rounding=index(asked.rounding, choices.roundings),
        score_latent=np.bool_(asked.score_on == "latent"),
        train_latent=np.bool_(asked.train_from == "latent"),
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
        hidden_weights=jax.tree.map(np.float32, configuration.hidden_weights),
    )


def resting_recipe() -> Recipe:
    """The recipe of a configuration that does not train now: no steps."""
    zero = np.float32(0.0)
    return Recipe(
        np.float32(1.0),
        zero,
        zero,
        np.int32(0),
        act_bits=np.float32(32),
        hidden_weights=HiddenWeights(zero, zero, zero),
    )


@functools.partial(jax.jit, static_argnames="choices")
def act(
    students: Student,
    settings: Settings,
    actions: jax.Array,
    stats: compress.Stats | None,
    *,
    choices: Choices,
) -> Student:
    """Takes each configuration's action in one compiled program.

    One configuration after the other, so that only the branch that is asked for runs.

    Args:
        students: stacked.
        settings: stacked, of P and Q.
        actions: int32[n] of :class:`Action`.
        stats: shared by all.
        choices: of the group.
    """

    def one(entry: tuple[Student, Settings, jax.Array]) -> Student:
        student, numbers, action = entry
        now = student.params, student.compression, numbers, choices, stats

        def pruned():
            return student._replace(compression=prune(*now))

        def quantized():
            params, state = quantize(*now)
            return student._replace(params=params, compression=state)

        def start():
            current = in_force(choices).apply(student.params, student.compression)
            params = jax.tree.map(
                lambda latent, now: jnp.where(numbers.train_latent, latent, now),
                student.params,
                current,
            )
            return start_stage(student._replace(params=params), learned=learned(choices))

        return jax.lax.switch(action, [lambda: student, pruned, quantized, start])

    return jax.lax.map(one, (students, settings, actions))
