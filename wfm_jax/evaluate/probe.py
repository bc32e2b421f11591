"""How fast this machine runs a model, from a few seconds of it: what estimates are made of.

One program is compiled and timed, the model's forward pass. All else is counted in it: a step of
training as three forward passes (the backward pass takes two), and a program that trains or scores
as so many compilations of a forward pass.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from wfm_jax.evaluate.cost import flops
from wfm_jax.evaluate.products import frame_products
from wfm_jax.model import Forward, ModelConfig, build, sample_batch
from wfm_jax.results.plan import Fact, about

STEP_PASSES = 3.0
"""Forward passes that a frame of a training step counts as."""
SCORE_PASSES = 2.0
"""And a frame that is scored: the model told its modulation, and not."""
TRAINING_COMPILES, SCORING_COMPILES = 7.5, 3.0
"""How many times as long as of a forward pass compiling takes: of a program that trains on frames
it draws, and of one that scores. Both are what XLA's log says of the smoke preset."""
_RUNS = 10
_ACCELERATOR_FRAMES = 2048


class Pace(NamedTuple):
    """What was measured on this machine.

    Attributes:
        compile_s: seconds to trace and compile a forward pass.
        pass_s: seconds of a forward pass of one frame, in a batch.
        flops_per_s: of its matrix products.
        n_frames: of the batch.
    """

    compile_s: float
    pass_s: float
    flops_per_s: float
    n_frames: int


class Load(NamedTuple):
    """Work, in what a :class:`Pace` times.

    Attributes:
        passes: forward passes of a frame.
        compiles: compilations of a forward pass.
    """

    passes: float = 0.0
    compiles: float = 0.0

    def plus(self, other: "Load") -> "Load":
        """Both."""
        return Load(self.passes + other.passes, self.compiles + other.compiles)

    def seconds(self, pace: Pace) -> float:
        """How long it should take."""
        return self.passes * pace.pass_s + self.compiles * pace.compile_s


def training(n_steps: float, batch_size: int) -> Load:
    """The load of a training of all weights, compiled once."""
    return Load(STEP_PASSES * n_steps * batch_size, TRAINING_COMPILES)


def measure_pace(config: ModelConfig, batch_size: int) -> Pace:
    """Times a model on this machine, on frames of ones: some seconds, most of them compiling.

    Args:
        config: the model.
        batch_size: frames of a batch; on an accelerator, where many are needed to fill it, 2048.
    """
    n_frames = batch_size if jax.default_backend() == "cpu" else _ACCELERATOR_FRAMES
    apply, shapes = outline(config)
    batch = jax.eval_shape(
        lambda key: sample_batch(config, key=key, batch_size=n_frames), jax.random.key(0)
    )
    params, inputs = jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), (shapes, batch.inputs))
    compile_s, batch_s = time_program(apply, params, inputs)
    pass_s = batch_s / n_frames
    return Pace(compile_s, pass_s, flops(frame_products(config, apply, shapes)) / pass_s, n_frames)


def time_program(function: Callable[..., Any], *args: Any) -> tuple[float, float]:
    """Seconds to trace and compile a function, and of a call: the median of ten."""
    began = time.perf_counter()
    program = jax.jit(function).lower(*args).compile()
    compile_s, times = time.perf_counter() - began, []
    for _ in range(1 + _RUNS):
        began = time.perf_counter()
        jax.block_until_ready(program(*args))
        times.append(time.perf_counter() - began)
    return compile_s, sorted(times[1:])[_RUNS // 2]


def outline(config: ModelConfig) -> tuple[Forward, Any]:
    """A model's forward pass and the shapes of its parameters, without any array."""
    caught = []

    def parameters() -> Any:
        apply, params = build(config, jax.random.key(0))
        caught.append(apply)
        return params

    shapes = jax.eval_shape(parameters)
    return caught[0], shapes


def flops_of(config: ModelConfig) -> float:
    """Of a frame's forward pass."""
    return flops(frame_products(config, *outline(config)))


def time_fact(load: Load, pace: Pace, *, at_most: bool = False) -> Fact:
    """The time that a load should take, and what that estimate is made of."""
    words = about(load.seconds(pace))
    return Fact("time", f"at most {words}" if at_most else words, time_basis(load, pace))


def time_basis(load: Load, pace: Pace) -> str:
    """How a load's time is estimated, in words."""
    compiling = about(load.compiles * pace.compile_s)
    return (
        f"an estimate: {compiling} of it compiling, less with a warm --compile_cache; the rest "
        f"counted in forward passes, timed here: {1e3 * pace.n_frames * pace.pass_s:.2g} ms for "
        f"{pace.n_frames} frames, {pace.flops_per_s / 1e9:.2g} GFLOP/s"
    )


def bytes_of(shapes: Any) -> int:
    """What arrays of these shapes take."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
