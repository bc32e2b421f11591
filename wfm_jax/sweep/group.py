"""A static group: configurations of one architecture, and the one program that trains them."""

import collections
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import jax

from wfm_jax import compress
from wfm_jax.model import Batch, ModelConfig, build, sample_batch, smaller, start_smaller
from wfm_jax.sweep import compression
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.train.distill import Trainer
from wfm_jax.train.losses import TaskWeights, task_losses
from wfm_jax.train.model_files import Teacher
from wfm_jax.train.student import Student
from wfm_jax.train.unlabelled import Unlabelled

CALIBRATION_STREAM = 0xCA11
CALIBRATION_FRAMES = 1024


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
        unlabelled: frames that the teacher alone labels, on top of the batch; None for no such.
    """

    batch_size: int = 32
    chunk_steps: int = 25
    max_width: int = 64
    strategy: Literal["map", "vmap"] = "map"
    weights: TaskWeights = TaskWeights()
    save_every_s: float = 60.0
    unlabelled: Unlabelled | None = None


class Group:
    """Configurations of one architecture, and the one program that trains them.

    Attributes:
        name: ``same`` or ``smaller``, and what became of it where the pipelines rebuild it first.
        members: its configurations.
        config: the students' architecture.
        apply: its forward pass.
        width: of every cohort of this group: the most configurations of one seed, in eights.
            Decided by all that the sweep asks for, and so the same after a resume.
        train: the compiled chunk of training.
        n_compiles: how often it was compiled in this process.
        choices: what its configurations ask for of P and Q.
    """

    def __init__(
        self,
        name: str,
        teacher: Teacher,
        configurations: Sequence[Configuration],
        settings: SweepSettings,
        *,
        config: ModelConfig | None = None,
        starts: Mapping[str, Any] | None = None,
    ):
        self.name, self.members, self._settings = name, tuple(configurations), settings
        self._starts = starts or {}
        self.config = config or architecture_of(name, teacher.config)
        self.apply, _ = build(self.config, jax.random.key(0))
        self.choices = compression.choices_of(configurations, self.config, teacher.config)
        teacher_apply, _ = build(teacher.config, jax.random.key(0))
        most = max(collections.Counter(c.seed for c in configurations).values())
        self.width = min(settings.max_width, -(-most // 8) * 8)
        trainer = Trainer(
            config=self.config,
            apply=self.apply,
            transform=compression.in_force(self.choices),
            teacher_apply=teacher_apply,
            weights=settings.weights,
            batch_size=settings.batch_size,
            strategy=settings.strategy,
            quantize_activations=any(c.quantizes_activations for c in configurations),
            unlabelled=settings.unlabelled,
            learned=compression.learned(self.choices),
            hidden=self.choices.hidden,
        )
        self.n_compiles = 0

        def chunk(*args: Any) -> Student:
            self.n_compiles += 1  # runs when the program is traced, not when it is called
            return trainer.chunk(*args, n_steps=settings.chunk_steps)

        self.train = jax.jit(chunk, donate_argnums=0)
        self._copied = (
            next(iter(starts.values()))
            if starts
            else start_smaller(teacher.config, self.config, teacher.params)
            if name == "smaller"
            else teacher.params
        )

    @functools.cached_property
    def stats(self) -> compress.Stats | None:
        """Statistics of the parameters that all but ``init=scratch`` start from, if needed."""
        return self._gather() if self.choices.need_statistics else None

    def _gather(self) -> compress.Stats:
        def loss(params: Any, batch: Batch) -> jax.Array:
            outputs = self.apply(params, batch.inputs)
            return self._settings.weights.total(task_losses(self.config, outputs, batch))

        return compress.gather_statistics(
            lambda params, batch: self.apply(params, batch.inputs),
            self._copied,
            calibration_batches(self.config, self._settings.batch_size),
            pattern=compression.PRUNABLE,
            loss=loss,
        )

    def initial(self, configuration: Configuration) -> Any:
        """The parameters that a configuration starts from."""
        if configuration.config_id in self._starts:
            return self._starts[configuration.config_id]
        if configuration.init == "scratch":
            return build(self.config, jax.random.key(configuration.seed))[1]
        return self._copied


def architecture_of(student: str, teacher: ModelConfig) -> ModelConfig:
    """The architecture of a student, ``same`` or ``smaller``."""
    return teacher if student == "same" else smaller(teacher)


def check_fit(configurations: Sequence[Configuration], teacher: ModelConfig) -> None:
    """Raises ValueError, one line, if configurations ask for what the students are not made for.

    Those whose pipelines rebuild the model are checked when it is rebuilt.
    """
    for student in dict.fromkeys(c.student for c in configurations):
        plain = [c for c in configurations if c.student == student and not c.rebuilding]
        compression.choices_of(plain, architecture_of(student, teacher), teacher)


def calibration_batches(config: ModelConfig, batch_size: int) -> Iterator[Batch]:
    """Some thousand frames as in training, the same for all: what P and Q know of data."""
    draw = jax.jit(functools.partial(sample_batch, config, batch_size=batch_size))
    stream = jax.random.key(CALIBRATION_STREAM)
    for i in range(-(-CALIBRATION_FRAMES // batch_size)):
        yield draw(key=jax.random.fold_in(stream, i))
