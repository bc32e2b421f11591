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
from wfm_jax.sweep.devices import Devices, on_host
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
        diverged_at: the optimizer step that each diverged at, all its stages counted; -1 while
            healthy. Known at the end of a round.
        choices: what the settings index, static.
        stats: of data, shared by all; None where nobody wants them.
        devices: that the arrays are spread over.
    """

    configurations: tuple[Configuration, ...]
    students: Student
    settings: Settings
    position: tuple[int, ...]
    diverged_at: tuple[int, ...]
    choices: Choices
    stats: compress.Stats | None
    devices: Devices

    @property
    def width(self) -> int:
        """Configurations side by side, padding included."""
        return self.students.step.shape[0]

    @property
    def finished(self) -> bool:
        """Whether all of them are behind their last stage."""
        return all(
            at == len(c.stages) for at, c in zip(self.position, self.configurations, strict=True)
        )


def gather(
    configurations: Sequence[Configuration],
    width: int,
    initial: Callable[[Configuration], Any],
    choices: Choices,
    stats: compress.Stats | None = None,
    devices: Devices | None = None,
) -> Cohort:
    """A cohort before its first stage.

    Args:
        configurations: at most ``width`` of them, of one static group.
        width: of the stacked axis, a multiple of the devices.
        initial: parameters that a configuration starts from, all of the same shapes.
        choices: what the configurations' group asks for.
        stats: of data, where ``choices`` need them.
        devices: to spread the configurations over; the first one if None.

    Raises:
        ValueError: more configurations than ``width``.
    """
    if not 0 < len(configurations) <= width:
        raise ValueError(f"a cohort of width {width} cannot hold {len(configurations)}")

    devices = devices or Devices.take(1)
    padded = [*configurations, *[configurations[0]] * (width - len(configurations))]
    seeds = np.asarray([c.seed for c in padded], np.uint32)
    names = np.asarray([_name(c) for c in padded], np.uint32)
    return Cohort(
        configurations=tuple(configurations),
        students=newborn([initial(c) for c in padded], names, choices, devices, seeds=seeds),
        settings=devices.spread(_stack([stages.settings_of(c, choices) for c in padded])),
        position=(0,) * len(configurations),
        diverged_at=(-1,) * len(configurations),
        choices=choices,
        stats=None if stats is None else devices.copied(stats),
        devices=devices,
    )


def newborn(
    starts: Sequence[Any],
    names: np.ndarray,
    choices: Choices,
    devices: Devices,
    *,
    seeds: np.ndarray | None = None,
) -> Student:
    """Students before their first stage, stacked.

    Args:
        starts: parameters of each.
        names: a number of each, uint32[n]; with its seed it makes its key.
        choices: of their group.
        devices: to spread them over.
        seeds: of each, uint32[n]; zeros if None.
    """
    params = jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *starts)
    seeds = np.zeros(len(starts), np.uint32) if seeds is None else seeds
    spread = devices.spread((params, seeds, names.astype(np.uint32)))
    return _newborn(*spread, choices=choices, devices=devices)


def blueprint(
    params: Any, width: int, choices: Choices, devices: Devices
) -> tuple[Student, Recipe]:
    """Shapes of a cohort's students and recipes, and how they are spread, without the arrays.

    Args:
        params: what one of them starts from, or its shapes.
        width: of the cohort.
        choices: of the group.
        devices: that it is spread over.
    """

    def stacked(x: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((width, *np.shape(x)), x.dtype)

    numbers = (jax.ShapeDtypeStruct((width,), np.uint32),) * 2
    newborn = functools.partial(_newborn, choices=choices, devices=devices)
    students = jax.eval_shape(newborn, jax.tree.map(stacked, params), *numbers)
    return devices.spread_shapes((students, jax.tree.map(stacked, stages.resting_recipe())))


def stored(cohort: Cohort) -> Student:
    """The students as a checkpoint holds them: on the host, without padding, so that they can go
    on in a cohort of another width, on other devices."""
    return jax.tree.map(lambda leaf: leaf[: len(cohort.configurations)], on_host(cohort.students))


def resume(cohort: Cohort, students: Student) -> Cohort:
    """A cohort with students that were :func:`stored`."""

    def put(old: Any, new: Any) -> Any:
        if jnp.issubdtype(old.dtype, jax.dtypes.prng_key):
            words = put(np.asarray(jax.random.key_data(old)), np.asarray(jax.random.key_data(new)))
            return jax.random.wrap_key_data(words)
        return np.concatenate([new, old[len(new) :]])

    whole = jax.tree.map(put, on_host(cohort.students), students)
    return cohort._replace(students=cohort.devices.spread(whole))


def restack(cohort: Cohort, stay: Sequence[bool], width: int) -> Cohort:
    """Those that stay, in a cohort of another width; padding is copies of the first of them.

    Args:
        cohort: configurations on their way.
        stay: which of them.
        width: at least as many as stay.
    """
    kept = [i for i, stays in enumerate(stay) if stays]
    rows = np.asarray([*kept, *[kept[0]] * (width - len(kept))])

    def take(x: Any) -> Any:
        return x[rows]

    students, settings = jax.tree.map(take, on_host((cohort.students, cohort.settings)))
    return cohort._replace(
        configurations=tuple(cohort.configurations[i] for i in kept),
        position=tuple(cohort.position[i] for i in kept),
        diverged_at=tuple(cohort.diverged_at[i] for i in kept),
        students=cohort.devices.spread(students),
        settings=cohort.devices.spread(settings),
    )


def birth_key(configuration: Configuration) -> jax.Array:
    """Where all randomness of a configuration's own comes from."""
    return jax.random.fold_in(jax.random.key(configuration.seed), _name(configuration))


def _name(configuration: Configuration) -> int:
    return zlib.crc32(configuration.config_id.encode())


@functools.partial(jax.jit, static_argnames=("choices", "devices"))
def _newborn(
    params: Any, seeds: jax.Array, names: jax.Array, *, choices: Choices, devices: Devices
) -> Student:
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

    return devices.each(jax.vmap(one), 3)(params, seeds, names)


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
    return cohort.devices.spread(_stack([*own, *padding]))


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
    """Moves everybody who trained past that stage, and notes who diverged in it."""
    steps = on_host(cohort.students.diverged_at)
    now = zip(cohort.configurations, cohort.position, cohort.diverged_at, strict=True)
    return cohort._replace(
        diverged_at=tuple(
            known if known >= 0 or at < 0 else c.done_steps(stage, int(at))
            for (c, stage, known), at in zip(now, steps, strict=False)
        ),
        position=tuple(
            min(at + 1, len(c.stages))
            for c, at in zip(cohort.configurations, cohort.position, strict=True)
        ),
    )


def training(cohort: Cohort) -> int:
    """How many train in this round."""
    now = zip(cohort.configurations, cohort.position, strict=True)
    return sum(c.stage_steps()[at] > 0 for c, at in now if at < len(c.stages))


def _action(configuration: Configuration, at: int) -> Action:
    if at == len(configuration.stages):
        return Action.REST
    stage = configuration.stages[at]
    if stage in TRAINING_STAGES:
        return Action.START_TRAINING
    return {"P": Action.PRUNE, "Q": Action.QUANTIZE}[stage]


def _take(cohort: Cohort, actions: Sequence[Action]) -> Cohort:
    padding = cohort.width - len(actions)
    codes = np.asarray([*actions, *[Action.REST] * padding], np.int32)
    now = zip(cohort.configurations, cohort.position, strict=True)
    sparsity = np.asarray([c.sparsity_at(at) for c, at in now] + [0.0] * padding, np.float32)
    settings = cohort.settings._replace(sparsity=cohort.devices.spread(sparsity))
    students = _act(
        cohort.students,
        settings,
        cohort.devices.spread(codes),
        cohort.stats,
        choices=cohort.choices,
        devices=cohort.devices,
    )
    return cohort._replace(students=students)


@functools.partial(jax.jit, static_argnames=("choices", "devices"))
def _act(
    students: Student,
    settings: Settings,
    actions: jax.Array,
    stats: compress.Stats | None,
    *,
    choices: Choices,
    devices: Devices,
) -> Student:
    act = functools.partial(stages.act, choices=choices)
    return devices.each(act, 3)(students, settings, actions, stats)


def _stack(trees: Sequence[Any]) -> Any:
    """Stacks trees of NumPy scalars."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)
