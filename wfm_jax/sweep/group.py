"""A static group: configurations of one architecture, and the one program that trains them."""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import jax

from wfm_jax.model import build, smaller, start_smaller
from wfm_jax.sweep import compression
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.train.distill import Student, Trainer
from wfm_jax.train.losses import TaskWeights
from wfm_jax.train.model_files import Teacher


@dataclasses.dataclass(frozen=True)
class SweepSettings:
    """How a sweep runs.

    Attributes:
        batch_size: frames a step, shared by all configurations of a seed.
        chunk_steps: steps between two looks from the host, compiled into the program.
        max_width: configurations that train together at most.
        strategy: ``map`` (one configuration after the other: CPU) or ``vmap`` (GPU, TPU).
        weights: of the tasks in the loss.
        save_every_s: seconds between checkpoints.
    """

    batch_size: int = 32
    chunk_steps: int = 25
    max_width: int = 64
    strategy: Literal["map", "vmap"] = "map"
    weights: TaskWeights = TaskWeights()
    save_every_s: float = 60.0


class Group:
    """Configurations of one architecture, and the one program that trains them.

    Attributes:
        name: ``same`` or ``smaller``.
        config: the students' architecture.
        apply: its forward pass.
        width: of every cohort of this group: the most configurations of one seed, in eights.
            Decided by all that the sweep asks for, and so the same after a resume.
        train: the compiled chunk of training.
        n_compiles: how often it was compiled in this process.
    """

    def __init__(
        self,
        name: str,
        teacher: Teacher,
        configurations: Sequence[Configuration],
        settings: SweepSettings,
    ):
        self.name = name
        self.config = teacher.config if name == "same" else smaller(teacher.config)
        self.apply, _ = build(self.config, jax.random.key(0))
        teacher_apply, _ = build(teacher.config, jax.random.key(0))
        most = max(collections.Counter(c.seed for c in configurations).values())
        self.width = min(settings.max_width, -(-most // 8) * 8)
        trainer = Trainer(
            config=self.config,
            apply=self.apply,
            transform=compression.TRANSFORM,
            teacher_apply=teacher_apply,
            weights=settings.weights,
            batch_size=settings.batch_size,
            strategy=settings.strategy,
        )
        self.n_compiles = 0

        def chunk(*args: Any) -> Student:
            self.n_compiles += 1  # runs when the program is traced, not when it is called
            return trainer.chunk(*args, n_steps=settings.chunk_steps)

        self.train = jax.jit(chunk, donate_argnums=0)
        self._copied = (
            start_smaller(teacher.config, self.config, teacher.params)
            if name == "smaller"
            else teacher.params
        )

    def initial(self, configuration: Configuration) -> Any:
        """The parameters that a configuration starts from."""
        if configuration.init == "scratch":
            return build(self.config, jax.random.key(configuration.seed))[1]
        return self._copied
