"""What a problem does not provide is refused before anything runs, in one line."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from wfm_jax import compress
from wfm_jax.sweep import compression
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.own import Format, by_name
from wfm_jax.train.problem import Problem

ROUNDING = 1e-6


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
    for name, own in by_name(c.quant_format for c in configurations).items():
        if isinstance(own, Format):
            _check_format(name, own, problem)
    structures = {c.structure for c in configurations if "P" in c.stages}
    roundings = {c.rounding for c in configurations if "Q" in c.stages}
    for path, kernel in compress.select(problem.params, problem.prunable).items():
        _check_kernel(path, tuple(np.shape(kernel)), structures, roundings)


def _check_format(name: str, own: Format, problem: Problem) -> None:
    """Whether snapping keeps what it must, tried on the first kernel with a row of zeros."""
    path, kernel = next(iter(compress.select(problem.params, problem.prunable).items()))
    try:
        kernel = jnp.asarray(kernel).at[0].set(0.0)
        grid = own.fit(kernel)
        snapped = own.snap(kernel, grid)
        again = own.snap(snapped, grid)
        stored = own.stored and own.stored(grid).checked(kernel.shape)
    except Exception as error:
        line = str(error).strip().split("\n", 1)[0]
        raise ValueError(f"quant_format {name} fails on {path}: {line}") from error
    if snapped.shape != kernel.shape or snapped.dtype != kernel.dtype:
        raise ValueError(
            f"quant_format {name}: snap must give {kernel.dtype}{list(kernel.shape)}, got "
            f"{snapped.dtype}{list(snapped.shape)}"
        )
    if np.any(snapped[0]):
        raise ValueError(f"quant_format {name}: snap must leave zeros zero, or masks do not hold")
    if not np.allclose(again, snapped, rtol=ROUNDING, atol=0.0):
        raise ValueError(f"quant_format {name}: snap must leave what it snapped where it is")
    if stored is not None:
        weights = stored.weights(stored.codes(np.asarray(snapped)))
        if not np.allclose(weights, snapped, rtol=ROUNDING, atol=0.0):
            raise ValueError(f"quant_format {name}: its weights are not on the grid of stored")


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


def _check_kernel(
    path: str, shape: tuple[int, ...], structures: set[str], roundings: set[str]
) -> None:
    if len(shape) < 2:
        raise ValueError(f"prunable must match leaves of two axes or more, got {path} of {shape}")
    if compression.TWO_OF_FOUR in structures:
        compress.NM(2, 4).check(shape, path)
    if compression.BLOCKS in structures:
        compress.Blocks(4, 4).units(shape, path)
    if len(shape) != 2 and (others := sorted(roundings - {"nearest"})):
        raise ValueError(
            f"rounding must be nearest for kernels of {len(shape)} axes such as {path}, "
            f"got {', '.join(others)}"
        )
