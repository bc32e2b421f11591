"""What enters each kernel, found without asking any layer library.

A forward pass is traced to its jaxpr and evaluated equation by equation, while every kernel is
followed from the arguments to the matrix products. What is followed is the place in the kernel of
each of its entries, so that reshapes and transposes need no rules of their own.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Var

from wfm_jax.compress.paths import flatten

_SAME_ORDER = ("reshape", "squeeze", "expand_dims", "convert_element_type", "copy")
_CALLS = (
    "jit",
    "pjit",
    "closed_call",
    "core_call",
    "custom_jvp_call",
    "custom_vjp_call",
    "custom_vjp_call_jaxpr",
    "checkpoint",
    "remat",
    "remat2",
)


class _Kernel(NamedTuple):
    """A variable that holds a kernel; ``place`` says where in the kernel each entry is."""

    path: str
    place: np.ndarray


class _Found:
    """Activations by path, and the paths that are multiplied in a way that has no inputs."""

    def __init__(self):
        self.rows: dict[str, list[jax.Array]] = {}
        self.odd: set[str] = set()


def entering(
    apply: Callable[[Any, Any], Any], params: Any, inputs: Any, paths: set[str]
) -> dict[str, list[jax.Array]]:
    """Returns the activations that are multiplied by each kernel in ``apply(params, inputs)``.

    Args:
      apply: ``(params, inputs) -> anything``, traceable.
      params, inputs: any pytrees of arrays; may themselves be traced.
      paths: names of the leaves to follow, see `wfm_jax.compress.flatten`.

    Returns:
      By path name, one array ``[rows, in]`` for each use: ``in`` runs over the kernel's leading
      axes, those that are summed over. Kernels that are not used, or (also) in another way, are
      absent.

    Raises:
      NotImplementedError: for a kernel that enters a loop, a branch or a program that cannot be
        looked into.
    """
    closed = jax.make_jaxpr(apply)(params, inputs)
    leaves = jax.tree.leaves((params, inputs))
    kernels: list[_Kernel | None] = [None] * len(leaves)
    for i, (path, leaf) in enumerate(flatten(params).items()):
        if path in paths:
            kernels[i] = _Kernel(path, np.arange(leaf.size).reshape(leaf.shape))
    found = _Found()
    _evaluate(closed, leaves, kernels, found)
    return {path: rows for path, rows in found.rows.items() if path not in found.odd}


def _evaluate(
    closed: ClosedJaxpr, values: Sequence[Any], kernels: Sequence[_Kernel | None], found: _Found
) -> tuple[list[Any], list[_Kernel | None]]:
    """Evaluates a program, given which arguments are kernels; returns the same of its results."""
    jaxpr = closed.jaxpr
    value_of = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    value_of |= dict(zip(jaxpr.invars, values, strict=True))
    kernel_of = dict(zip(jaxpr.invars, kernels, strict=True))

    def read(atom):
        return atom.val if isinstance(atom, Literal) else value_of[atom]

    def followed(atom):
        return kernel_of.get(atom) if isinstance(atom, Var) else None

    for equation in jaxpr.eqns:
        taken = [read(atom) for atom in equation.invars]
        named = [followed(atom) for atom in equation.invars]
        name = equation.primitive.name
        inner = _programs(equation)
        if name in _CALLS and len(inner) == 1 and len(inner[0].jaxpr.invars) == len(taken):
            given, passed_on = _evaluate(inner[0], taken, named, found)
        else:
            if inner and any(named):
                path = next(kernel.path for kernel in named if kernel is not None)
                raise NotImplementedError(
                    f"cannot see what multiplies {path!r} inside {name}: write loops over layers "
                    "out, or leave the kernel out with pattern="
                )
            given = equation.primitive.bind(*taken, **equation.params)
            given = given if equation.primitive.multiple_results else [given]
            passed_on = [_moved(equation, named)] + [None] * (len(given) - 1)
        if name == "dot_general":
            _record(equation, taken, named, found)
        value_of |= dict(zip(equation.outvars, given, strict=True))
        kernel_of |= dict(zip(equation.outvars, passed_on, strict=True))
    return [read(atom) for atom in jaxpr.outvars], [followed(atom) for atom in jaxpr.outvars]


def _programs(equation: Any) -> list[ClosedJaxpr]:
    """The programs that an equation runs."""
    programs = []
    for value in equation.params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, Jaxpr):
                programs.append(ClosedJaxpr(item, ()))
            elif isinstance(item, ClosedJaxpr):
                programs.append(item)
    return programs


def _moved(equation: Any, named: list[_Kernel | None]) -> _Kernel | None:
    """The kernel that an equation only moves around, if it does."""
    kernel = named[0] if len(named) == 1 else None
    if kernel is None:
        return None
    name, shape = equation.primitive.name, equation.outvars[0].aval.shape
    if name == "transpose":
        return kernel._replace(place=kernel.place.transpose(equation.params["permutation"]))
    same_size = math.prod(shape) == kernel.place.size
    if name in _SAME_ORDER or (name == "broadcast_in_dim" and same_size):
        return kernel._replace(place=kernel.place.reshape(shape))
    return None


def _record(equation: Any, taken: list[Any], named: list[_Kernel | None], found: _Found) -> None:
    """Notes the activations of a matrix product of activations by a kernel."""
    contracted, batched = equation.params["dimension_numbers"]
    for side in (0, 1):
        kernel, x = named[side], taken[1 - side]
        if kernel is None or named[1 - side] is not None:
            continue
        order = None if batched[side] else _input_order(kernel.place, contracted[side])
        if order is None:
            found.odd.add(kernel.path)
            continue
        axes = contracted[1 - side]
        rows = jnp.moveaxis(x, axes, range(-len(axes), 0)).reshape(-1, len(order))
        in_order = (order == np.arange(len(order))).all()
        rows = rows if in_order else rows[:, np.argsort(order)]
        found.rows.setdefault(kernel.path, []).append(rows)


def _input_order(place: np.ndarray, contracted: Sequence[int]) -> np.ndarray | None:
    """Which input of the kernel each contracted entry is, None if they are not its inputs."""
    table = np.moveaxis(place, contracted, range(len(contracted)))
    table = table.reshape(math.prod(table.shape[: len(contracted)]), -1)
    if not len(contracted) or not table.size:
        return None
    inputs = table // table.shape[1]
    return inputs[:, 0] if (inputs == inputs[:, :1]).all() else None
