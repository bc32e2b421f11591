"""A cohort: configurations that go through their pipelines side by side, stacked on one axis.

Configurations need not be at the same point of their pipelines to train together: all take their
non-training stages up to the next training stage, everybody who waits to train is trained as one
program, and so on (a round). The stack is padded to a fixed width, so that the program is the same
however many configurations there are.
"""

import functools
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax import compress
from wfm_jax.sweep import stages
from wfm_jax.sweep.compression import Choices, Settings, in_force, learned
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.pipeline import TRAINING_STAGES
from wfm_jax.sweep.stages import Action
from wfm_jax.train.student import Recipe, Student, new_student

MAPS_STREAM = 0x3A95


class Cohort(NamedTuple):
    """Configurations on their way; every array has a leading axis of the cohort's width.

    Attributes:
        configurations: the real ones; what is stacked behind them is padding.
        students: their states.
        settings: numbers of P and Q.
        position: index of the stage each configuration does next; its length when finished.
        choices: what the settings index, static.
        stats: of data, shared by all; None where nobody wants them.
    """

    configurations: tuple[Configuration, ...]
    students: Student
    settings: Settings
    position: tuple[int, ...]
    choices: Choices
    stats: compress.Stats | None

    @property
    def width(self) -> int:
        return self.students.step.shape[0]

    @property
    def finished(self) -> bool:
        return all(
            at == len(c.stages) for at, c in zip(self.position, self.configurations, strict=True)
        )


def gather(
    configurations: Sequence[Configuration],
    width: int,
    initial: Callable[[Configuration], Any],
    choices: Choices,
    stats: compress.Stats | None = None,
) -> Cohort:
    """A cohort before its first stage.

    Args:
        configurations: at most ``width`` of them, of one static group.
        width: of the stacked axis.
        initial: parameters that a configuration starts from, all of the same shapes.
        choices: what the configurations' group asks for.
        stats: of data, where ``choices`` need them.
    """
    if not 0 < len(configurations) <= width:
        raise ValueError(f"a cohort of width {width} cannot hold {len(configurations)}")

    padded = [*configurations, *[configurations[0]] * (width - len(configurations))]
    names = [_name(c) for c in padded]
    return Cohort(
        configurations=tuple(configurations),
        students=_newborn(
            jax.tree.map(lambda *leaves: jnp.stack(leaves), *[initial(c) for c in padded]),
            np.asarray([c.seed for c in padded], np.uint32),
            np.asarray(names, np.uint32),
            choices=choices,
        ),
        settings=_stack([stages.settings_of(c, choices) for c in padded]),
        position=(0,) * len(configurations),
        choices=choices,
        stats=stats,
    )


def birth_key(configuration: Configuration) -> jax.Array:
    """Where all randomness of a configuration's own comes from."""
    return jax.random.fold_in(jax.random.key(configuration.seed), _name(configuration))


def _name(configuration: Configuration) -> int:
    return zlib.crc32(configuration.config_id.encode())


@functools.partial(jax.jit, static_argnames="choices")
def _newborn(params: Any, seeds: jax.Array, names: jax.Array, *, choices: Choices) -> Student:
    """Students before their first stage; each has a key of its seed and its name."""

    def one(params: Any, seed: jax.Array, name: jax.Array) -> Student:
        key = jax.random.fold_in(jax.random.key(seed), name)
        return new_student(
            params,
            in_force(choices).init(params, key=key),
            learned=learned(choices),
            hidden=choices.hidden,
            key=jax.random.fold_in(key, MAPS_STREAM),
        )

    return jax.vmap(one)(params, seeds, names)


def prepare_round(cohort: Cohort) -> Cohort:
    """Runs every configuration's stages up to its next training stage, and starts that one."""
    while True:
        actions = [
            _action(c, at) for c, at in zip(cohort.configurations, cohort.position, strict=True)
        ]
        waiting = [a == Action.START_TRAINING for a in actions]
        moves = [a if a in (Action.PRUNE, Action.QUANTIZE) else Action.REST for a in actions]
        if not any(moves):
            starts = [Action.START_TRAINING if w else Action.REST for w in waiting]
            return _take(cohort, starts) if any(starts) else cohort
        cohort = _take(cohort, moves)
        cohort = cohort._replace(
            position=tuple(
                at + (move != Action.REST) for at, move in zip(cohort.position, moves, strict=True)
            )
        )


def recipes(cohort: Cohort) -> Recipe:
    """What each configuration does in this round's training; resting for those that finished."""
    own = [
        stages.recipe_of(c, at) if at < len(c.stages) else stages.resting_recipe()
        for c, at in zip(cohort.configurations, cohort.position, strict=True)
    ]
    padding = [stages.resting_recipe()] * (cohort.width - len(own))
    return _stack([*own, *padding])


def round_steps(cohort: Cohort) -> int:
    """Steps of the longest training stage of this round."""
    return max(
        (
            c.stage_steps()[at]
            for c, at in zip(cohort.configurations, cohort.position, strict=True)
            if at < len(c.stages)
        ),
        default=0,
    )


def finish_round(cohort: Cohort) -> Cohort:
    """Moves everybody who trained past that stage."""
    return cohort._replace(
        position=tuple(
            min(at + 1, len(c.stages))
            for c, at in zip(cohort.configurations, cohort.position, strict=True)
        )
    )


def _action(configuration: Configuration, at: int) -> Action:
    if at == len(configuration.stages):
        return Action.REST
    stage = configuration.stages[at]
    if stage in TRAINING_STAGES:
        return Action.START_TRAINING
    return {"P": Action.PRUNE, "Q": Action.QUANTIZE}[stage]


def _take(cohort: Cohort, actions: Sequence[Action]) -> Cohort:
    padded = [*actions, *[Action.REST] * (cohort.width - len(actions))]
    codes = jnp.asarray([int(a) for a in padded], jnp.int32)
    now = zip(cohort.configurations, cohort.position, strict=True)
    sparsity = [c.sparsity_at(at) for c, at in now] + [0.0] * (cohort.width - len(actions))
    settings = cohort.settings._replace(sparsity=jnp.asarray(sparsity, jnp.float32))
    students = stages.act(cohort.students, settings, codes, cohort.stats, choices=cohort.choices)
    return cohort._replace(students=students)


def _stack(trees: Sequence[Any]) -> Any:
    """Stacks trees of NumPy scalars."""
    return jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *trees)
