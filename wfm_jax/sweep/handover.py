"""What a finished configuration hands over: the weights a deployment holds, and their form."""

import functools
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from wfm_jax import compress
from wfm_jax.evaluate.cost import Stored
from wfm_jax.export.grids import NF4, Affine, Uniform
from wfm_jax.export.grids import Grid as StoredGrid
from wfm_jax.sweep.compression import Choices, Compression, in_force
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.own import Format
from wfm_jax.train.student import Student

ROUNDING = 1e-6


class Deployed(NamedTuple):
    """What a deployment holds of one configuration, on the host.

    Attributes:
        params: the weights that its forward pass sees.
        keep: masks by path name.
        grids: how kernels and tables are stored, by path name.
        half: whether everything else is stored in float16, or the names of what is.
        diverged_at: the step it diverged at, -1 if it did not.
    """

    params: Any
    keep: Mapping[str, Any]
    grids: Mapping[str, StoredGrid]
    half: bool | Collection[str]
    diverged_at: int


def stored_form(deployed: Deployed) -> Stored:
    """How one configuration is packed; float32 where nothing says otherwise."""
    return Stored(by_path(deployed.params), deployed.keep, deployed.grids, deployed.half)


def by_path(params: Any) -> dict[str, np.ndarray]:
    """Parameters by path name, as NumPy arrays."""
    return {path: np.asarray(leaf) for path, leaf in compress.flatten(params).items()}


def mean_bits(stored: Stored) -> float:
    """Bits of a kernel's or a table's weight, mean over all of them; 32 where there is no grid."""
    grids, sizes, bits = stored.grids or {}, [], []
    for path, weights in stored.params.items():
        if np.ndim(weights) >= 2:
            sizes.append(np.size(weights))
            bits.append(float(grids[path].bits) if path in grids else 32.0)
    return float(np.average(bits, weights=sizes))


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
    kind = choices.grids[index].kind
    grids = _stored(state.grids[index], kind) | _stored(state.tables) | _stored(state.vectors)
    half = bool(state.vectors.bits == compress.HALF_BITS)
    # Of a format that does not say how to write its kernels they stay in float32.
    whole = choices.kernels if isinstance(kind, Format) and kind.stored is None else ()
    if diverged_at < 0:
        flat = {
            path: _on_grid(path, np.asarray(w), grids.get(path), half and path not in whole)
            for path, w in compress.flatten(params).items()
        }
        params = compress.unflatten(params, flat)
    names = {*choices.tables, *choices.vectors} if half and whole else half
    return Deployed(params, state.prune.keep, grids, names, int(diverged_at))


def _on_grid(path: str, weights: np.ndarray, grid: StoredGrid | None, half: bool) -> np.ndarray:
    """The weights as a reader of the file gets them: a device may round its products otherwise."""
    if grid is None:
        exact = weights.astype(np.float16).astype(np.float32) if half else weights
    else:
        on = grid.checked(weights.shape)
        exact = on.weights(on.codes(weights))
    if not np.allclose(exact, weights, rtol=ROUNDING, atol=ROUNDING * np.abs(weights).max()):
        raise ValueError(f"{path}: what is in force is not on the grid that is stored")
    return exact


def _stored(state: Any, kind: str | Format = "") -> dict[str, StoredGrid]:
    """The grids in force as a packed file has them."""
    match state:
        case compress.SnapState(on, fitted):
            assert isinstance(kind, Format)
            stored = kind.stored
            return {p: stored(of) for p, of in fitted.items()} if stored and bool(on) else {}
        case compress.NF4State(on, absmax):
            return {path: NF4(of) for path, of in absmax.items()} if bool(on) else {}
        case compress.VectorState(scale, bits):
            return {p: Uniform(bits, s) for p, s in scale.items()} if bits <= 8 else {}
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
