"""Ranges of a finished configuration's activations: calibrated on what it has become."""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from wfm_jax import compress
from wfm_jax.model import (
    Forward,
    Inputs,
    ModelConfig,
    Ranges,
    activation_points,
    calibrate_activations,
    quantizing_dynamically,
)
from wfm_jax.sweep.group import calibration_batches
from wfm_jax.train.model_files import Teacher
from wfm_jax.train.wireless import wireless

BATCHES, BATCH_SIZE = 8, 64


def make_calibrator(config: ModelConfig, apply: Forward) -> Callable[[Any, ArrayLike], Ranges]:
    """A compiled ``calibrate(params, act_bits) -> ranges``.

    Of least squared error over 512 frames, a point's with those before it quantized already.

    Args:
        config: the model.
        apply: its forward pass.
    """
    points = activation_points(config)

    @jax.jit
    def program(params: Any, act_bits: jax.Array, inputs: Inputs) -> Ranges:
        rule = functools.partial(compress.mse_range, bits=act_bits)
        at = quantizing_dynamically(points, act_bits)
        return calibrate_activations(apply, params, inputs, points, rule, at=at)

    @functools.cache
    def inputs() -> Inputs:
        problem = wireless(Teacher(config, None, ""), batch_size=BATCH_SIZE)
        found = [inputs for inputs, _ in itertools.islice(calibration_batches(problem), BATCHES)]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)

    return lambda params, act_bits: program(params, jnp.float32(act_bits), inputs())
