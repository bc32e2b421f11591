"""A configuration in training: how it trains, and what is carried from step to step."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from wfm_jax.train.hidden import Hidden, HiddenWeights, Maps, new_maps, restart_maps
from wfm_jax.train.learned_scales import Learned
from wfm_jax.train.optimizer import adam


class Recipe(NamedTuple):
    """How a configuration trains; float32 scalars, or stacked along a leading config axis.

    ``alpha`` weighs distillation: alpha * KD + (1 - alpha) * task. ``total_steps`` is the length
    of this training stage: a student that has done them stands still. ``act_bits`` are those of
    activations, on grids over the batch's own ranges; 16 and more leave them, and a trainer that
    quantizes none reads none. ``hidden_weights`` are those of hidden layers within KD; a trainer
    that matches none reads none.
    """

    temperature: ArrayLike
    alpha: ArrayLike
    learning_rate: ArrayLike
    total_steps: ArrayLike
    act_bits: ArrayLike | None = None
    hidden_weights: HiddenWeights | None = None


class Student(NamedTuple):
    """A configuration in training, or a stack of them.

    Attributes:
        params: latent weights, float32.
        compression: state of the compression transform (masks, scales, bits); not trained but for
            what a :class:`Learned` reads of it.
        optimizer: optax state, of :class:`Trained`.
        step: int32, steps done in this training stage.
        loss: float32, the last step's loss.
        diverged_at: int32, the step whose loss or gradient was not finite; -1 while healthy. A
            diverged student is frozen.
        maps: to the teacher's features, trained beside the student and left behind; ``()`` where
            none are matched.
    """

    params: Any
    compression: Any
    optimizer: Any
    step: jax.Array
    loss: jax.Array
    diverged_at: jax.Array
    maps: Maps | tuple[()] = ()


class Trained(NamedTuple):
    """All that one optimizer moves; empty tuples for what is not trained.

    Attributes:
        params: the latent weights.
        values: what is learned of the compression state.
        maps: the feature maps.
    """

    params: Any
    values: Any
    maps: Any


def trained(student: Student, learned: Learned | None = None) -> Trained:
    """What is trained of a student."""
    values = () if learned is None else learned.get(student.compression)
    return Trained(
        student.params, values, student.maps.layers if isinstance(student.maps, Maps) else ()
    )


def start_stage(student: Student, *, learned: Learned | None = None) -> Student:
    """A student at the start of a training stage: fresh optimizer and feature maps, no steps done.

    Maps belong to no deployment, so no stage hands them to the next: they start where they started
    when the student was new.

    Args:
        student: as the stage before left it.
        learned: that of the trainer.
    """
    maps = restart_maps(student.maps) if isinstance(student.maps, Maps) else ()
    student = student._replace(maps=maps, step=jnp.zeros((), jnp.int32))
    return student._replace(optimizer=adam(0.0).init(trained(student, learned)))


def new_student(
    params: Any,
    compression: Any,
    *,
    learned: Learned | None = None,
    hidden: Hidden | None = None,
    key: jax.Array | None = None,
) -> Student:
    """A student that has not been trained.

    Args:
        params: latent weights.
        compression: state of the compression transform.
        learned: that of the trainer.
        hidden: that of the trainer.
        key: typed key of the student's own, which feature maps start from.

    Raises:
        ValueError: features to match without a key.
    """
    maps = ()
    if hidden is not None and "features" in hidden.parts:
        if key is None:
            raise ValueError("features to match need a key: their maps start from it")
        maps = new_maps(hidden, key)
    student = Student(
        params=params,
        compression=compression,
        optimizer=(),
        step=jnp.zeros((), jnp.int32),
        loss=jnp.zeros((), jnp.float32),
        diverged_at=jnp.full((), -1, jnp.int32),
        maps=maps,
    )
    return student._replace(optimizer=adam(0.0).init(trained(student, learned)))


def check_started(student: Student, learned: Learned | None, hidden: Hidden | None) -> None:
    """Raises ValueError for a student that was started for another ``learned`` or ``hidden``."""
    own = trained(student, learned)
    wanted = jax.tree.structure(jax.eval_shape(adam(0.0).init, own))
    lacks = hidden is not None and "features" in hidden.parts and not own.maps
    if lacks or jax.tree.structure(student.optimizer) != wanted:
        raise ValueError(
            "the student was started for another training: give new_student and start_stage the "
            "trainer's learned and hidden"
        )
