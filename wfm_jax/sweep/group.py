"""A static group: configurations of one architecture, and the one program that trains them."""

import collections
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax

from wfm_jax import compress
from wfm_jax.model import Batch, ModelConfig, build, sample_batch, smaller, start_smaller
from wfm_jax.sweep import cohort, compression
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.devices import Devices
from wfm_jax.sweep.programs import Like, Programs
from wfm_jax.sweep.settings import SweepSettings
from wfm_jax.train.distill import Trainer
from wfm_jax.train.losses import task_losses
from wfm_jax.train.model_files import Teacher
from wfm_jax.train.strategy import Strategy
from wfm_jax.train.student import Recipe, Student
from wfm_jax.train.validation import validation_losses

CALIBRATION_STREAM, VALIDATION_STREAM = 0xCA11, 0x7A11
CALIBRATION_FRAMES, VALIDATION_FRAMES = 1024, 512
_EIGHTS = 8


class Group:
    """Configurations of one architecture, and the one program that trains them.

    Attributes:
        name: ``same`` or ``smaller``, and what became of it where the pipelines rebuild it first.
        members: its configurations.
        config: the students' architecture.
        apply: its forward pass.
        devices: that its configurations are spread over.
        width: of every cohort of this group: the most configurations of one seed, in eights.
            Decided by all that the sweep asks for, and so the same after a resume.
        programs: that train it, one a width.
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
        self._starts, self._teacher = starts or {}, teacher
        self.config = config or architecture_of(name, teacher.config)
        self.apply, _ = build(self.config, jax.random.key(0))
        self.choices = compression.choices_of(configurations, self.config, teacher.config)
        self.devices = Devices.take(settings.n_devices)
        teacher_apply, _ = build(teacher.config, jax.random.key(0))
        self.width = width_of(configurations, settings, self.devices)
        trainer = Trainer(
            config=self.config,
            apply=self.apply,
            transform=compression.in_force(self.choices),
            teacher_apply=teacher_apply,
            weights=settings.weights,
            batch_size=settings.batch_size,
            quantize_activations=any(c.quantizes_activations for c in configurations),
            unlabelled=settings.unlabelled,
            learned=compression.learned(self.choices),
            hidden=self.choices.hidden,
        )
        self._copied = (
            next(iter(starts.values()))
            if starts
            else start_smaller(teacher.config, self.config, teacher.params)
            if name == "smaller"
            else teacher.params
        )
        like = Like(self._copied, teacher.params, self.choices)
        self.programs = Programs(trainer, settings, self.devices, like)
        self._trainer = trainer

    def padded(self, n: int) -> int:
        """The width of ``n`` configurations: in eights, and the same number on each device."""
        return padded(n, self.devices)

    @property
    def cohort_bytes(self) -> int:
        """What a cohort's students take, in memory and on disk."""
        students, _ = cohort.blueprint(self._copied, self.width, self.choices, self.devices)
        return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(students))

    def train(
        self,
        students: Student,
        recipes: Recipe,
        teacher_params: Any,
        stream: jax.Array,
        first_step: jax.Array,
    ) -> Student:
        """A chunk of steps of all students, in place; arguments as of :meth:`Trainer.chunk`."""
        program = self.programs.of(students.step.shape[0])
        return program.compiled(students, recipes, teacher_params, stream, first_step)

    @property
    def n_compiles(self) -> int:
        """How often its training was compiled in this process."""
        return self.programs.n_compiles

    @property
    def strategy(self) -> Strategy:
        """Of the config axis, in the program of the group's width."""
        return self.programs.of(self.width).strategy

    @functools.cached_property
    def _validate(self) -> Any:
        n_batches = -(-VALIDATION_FRAMES // self._settings.batch_size)
        trainer = self._trainer._replace(strategy=self.strategy)
        losses = functools.partial(validation_losses, trainer, n_batches=n_batches)
        return jax.jit(self.devices.each(losses, 2))

    def validation_losses(self, students: Student, recipes: Recipe) -> jax.Array:
        """Task loss of each student on frames that nobody trains on or is tested on, float32[n]."""
        key = self.devices.copied(jax.random.key(VALIDATION_STREAM))
        return self._validate(students, recipes, key)

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


def width_of(
    configurations: Sequence[Configuration], settings: SweepSettings, devices: Devices
) -> int:
    """The width of a group's cohorts: the most configurations of one seed, padded."""
    most = max(collections.Counter(c.seed for c in configurations).values())
    return padded(min(most, settings.max_width), devices)


def padded(n: int, devices: Devices) -> int:
    """The width of ``n`` configurations: in eights, and the same number on each device."""
    step = math.lcm(_EIGHTS, devices.n)
    return -(-n // step) * step


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
