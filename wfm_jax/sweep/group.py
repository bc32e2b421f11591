"""A static group: configurations of one architecture, and the one program that trains them."""

import collections
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax

from wfm_jax import compress
from wfm_jax.model import ModelConfig
from wfm_jax.sweep import cohort, compression, student_name, support
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.devices import Devices
from wfm_jax.sweep.programs import Like, Programs
from wfm_jax.sweep.settings import SweepSettings
from wfm_jax.train.distill import Trainer
from wfm_jax.train.problem import Pair, Problem
from wfm_jax.train.strategy import Strategy
from wfm_jax.train.student import Recipe, Student
from wfm_jax.train.validation import validation_losses

CALIBRATION_STREAM, VALIDATION_STREAM = 0xCA11, 0x7A11
CALIBRATION_EXAMPLES, VALIDATION_EXAMPLES = 1024, 512
_EIGHTS = 8


class Group:
    """Configurations of one architecture, and the one program that trains them.

    Args:
        name: of the student, and what became of it where the pipelines rebuild it first.
        teacher: what is compressed.
        configurations: its members.
        settings: how the sweep runs.
        problem: the students', where they are rebuilt first.
        starts: their parameters then, by the configurations' ids.

    Attributes:
        name: see above.
        members: its configurations.
        problem: of the students: their forward pass, their start, and data and losses.
        devices: that its configurations are spread over.
        width: of every cohort of this group: the most configurations of one seed, in eights.
            Decided by all that the sweep asks for, and so the same after a resume.
        programs: that train it, one a width.
        choices: what its configurations ask for of P and Q.
    """

    def __init__(
        self,
        name: str,
        teacher: Problem,
        configurations: Sequence[Configuration],
        settings: SweepSettings,
        *,
        problem: Problem | None = None,
        starts: Mapping[str, Any] | None = None,
    ):
        self.name, self.members, self._starts = name, tuple(configurations), starts or {}
        self.problem = problem or student_of(name, teacher)
        support.check(configurations, self.problem)
        self.choices = compression.choices_of(configurations, self.problem, teacher)
        self.devices = Devices.take(settings.n_devices)
        self.width = width_of(configurations, settings, self.devices)
        self._trainer = Trainer(
            problem=self.problem,
            transform=compression.in_force(self.choices),
            teacher_apply=teacher.apply,
            quantize_activations=any(c.quantizes_activations for c in configurations),
            learned=compression.learned(self.choices),
            hidden=self.choices.hidden,
        )
        like = Like(self.problem.params, teacher.params, self.choices)
        self.programs = Programs(self._trainer, settings, self.devices, like)

    @property
    def config(self) -> ModelConfig | None:
        """The students' architecture, where it is known."""
        return self.problem.config

    def padded(self, n: int) -> int:
        """The width of ``n`` configurations: in eights, and the same number on each device."""
        return padded(n, self.devices)

    @property
    def cohort_bytes(self) -> int:
        """What a cohort's students take, in memory and on disk."""
        params = self.problem.params
        students, _ = cohort.blueprint(params, self.width, self.choices, self.devices)
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
        n_batches = -(-VALIDATION_EXAMPLES // self.problem.batch_size)
        trainer = self._trainer._replace(strategy=self.strategy)
        losses = functools.partial(validation_losses, trainer, n_batches=n_batches)
        return jax.jit(self.devices.each(losses, 2))

    def validation_losses(self, students: Student, recipes: Recipe) -> jax.Array:
        """Task loss of each student on examples drawn for it alone, float32[n]."""
        key = self.devices.copied(jax.random.key(VALIDATION_STREAM))
        return self._validate(students, recipes, key)

    @functools.cached_property
    def stats(self) -> compress.Stats | None:
        """Statistics of the parameters that all but ``init=scratch`` start from, if needed."""
        return self._gather() if self.choices.need_statistics else None

    def _gather(self) -> compress.Stats:
        problem, kernels = self.problem, self.choices.kernels

        def loss(params: Any, batch: Pair) -> jax.Array:
            inputs, labels = batch
            return problem.task_loss(problem.apply(params, inputs), labels)

        return compress.gather_statistics(
            lambda params, batch: problem.apply(params, batch[0]),
            problem.params,
            calibration_batches(problem),
            pattern=lambda path, _: path in kernels,
            loss=loss,
        )

    def initial(self, configuration: Configuration) -> Any:
        """The parameters that a configuration starts from."""
        if configuration.config_id in self._starts:
            return self._starts[configuration.config_id]
        if configuration.init == "scratch" and self.problem.fresh is not None:
            return self.problem.fresh(jax.random.key(configuration.seed))
        return self.problem.params


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


def student_of(name: str, teacher: Problem) -> Problem:
    """The problem of a student; its name as :mod:`wfm_jax.sweep.student_name` has it.

    Raises:
        ValueError: there is no such model.
    """
    size, views = student_name.parse(name)
    problem = teacher
    if size == "smaller":
        if teacher.smaller is None:
            raise ValueError(f"student must be same for a problem without smaller, got {name!r}")
        problem = teacher.smaller()
    if not views:
        return problem
    if problem.reading is None:
        raise ValueError(f"student must be {size} for a problem without reading, got {name!r}")
    return problem.reading(views)


def check_fit(configurations: Sequence[Configuration], teacher: Problem) -> None:
    """Raises ValueError, one line, if configurations ask for what the students are not made for.

    Those whose pipelines rebuild the model are checked when it is rebuilt.
    """
    for student in dict.fromkeys(c.student for c in configurations):
        problem = student_of(student, teacher)
        own = [c for c in configurations if c.student == student]
        support.check(own, problem)
        compression.choices_of([c for c in own if not c.rebuilding], problem, teacher)


def calibration_batches(problem: Problem, n: int = CALIBRATION_EXAMPLES) -> Iterator[Pair]:
    """At least ``n`` examples as in training, the same for all: what P and Q know of data."""
    draw, stream = jax.jit(problem.batch), jax.random.key(CALIBRATION_STREAM)
    for i in range(-(-n // problem.batch_size)):
        yield draw(jax.random.fold_in(stream, i))
