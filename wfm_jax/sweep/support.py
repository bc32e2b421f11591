"""What a problem does not provide is refused before anything runs, in one line."""

from collections.abc import Sequence

import numpy as np

from wfm_jax import compress
from wfm_jax.sweep import compression
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.train.problem import Problem


def check(configurations: Sequence[Configuration], problem: Problem) -> None:
    """Whether a problem provides what configurations ask for.

    Args:
        configurations: of one student.
        problem: the student's.

    Raises:
        ValueError: it does not; names the setting, and what the problem lacks.
    """
    if problem.fresh is None and any(c.init == "scratch" for c in configurations):
        raise ValueError("init must be teacher for a problem without fresh, got 'scratch'")
    if problem.inside is None:
        for configuration in configurations:
            _check_without_inside(configuration)
    for path, kernel in compress.select(problem.params, problem.prunable).items():
        for configuration in configurations:
            _check_kernel(configuration, path, tuple(np.shape(kernel)))


def _check_without_inside(configuration: Configuration) -> None:
    asked, why = configuration, "for a model whose inside is not known"
    if asked.rebuilding or asked.shrinks_last:
        raise ValueError(f"pipeline must have no S and no L {why}, got {asked.pipeline!r}")
    if "P" in asked.stages and asked.structure in compression.UNITS:
        raise ValueError(f"structure must have no heads and neurons {why}, got {asked.structure!r}")
    if asked.quantizes_activations:
        raise ValueError(f"act_bits must be 16 or 32 {why}, got {asked.act_bits:g}")
    if "KD" in asked.stages and any(asked.hidden_weights):
        raise ValueError(f"weights of hidden layers must be 0 {why}, got {asked.hidden_weights}")


def _check_kernel(configuration: Configuration, path: str, shape: tuple[int, ...]) -> None:
    asked = configuration
    if len(shape) < 2:
        raise ValueError(f"prunable must match leaves of two axes or more, got {path} of {shape}")
    if "P" in asked.stages:
        if asked.structure == compression.TWO_OF_FOUR:
            compress.NM(2, 4).check(shape, path)
        if asked.structure == compression.BLOCKS:
            compress.Blocks(4, 4).units(shape, path)
    if "Q" in asked.stages and asked.rounding != "nearest" and len(shape) != 2:
        raise ValueError(
            f"rounding must be nearest for kernels of {len(shape)} axes such as {path}, "
            f"got {asked.rounding!r}"
        )
