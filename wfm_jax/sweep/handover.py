"""What a finished configuration hands over: the weights a deployment holds, and their form."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from wfm_jax import compress
from wfm_jax.export.grids import NF4, Affine, Uniform
from wfm_jax.export.grids import Grid as StoredGrid
from wfm_jax.sweep.compression import Choices, Compression, Grid, in_force
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.train.student import Student


class Deployed(NamedTuple):
    """What a deployment holds of one configuration, on the host.

    Attributes:
        params: the weights that its forward pass sees.
        keep: masks by path name.
        grids: how kernels and tables are stored, by path name.
        half: whether everything else is stored in float16.
        diverged_at: the step it diverged at, -1 if it did not.
    """

    params: Any
    keep: Mapping[str, Any]
    grids: Mapping[str, StoredGrid]
    half: bool
    diverged_at: int


class Everybody(NamedTuple):
    """The same of all configurations of a cohort, stacked, every one with all grids."""

    params: Any
    compression: Compression
    diverged_at: Any


@functools.partial(jax.jit, static_argnames="choices")
def everybody(students: Student, *, choices: Choices) -> Everybody:
    """The students as they would be handed over."""
    state = students.compression
    params = jax.vmap(in_force(choices).apply)(students.params, state)
    return Everybody(params, state, students.diverged_at)


def one_of(stacked: Everybody, i: int, configuration: Configuration, choices: Choices) -> Deployed:
    """One configuration's own.

    Args:
        stacked: of a cohort, on the host.
        i: its place in the cohort.
        configuration: the configuration.
        choices: of its group.
    """
    params, state, diverged_at = jax.tree.map(lambda leaf: leaf[i], stacked)
    index = choices.grids.index(configuration.grid)
    kernels = _stored(choices.grids[index], state.grids[index])
    tables = _stored(Grid(), state.tables)
    return Deployed(
        params, state.prune.keep, {**kernels, **tables}, bool(state.vectors.on), int(diverged_at)
    )


def _stored(grid: Grid, state: Any) -> dict[str, StoredGrid]:
    """The grids in force as a packed file has them."""
    match state:
        case compress.NF4State(on, absmax):
            return {path: NF4(of) for path, of in absmax.items()} if bool(on) else {}
        case compress.AffineState():
            return {
                path: Affine(state.bits[path], scale, state.zero_point[path])
                for path, scale in state.scale.items()
            }
        case compress.AWQState():
            return {
                path: Uniform(state.bits[path], scale, state.inputs[path])
                for path, scale in state.scale.items()
            }
        case _:
            return {p: Uniform(state.bits[p], scale) for p, scale in state.scale.items()}
