"""Training a teacher: masked modelling across the views, then all tasks at once."""

import dataclasses
import os
import pathlib
from typing import Any, Literal

import jax

from wfm_jax.model import ModelConfig, build, sample_batch, to_dict
from wfm_jax.model.reconstruction import build_masked
from wfm_jax.results import checkpoint
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.results.rows import config_id
from wfm_jax.train.fit import Fit, Losses, LossOf, fit, new_training
from wfm_jax.train.interrupt import StopRequest
from wfm_jax.train.losses import TaskWeights, task_losses
from wfm_jax.train.masked import masked_loss
from wfm_jax.train.model_files import Teacher, load_teacher, save_teacher

TEACHER_STREAM, MASKED_STREAM = 0x7EAC, 0x3A5C


@dataclasses.dataclass(frozen=True)
class TeacherSettings:
    """How a teacher is trained.

    Attributes:
        steps: optimizer steps on the tasks.
        masked_steps: optimizer steps of masked modelling before them; 0 for none.
        mask_ratio: share of tokens hidden in masked modelling.
        batch_size: frames a batch, drawn afresh.
        accumulate: batches whose mean gradient makes one step.
        learning_rate: peak of the warm-up and cosine, of both parts.
        blind_fraction: share of frames whose modulation token is masked.
        view_dropout: probability that a view of a frame is absent.
        carrier_offset_fraction: half of the frames have a carrier offset of up to this share of
            the subcarrier spacing.
        weights: of the tasks.
        compute: what the encoder's matrix products are computed in.
        remat: recompute the encoder's activations in the backward pass.
        seed: of the initial parameters and the data.
        chunk_steps: steps between two looks from the host.
        save_every_s: seconds between checkpoints.
    """

    steps: int = 24_000
    masked_steps: int = 3_000
    mask_ratio: float = 0.5
    batch_size: int = 32
    accumulate: int = 1
    learning_rate: float = 3e-3
    blind_fraction: float = 0.5
    view_dropout: float = 0.1
    carrier_offset_fraction: float = 0.01
    weights: TaskWeights = TaskWeights()
    compute: Literal["float32", "bfloat16"] = "float32"
    remat: bool = False
    seed: int = 0
    chunk_steps: int = 100
    save_every_s: float = 60.0

    def __post_init__(self):
        for name in ("steps", "batch_size", "accumulate", "chunk_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.masked_steps < 0:
            raise ValueError(f"masked_steps must be at least 0, got {self.masked_steps}")
        if not self.learning_rate > 0.0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if not 0.0 <= self.blind_fraction <= 1.0:
            raise ValueError(f"blind_fraction must be in [0, 1], got {self.blind_fraction}")
        if not 0.0 < self.mask_ratio < 1.0:
            raise ValueError(f"mask_ratio must be between 0 and 1, got {self.mask_ratio}")
        if not 0.0 <= self.view_dropout < 1.0:
            raise ValueError(f"view_dropout must be in [0, 1), got {self.view_dropout}")
        if not 0.0 <= self.carrier_offset_fraction < 0.5:
            raise ValueError(
                f"carrier_offset_fraction must be in [0, 0.5), got {self.carrier_offset_fraction}"
            )
        if self.compute not in ("float32", "bfloat16"):
            raise ValueError(f"compute must be float32 or bfloat16, got {self.compute!r}")


def train_teacher(
    config: ModelConfig,
    settings: TeacherSettings,
    folder: str | os.PathLike,
    *,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> Teacher:
    """Trains a teacher in ``folder``, or goes on where an earlier call was stopped.

    Args:
        config: the architecture.
        settings: the training.
        folder: holds ``masked`` and ``training`` (checkpoints on the way), ``losses.jsonl`` and,
            when done, ``teacher``.
        progress: where to tell of it.
        stop: asked between chunks; when it says so, the state is saved first.

    Raises:
        Stopped: ``stop`` asked for it.
        CheckpointError: ``folder`` holds a checkpoint of another training, or a damaged one.
        TrainingDivergedError: the loss was not finite.
    """
    folder = pathlib.Path(folder)
    if checkpoint.exists(folder / "teacher"):
        return load_teacher(folder / "teacher")
    run = {
        "identity": config_id({"model": to_dict(config), "settings": dataclasses.asdict(settings)}),
        "log": folder / "losses.jsonl",
        "progress": progress or Silent(),
        "stop": stop or StopRequest(),
    }
    options = {"dtype": settings.compute, "remat": settings.remat}
    seed = jax.random.key(settings.seed)
    apply, params = build(config, seed, **options)
    if settings.masked_steps and not checkpoint.exists(folder / "training"):
        masked_apply, masked_params = build_masked(config, seed, **options)
        loss_of = masked_loss(
            config,
            masked_apply,
            batch_size=settings.batch_size,
            mask_ratio=settings.mask_ratio,
            view_dropout=settings.view_dropout,
            carrier_offset_fraction=settings.carrier_offset_fraction,
        )
        stream = jax.random.fold_in(seed, MASKED_STREAM)
        how = _fit("masked modelling", settings.masked_steps, settings)
        start = new_training(masked_params)
        params = fit(how, loss_of, start, stream, folder / "masked", **run).params["model"]
    loss_of, stream = _task_loss(config, apply, settings), teacher_stream(settings)
    how = _fit("teacher", settings.steps, settings)
    training = fit(how, loss_of, new_training(params), stream, folder / "training", **run)
    save_teacher(folder / "teacher", config, training.params, dataclasses.asdict(settings))
    return load_teacher(folder / "teacher")


def teacher_stream(settings: TeacherSettings) -> jax.Array:
    """Typed key of the tasks' data; step t draws from ``fold_in(key, t)``."""
    return jax.random.fold_in(jax.random.key(settings.seed), TEACHER_STREAM)


def _fit(title: str, steps: int, settings: TeacherSettings) -> Fit:
    return Fit(
        title,
        steps,
        settings.learning_rate,
        settings.accumulate,
        settings.chunk_steps,
        settings.save_every_s,
    )


def _task_loss(config: ModelConfig, apply: Any, settings: TeacherSettings) -> LossOf:
    def loss_of(params: Any, key: jax.Array) -> tuple[jax.Array, Losses]:
        batch = sample_batch(
            config,
            key=key,
            batch_size=settings.batch_size,
            blind_fraction=settings.blind_fraction,
            view_dropout=settings.view_dropout,
            carrier_offset_fraction=settings.carrier_offset_fraction,
        )
        losses = task_losses(config, apply(params, batch.inputs), batch)
        return settings.weights.total(losses), losses

    return loss_of
