"""The compiled programs of a static group, one a width, and how their config axis runs."""

import functools
import time
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.sweep import cohort, fitting, processes, stages
from wfm_jax.sweep.compression import Choices
from wfm_jax.sweep.devices import Devices
from wfm_jax.sweep.fitting import Fitted
from wfm_jax.sweep.settings import SweepSettings
from wfm_jax.train.distill import Trainer
from wfm_jax.train.strategy import Strategy, at_once
from wfm_jax.train.student import Student


class Like(NamedTuple):
    """What the arrays of a group look like.

    Attributes:
        params: what one student starts from.
        teacher_params: the teacher's.
        choices: what P and Q are asked for.
    """

    params: Any
    teacher_params: Any
    choices: Choices


class Programs:
    """Chunks of training, compiled before there are students to train.

    Args:
        trainer: what is compiled, whatever its strategy.
        settings: chunk length and strategy.
        devices: that students are spread over.
        like: what students look like.

    Attributes:
        n_compiles: how often a program was compiled, those included that were only compared.
    """

    def __init__(self, trainer: Trainer, settings: SweepSettings, devices: Devices, like: Like):
        self._trainer, self._settings, self._devices, self._like = trainer, settings, devices, like
        self._of: dict[int, Future[Fitted]] = {}
        self.n_compiles = 0

    def of(self, width: int) -> Fitted:
        """The program of a width, compiled at the first call or :meth:`ahead` of it."""
        if width not in self._of:
            self._of[width] = Future()
            self._of[width].set_result(self._choose(width))
        return self._of[width].result()

    def is_ready(self, width: int) -> bool:
        """Whether :meth:`of` has nothing to wait for."""
        return width in self._of and self._of[width].done()

    def ahead(self, width: int, pool: Executor) -> None:
        """Begins to compile the program of a width, beside whatever else runs."""
        if width not in self._of:
            self._of[width] = pool.submit(self._choose, width)

    def _choose(self, width: int) -> Fitted:
        asked, own = self._settings.strategy, width // self._devices.n
        compile_for = functools.partial(self._compile, width)
        limit, on_cpu = fitting.memory_limit(), jax.default_backend() == "cpu"
        if asked != "auto" or on_cpu:
            usual = Fitted(compile_for(how := "map" if asked == "auto" else asked), how)
            fitting.check_fits(usual.compiled, own, at_once(how, own), limit)
            if asked != "auto":
                return usual
            others = [fitting.FEW]
        else:
            usual = fitting.largest_that_fits(compile_for, own, limit)
            others = [at_once(usual.strategy, own) // part for part in (2, 4)]
        if not self._settings.autotune:
            return usual
        compared = [Fitted(compile_for(n), n) for n in others if n > 1 and own % n == 0]
        candidates, seconds = [usual, *compared], functools.partial(self._seconds, width)
        best = processes.agree(lambda: candidates.index(fitting.fastest(usual, compared, seconds)))
        return candidates[best]

    def _compile(self, width: int, strategy: Strategy) -> Any:
        trainer = self._trainer._replace(strategy=strategy)

        def chunk(*args: Any) -> Student:
            self.n_compiles += 1  # runs when the program is traced
            return trainer.chunk(*args, n_steps=self._settings.chunk_steps)

        params, teacher_params, choices = self._like
        shapes = cohort.blueprint(params, width, choices, self._devices)
        key = jax.eval_shape(jax.random.key, 0)
        rest = (teacher_params, key, jax.ShapeDtypeStruct((), jnp.int32))
        run = jax.jit(self._devices.each(chunk, 2), donate_argnums=0)
        return run.lower(*shapes, *self._devices.copied_shapes(rest)).compile()

    def _seconds(self, width: int, compiled: Any) -> float:
        """Of a chunk of students that all train."""
        params, teacher_params, choices = self._like
        students = cohort.newborn([params] * width, np.arange(width), choices, self._devices)
        recipe = stages.resting_recipe()._replace(total_steps=np.int32(2**30))
        recipes = self._devices.spread(jax.tree.map(lambda x: np.stack([x] * width), recipe))
        rest = self._devices.copied((teacher_params, jax.random.key(0), np.int32(0)))
        args = jax.block_until_ready((students, recipes, *rest))
        began = time.perf_counter()
        jax.block_until_ready(compiled(*args))
        return time.perf_counter() - began
