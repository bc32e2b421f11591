"""Programs of the suite ``engine``: students that are compressed differently, trained as one.

What is timed is the engine's own step, :meth:`wfm_jax.train.distill.Trainer.chunk`: frames drawn
and answered by the teacher once a step, an optimizer step of every student on them. Students carry
keep masks, scales and bits of their own, and recipes of their own.
"""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from wfm_jax import compress
from wfm_jax.evaluate.products import frame_products
from wfm_jax.model import Forward, ModelConfig, build
from wfm_jax.sweep.devices import Devices
from wfm_jax.train.distill import Lesson, Recipe, Student, Trainer, new_student, student_step
from wfm_jax.train.losses import TaskWeights
from wfm_jax.train.model_files import Teacher
from wfm_jax.train.problem import n_examples
from wfm_jax.train.wireless import PRUNABLE, wireless

WEIGHTS = TaskWeights()
STRATEGIES = MAP, VMAP, SPREAD = "map", "vmap", "spread"
_GOLDEN = 0.5 * (5.0**0.5 - 1.0)

Call = Callable[[], None]


class Work(NamedTuple):
    """A model and its teacher, and the engine's step of them.

    Attributes:
        config: of the students.
        params: what they begin from.
        teacher_config: of their teacher.
        teacher: its parameters.
        trainer: the step.
    """

    config: ModelConfig
    params: Any
    teacher_config: ModelConfig
    teacher: Any
    trainer: Trainer


class Program(NamedTuple):
    """A compiled chunk of steps.

    Attributes:
        compiled: the program.
        width: configurations.
        n_steps: optimizer steps of each in one call.
        compile_s: seconds from the Python function to the program.
        argument_bytes: students, recipes and teacher.
        temporary_bytes: what it allocates beside them, on each device as those.
        devices: that it runs on.
    """

    compiled: Any
    width: int
    n_steps: int
    compile_s: float
    argument_bytes: int
    temporary_bytes: int
    devices: Devices

    @property
    def bytes(self) -> int:
        """Memory in use while it runs; students are updated in place."""
        return self.argument_bytes + self.temporary_bytes


def compression(sparsity: ArrayLike, bits: ArrayLike) -> compress.Transform:
    """Encoder kernels pruned by magnitude, then all kernels quantized; numbers may be traced."""
    pruned = compress.matching(PRUNABLE, compress.magnitude_prune(sparsity))
    return compress.chain(pruned, compress.quantize(bits, scale="absmax"))


def begin(
    config: ModelConfig,
    batch_size: int,
    compute: str = "float32",
    teacher: ModelConfig | None = None,
) -> Work:
    """A model with a teacher.

    Args:
        config: the model.
        batch_size: frames a step.
        compute: what the encoders' matrix products are computed in.
        teacher: its teacher; None: of its own size.
    """
    teacher = teacher or config
    apply, params = build(config, jax.random.key(0), dtype=compute)
    teach, answers = build(teacher, jax.random.key(0), dtype=compute)
    in_force = compression(0.0, 8)  # the states alone say what is done
    problem = wireless(Teacher(config, params, ""), batch_size=batch_size, weights=WEIGHTS)
    trainer = Trainer(problem._replace(apply=apply), in_force, teach)
    return Work(config, params, teacher, answers, trainer)


def students(work: Work, n: int) -> tuple[Student, Recipe]:
    """The first ``n`` configurations before training: students and recipes, stacked, NumPy.

    Configuration i is the same whatever ``n`` is: sparsity, temperature, alpha and learning rate
    run through a low-discrepancy sequence, bits through 2 to 8.
    """
    at = (np.arange(n) * _GOLDEN) % 1.0
    bits = (2 + np.arange(n) % 7).astype(np.float32)
    recipes = Recipe(
        temperature=1.0 + 3.0 * at,
        alpha=0.1 + 0.8 * at,
        learning_rate=3e-4 * 10.0**at,
        total_steps=np.full(n, 1e5),
    )
    stacked = _newborn(work.params, (0.9 * at).astype(np.float32), bits)
    return jax.tree.map(np.asarray, stacked), jax.tree.map(np.float32, recipes)


@jax.jit
def _newborn(params: Any, sparsity: jax.Array, bits: jax.Array) -> Student:
    def one(numbers: tuple[jax.Array, jax.Array]) -> Student:
        method = compression(*numbers)
        state = method.init(params, key=jax.random.key(0))
        latent, (pruned, quantized) = method.update(params, state)
        # Nothing is pruned again: the key is kept as the numbers it is made of.
        pruned = pruned._replace(key=jax.random.key_data(pruned.key))
        return new_student(latent, (pruned, quantized))

    return jax.lax.map(one, (sparsity, bits))


def chunk(work: Work, strategy: str, n_steps: int) -> Callable[..., Student]:
    """``chunk(students, recipes, teacher, key, first_step) -> students``.

    Args:
        work: the model.
        strategy: ``map``, ``vmap``, ``spread`` (over all devices, ``map`` on each), or how many
            are vmapped at a time, one such chunk after the other.
        n_steps: optimizer steps.
    """
    if strategy == SPREAD:
        return devices_of(strategy).each(chunk(work, MAP, n_steps), 2)
    if strategy in (MAP, VMAP):
        # The type checker does not know that one of the two is meant.
        trainer = work.trainer._replace(strategy=strategy)  # pyright: ignore[reportArgumentType]
        return functools.partial(trainer.chunk, n_steps=n_steps)
    return functools.partial(_in_chunks, work, int(strategy), n_steps)


def devices_of(strategy: str) -> Devices:
    """Where a strategy runs: ``spread`` on all devices, the others on the first."""
    return Devices.take(None if strategy == SPREAD else 1)


def _in_chunks(
    work: Work,
    width: int,
    n_steps: int,
    students: Student,
    recipes: Recipe,
    teacher_params: Any,
    key: jax.Array,
    first_step: jax.Array,
) -> Student:
    """The trainer's chunk, ``width`` configurations vmapped at a time."""

    def step(students: Student, t: jax.Array) -> tuple[Student, None]:
        lesson = _lesson(work, teacher_params, jax.random.fold_in(key, t))

        def one(pair: tuple[Student, Recipe]) -> Student:
            return _one_step(work, *pair, lesson)

        return jax.lax.map(one, (students, recipes), batch_size=width), None

    return jax.lax.scan(step, students, first_step + jnp.arange(n_steps, dtype=jnp.int32))[0]


def _lesson(work: Work, teacher_params: Any, key: jax.Array) -> Lesson:
    inputs, labels = work.trainer.problem.batch(key)
    return Lesson(inputs, labels, work.trainer.teacher_apply(teacher_params, inputs))


def _one_step(work: Work, student: Student, recipe: Recipe, lesson: Lesson) -> Student:
    trainer = work.trainer
    return student_step(trainer.problem, trainer.transform, student, recipe, lesson)


def compile_later(
    work: Work, strategy: str, stack: tuple[Student, Recipe], n_steps: int
) -> Callable[[], Program]:
    """Traces a chunk of steps here; what is returned compiles it, in any thread."""
    began = time.perf_counter()
    run, devices = jax.jit(chunk(work, strategy, n_steps), donate_argnums=0), devices_of(strategy)
    shared = devices.copied_shapes((work.teacher, jax.random.key(1), np.int32(0)))
    lowered = run.lower(*devices.spread_shapes(stack), *shared)
    traced_s = time.perf_counter() - began
    width = stack[0].step.shape[0]
    return functools.partial(_compile, lowered, devices, width, n_steps, traced_s)


def _compile(lowered: Any, devices: Devices, width: int, n_steps: int, traced_s: float) -> Program:
    began = time.perf_counter()
    compiled = lowered.compile()
    compile_s, memory = traced_s + time.perf_counter() - began, compiled.memory_analysis()
    own, beside = (getattr(memory, f"{part}_size_in_bytes", 0) for part in ("argument", "temp"))
    return Program(compiled, width, n_steps, compile_s, own, beside, devices)


class Running:
    """Students in training: a call takes all of them ``n_steps`` further."""

    def __init__(self, work: Work, program: Program, stack: tuple[Student, Recipe]):
        self._program, self._done = program, 0
        self._students, self._recipes = program.devices.spread(stack)
        self._shared = program.devices.copied((work.teacher, jax.random.key(1)))

    def __call__(self) -> None:
        steps = self._program.devices.copied(np.int32(self._done))
        students = self._program.compiled(self._students, self._recipes, *self._shared, steps)
        self._students = jax.block_until_ready(students)
        self._done += self._program.n_steps

    @property
    def n_diverged(self) -> int:
        """Students that stand still: their steps are not steps."""
        return int(np.sum(np.asarray(self._students.diverged_at) >= 0))


def lessons(work: Work, n: int) -> list[Lesson]:
    """Batches of the data stream, with the teacher's answers."""
    run, stream = jax.jit(functools.partial(_lesson, work)), jax.random.key(1)
    return [run(work.teacher, jax.random.fold_in(stream, t)) for t in range(n)]


def on_given(
    work: Work, n_steps: int, *, answers: bool = True
) -> Callable[[Student, Recipe, Any, Lesson], Student]:
    """Steps of one student on stacked lessons, again and again: frames are given, and the teacher's
    answers too, or its parameters are asked."""

    def steps(student: Student, recipe: Recipe, teacher_params: Any, given: Lesson) -> Student:
        n_lessons = n_examples(given)

        def step(student: Student, t: jax.Array) -> tuple[Student, None]:
            lesson = jax.tree.map(lambda x: x[t % n_lessons], given)
            if not answers:
                own = work.trainer.teacher_apply(teacher_params, lesson.inputs)
                lesson = lesson._replace(teacher=own)
            return _one_step(work, student, recipe, lesson), None

        return jax.lax.scan(step, student, jnp.arange(n_steps))[0]

    return steps


def running_on_given(
    work: Work,
    stack: tuple[Student, Recipe],
    given: list[Lesson],
    n_steps: int,
    *,
    answers: bool = True,
) -> tuple[Call, float]:
    """The first of some students on given lessons: a call of so many steps, and the seconds to
    compile it. Without the answers the teacher is asked at every step."""
    one, recipe = jax.device_put(jax.tree.map(lambda x: x[0], stack))
    lessons, began = stacked(given), time.perf_counter()
    run = jax.jit(on_given(work, n_steps, answers=answers), donate_argnums=0)
    program = run.lower(one, recipe, work.teacher, lessons).compile()
    compile_s, state = time.perf_counter() - began, [one]

    def call() -> None:
        state[0] = jax.block_until_ready(program(state[0], recipe, work.teacher, lessons))

    return call, compile_s


def stacked(trees: list[Any]) -> Any:
    """A leading axis over the trees."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def forward_operations(work: Work) -> float:
    """Operations of the matrix products of a student's forward pass on a step's frames."""
    return _operations(work.config, work.trainer.problem.apply, work.params, work)


def teacher_operations(work: Work) -> float:
    """Of its teacher's."""
    return _operations(work.teacher_config, work.trainer.teacher_apply, work.teacher, work)


def _operations(config: ModelConfig, apply: Forward, params: Any, work: Work) -> float:
    macs = sum(product.macs for product in frame_products(config, apply, params))
    return 2.0 * macs * work.trainer.problem.batch_size


def n_parameters(work: Work) -> int:
    """Of a student."""
    return sum(leaf.size for leaf in jax.tree.leaves(work.params))
