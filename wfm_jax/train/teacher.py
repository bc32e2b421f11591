"""Training a teacher on all tasks at once, and its strict checkpoints."""

import dataclasses
import functools
import json
import math
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from wfm_jax.model import ModelConfig, build, from_dict, param_shapes, sample_batch, to_dict
from wfm_jax.results import checkpoint
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.results.rows import config_id
from wfm_jax.train.interrupt import StopRequest
from wfm_jax.train.losses import TaskLosses, TaskWeights, task_losses
from wfm_jax.train.optimizer import adam, learning_rate_at

TEACHER_STREAM = 0x7EAC


@dataclasses.dataclass(frozen=True)
class TeacherSettings:
    """How a teacher is trained.

    Attributes:
        steps: optimizer steps.
        batch_size: frames a step, drawn afresh.
        learning_rate: peak of the warm-up and cosine.
        blind_fraction: share of frames whose modulation token is masked.
        weights: of the tasks.
        seed: of the initial parameters and the data.
        chunk_steps: steps between two looks from the host.
        save_every_s: seconds between checkpoints.
    """

    steps: int = 12_000
    batch_size: int = 32
    learning_rate: float = 3e-3
    blind_fraction: float = 0.5
    weights: TaskWeights = TaskWeights()
    seed: int = 0
    chunk_steps: int = 100
    save_every_s: float = 60.0

    def __post_init__(self):
        for name in ("steps", "batch_size", "chunk_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.learning_rate > 0.0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if not 0.0 <= self.blind_fraction <= 1.0:
            raise ValueError(f"blind_fraction must be in [0, 1], got {self.blind_fraction}")


class Teacher(NamedTuple):
    """A trained model: architecture, parameters, and the hash that result rows carry."""

    config: ModelConfig
    params: Any
    hash: str


class _Training(NamedTuple):
    params: Any
    optimizer: optax.OptState
    step: jax.Array


class TrainingDivergedError(ValueError):
    """The loss was not finite; the message says at which step."""


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
        folder: holds ``training`` (checkpoints on the way), ``losses.jsonl`` and, when done,
            ``teacher``.
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
    progress, stop = progress or Silent(), stop or StopRequest()
    identity = config_id({"model": to_dict(config), "settings": dataclasses.asdict(settings)})
    apply, params = build(config, jax.random.key(settings.seed))
    training = _Training(params, adam(0.0).init(params), jnp.zeros((), jnp.int32))
    if checkpoint.exists(folder / "training"):
        training = checkpoint.restore(folder / "training", training, config_hash=identity)
    chunk = jax.jit(
        functools.partial(_chunk, config, apply, settings), static_argnums=1, donate_argnums=0
    )
    training = _loop(chunk, training, settings, identity, folder, progress, stop)
    save_teacher(folder / "teacher", config, training.params, dataclasses.asdict(settings))
    return load_teacher(folder / "teacher")


def save_teacher(
    path: str | os.PathLike, config: ModelConfig, params: Any, training: dict[str, Any]
) -> None:
    """Saves a model with its architecture; ``training`` says how it came about."""
    fields = to_dict(config)
    metadata = {"model": fields, "training": training}
    checkpoint.save(path, params, config_hash=config_id(fields), metadata=metadata)


def load_teacher(path: str | os.PathLike) -> Teacher:
    """Loads a model saved by :func:`save_teacher`; strict.

    Raises:
        CheckpointError: nothing there, damaged files, or arrays that are not the architecture's.
    """
    metadata = checkpoint.read_metadata(path)
    try:
        config = from_dict(metadata["model"])
    except (KeyError, ValueError) as error:
        raise checkpoint.CheckpointError(f"{path} holds no model: {error}") from None
    identity = config_id(to_dict(config))
    params = checkpoint.restore(path, param_shapes(config), config_hash=identity)
    return Teacher(config, params, checkpoint.content_hash(path))


def _loop(
    chunk: Callable[[_Training, int], tuple[_Training, TaskLosses]],
    training: _Training,
    settings: TeacherSettings,
    identity: str,
    folder: pathlib.Path,
    progress: Progress,
    stop: StopRequest,
) -> _Training:
    def save() -> None:
        checkpoint.save(folder / "training", training, config_hash=identity)

    done, saved = int(training.step), time.monotonic()
    progress.start("teacher", settings.steps, done)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "losses.jsonl", "a", encoding="utf-8") as log:
        while done < settings.steps:
            n_steps = min(settings.chunk_steps, settings.steps - done)
            training, losses = chunk(training, n_steps)
            values = {name: round(float(value), 5) for name, value in losses.items()}
            done += n_steps
            log.write(json.dumps({"step": done, **values}) + "\n")
            log.flush()
            if not all(map(math.isfinite, values.values())):
                raise TrainingDivergedError(
                    f"the teacher's loss was not finite before step {done}: lower --learning_rate"
                )
            progress.advance(n_steps, "  ".join(f"{k} {v:.3f}" for k, v in values.items()))
            if stop.signum is not None or time.monotonic() - saved > settings.save_every_s:
                save()
                saved = time.monotonic()
                stop.raise_if_asked()
    return training


def _chunk(
    config: ModelConfig,
    apply: Callable[[Any, Any], Any],
    settings: TeacherSettings,
    training: _Training,
    n_steps: int,
) -> tuple[_Training, TaskLosses]:
    """``n_steps`` steps; returns the losses' means too."""
    stream = jax.random.fold_in(jax.random.key(settings.seed), TEACHER_STREAM)

    def step(training: _Training, _: None) -> tuple[_Training, TaskLosses]:
        batch = sample_batch(
            config,
            key=jax.random.fold_in(stream, training.step),
            batch_size=settings.batch_size,
            blind_fraction=settings.blind_fraction,
        )

        def loss_of(params: Any) -> tuple[jax.Array, TaskLosses]:
            losses = task_losses(config, apply(params, batch.inputs), batch)
            return settings.weights.total(losses), losses

        grads, losses = jax.grad(loss_of, has_aux=True)(training.params)
        rate = learning_rate_at(training.step, settings.steps, settings.learning_rate)
        updates, optimizer = adam(rate).update(grads, training.optimizer, training.params)
        params = optax.apply_updates(training.params, updates)
        return _Training(params, optimizer, training.step + 1), losses

    training, losses = jax.lax.scan(step, training, length=n_steps)
    return training, jax.tree.map(jnp.mean, losses)
