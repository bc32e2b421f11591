"""Training a small classifier of modulations, resumable, on frames drawn like the teacher's."""

import dataclasses
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import optax

from wfm_jax.model import small_classifiers
from wfm_jax.model.small_classifiers import Config, Params
from wfm_jax.results import checkpoint
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.results.rows import config_id
from wfm_jax.signal import link, scenarios
from wfm_jax.train.fit import Fit, Losses, LossOf, fit, new_training
from wfm_jax.train.interrupt import StopRequest

CLASSIFIER_STREAM = 0xC1A5


@dataclasses.dataclass(frozen=True)
class ClassifierSettings:
    """How a classifier is trained; by default on 1.28 million frames.

    Attributes:
        steps: optimizer steps.
        batch_size: frames a step, drawn afresh.
        learning_rate: peak of the warm-up and cosine.
        seed: of the initial parameters and the data.
        chunk_steps: steps between two looks from the host.
        save_every_s: seconds between checkpoints.
    """

    steps: int = 40_000
    batch_size: int = 32
    learning_rate: float = 3e-3
    seed: int = 0
    chunk_steps: int = 100
    save_every_s: float = 60.0

    def __post_init__(self):
        for name in ("steps", "batch_size", "chunk_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.learning_rate > 0.0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")


def train_classifier(
    config: Config,
    settings: ClassifierSettings,
    folder: str | os.PathLike,
    *,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> Params:
    """Trains a classifier in ``folder``, or goes on where an earlier call was stopped.

    Args:
        config: the architecture.
        settings: the training.
        folder: holds ``training`` (checkpoints on the way), ``losses.jsonl`` and, when done,
            ``classifier``.
        progress: where to tell of it.
        stop: asked between chunks; when it says so, the state is saved first.

    Returns:
        The trained parameters.

    Raises:
        Stopped: ``stop`` asked for it.
        CheckpointError: ``folder`` holds a checkpoint of another training, or a damaged one.
        TrainingDivergedError: the loss was not finite.
    """
    folder = pathlib.Path(folder)
    identity = config_id({"model": _fields(config), "settings": dataclasses.asdict(settings)})
    if not checkpoint.exists(folder / "classifier"):
        apply, params = small_classifiers.build(config, jax.random.key(settings.seed))
        training = fit(
            Fit(
                config.NAME,
                settings.steps,
                settings.learning_rate,
                chunk_steps=settings.chunk_steps,
                save_every_s=settings.save_every_s,
            ),
            classification_loss(config, apply, settings.batch_size),
            new_training(params),
            jax.random.fold_in(jax.random.key(settings.seed), CLASSIFIER_STREAM),
            folder / "training",
            identity=identity,
            log=folder / "losses.jsonl",
            progress=progress or Silent(),
            stop=stop or StopRequest(),
        )
        checkpoint.save(folder / "classifier", training.params, config_hash=identity)
    like = small_classifiers.param_shapes(config)
    return checkpoint.restore(folder / "classifier", like, config_hash=identity)


def classification_loss(config: Config, apply: Any, batch_size: int) -> LossOf:
    """Cross entropy of ``batch_size`` frames drawn from a key."""

    def loss_of(params: Params, key: jax.Array) -> tuple[jax.Array, Losses]:
        frame = link.sample_frames(config.link, key=key, batch_size=batch_size)
        logits = apply(params, small_classifiers.receive(config.link, frame))
        loss = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, frame.modulation))
        return loss, {"modulation": loss}

    return loss_of


def _fields(config: Config) -> dict[str, Any]:
    """The architecture and its link as JSON values."""
    fields = {"kind": config.NAME, **dataclasses.asdict(config)}
    fields["link"]["scenario"] = scenarios.to_dict(config.link.scenario)
    return fields
