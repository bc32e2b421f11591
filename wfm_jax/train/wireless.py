"""The wireless foundation model as a problem: frames drawn in the step, the losses of its tasks."""

from typing import Any

import jax

from wfm_jax.model import (
    Batch,
    Inputs,
    ModelConfig,
    Outputs,
    activation_points,
    build,
    reading,
    sample_batch,
    smaller,
    start_reading,
    start_smaller,
)
from wfm_jax.model.couplings import couplings
from wfm_jax.train.losses import TaskWeights, distillation_losses, task_losses
from wfm_jax.train.model_files import Teacher
from wfm_jax.train.problem import Inside, Problem, Untold
from wfm_jax.train.unlabelled import Unlabelled, labelled_by, sample_unlabelled

PRUNABLE = "block_*/kernel"


def wireless(
    teacher: Teacher,
    *,
    batch_size: int = 64,
    weights: TaskWeights = TaskWeights(),
    unlabelled: Unlabelled | None = None,
    shown: ModelConfig | None = None,
) -> Problem:
    """A trained model with frames of its link. A step's labels are the whole :class:`Batch`.

    Args:
        teacher: the model; of its parameters shapes are enough for who trains nothing.
        batch_size: labelled frames a step.
        weights: of the tasks in both losses.
        unlabelled: frames on top of them that the teacher alone labels, so that the others are the
            same with and without them.
        shown: whose inputs are drawn; the model itself, or one that it learns from and that reads
            more views.
    """
    config, params, identity = teacher
    shown = shown or config
    how = {"batch_size": batch_size, "weights": weights, "unlabelled": unlabelled, "shown": shown}

    def batch(key: jax.Array) -> tuple[Inputs, Batch]:
        drawn = sample_batch(shown, key=key, batch_size=batch_size)
        return drawn.inputs, drawn

    def task_loss(outputs: Outputs, labels: Batch) -> jax.Array:
        return weights.total(task_losses(config, outputs, labels))

    def distillation_loss(
        outputs: Outputs, teacher: Outputs, labels: Batch, temperature: jax.Array
    ) -> jax.Array:
        return weights.total(distillation_losses(config, outputs, teacher, labels, temperature))

    def rebuilt(other: ModelConfig, params: Any) -> Problem:
        return wireless(Teacher(other, params, identity), **how)

    def halved() -> Problem:
        small = smaller(config)
        return rebuilt(small, start_smaller(config, small, params))

    def of_views(views: tuple[str, ...]) -> Problem:
        less = reading(config, views)
        return rebuilt(less, start_reading(less, params))

    return Problem(
        apply=build(config, jax.random.key(0))[0],
        params=params,
        batch=batch,
        task_loss=task_loss,
        distillation_loss=distillation_loss,
        prunable=PRUNABLE,
        fresh=lambda key: build(config, key)[1],
        smaller=halved,
        reading=of_views,
        untold=None if unlabelled is None else _untold(shown, unlabelled),
        inside=Inside(config, couplings(config), activation_points(config), rebuilt),
        hash=identity,
    )


def _untold(config: ModelConfig, unlabelled: Unlabelled) -> Untold:
    links, n_frames = unlabelled

    def draw(key: jax.Array) -> tuple[Inputs, Batch]:
        drawn = sample_unlabelled(config, links, key=key, batch_size=n_frames)
        return drawn.inputs, drawn

    def label(labels: Batch, teacher: Outputs) -> Batch:
        return labelled_by(config, labels, teacher)

    return Untold(draw, label)
