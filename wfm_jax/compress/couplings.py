"""What must shrink together: the entries of several arrays that make up one unit.

A neuron is a column of one kernel, an entry of its bias and a row of the next kernel; a head is a
block of columns of three kernels and of rows of a fourth. Only the model knows, so the model states
it, as plain data: Fang et al., "DepGraph: towards any structural pruning", 2023 (arXiv 2301.12900),
find it out instead.

>>> neurons = Coupling(
...     "neurons", 4, (Part("up/kernel", 1, 1), Part("up/bias", 0, 1), Part("down/kernel", 0, 1))
... )
>>> params = {
...     "up": {"kernel": np.ones((3, 4)), "bias": np.ones(4)}, "down": {"kernel": np.ones((5, 2))}
... }
>>> check_couplings([neurons], params)
Traceback (most recent call last):
    ...
ValueError: coupling 'neurons' needs 4 x 1 entries on axis 0 of down/kernel, which is (5, 2)
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from wfm_jax.compress.paths import flatten


class Part(NamedTuple):
    """The entries of one array that belong to the units of a coupling.

    Attributes:
      path: name of the array, as given by `wfm_jax.compress.flatten`.
      axis: the axis that gets shorter when units go, counted from 0.
      block: consecutive entries along ``axis`` that belong to one unit; unit ``i`` has those from
        ``i * block``.
    """

    path: str
    axis: int
    block: int


class Coupling(NamedTuple):
    """Units that each stay or go as a whole.

    Invariant, which the model vouches for: where all parts of a unit are zero, the model computes
    what it would without the unit.

    Attributes:
      name: of these units, ``block_0/heads``; unique.
      size: number of units.
      parts: where they lie. Every array is as long as ``size * block`` on the axis.
      kind: couplings of one kind compete with each other where a ranking is global.
      least: number of units that always stay. 0 where the model can do without any of them, as
        with a whole branch that includes its last bias.
    """

    name: str
    size: int
    parts: tuple[Part, ...]
    kind: str = "units"
    least: int = 1


def check_couplings(couplings: Iterable[Coupling], params: Any) -> dict[str, Any]:
    """Checks that couplings are consistent, and those of these parameters.

    An axis belongs to one coupling. Couplings of a single unit (a whole branch) may lie over
    others: they take all of an axis or nothing.

    Args:
      couplings: what shrinks together.
      params: any pytree; only shapes are read.

    Returns:
      The leaves that couplings name, by path name, in the tree's own order.

    Raises:
      ValueError: for a path that ``params`` lacks, an axis that does not hold the units, an axis
        that two couplings claim, two couplings of one name, or a coupling without kernels.
    """
    flat, couplings = flatten(params), tuple(couplings)
    claimed: dict[tuple[str, int], str] = {}
    names = Counter(coupling.name for coupling in couplings)
    for name, size, parts, _, least in couplings:
        if names[name] > 1:
            raise ValueError(f"two couplings have the name {name!r}")
        if size < 1 or not 0 <= least <= size:
            raise ValueError(f"coupling {name!r} of size {size} cannot keep at least {least} units")
        for path, axis, block in parts:
            if path not in flat:
                raise ValueError(f"coupling {name!r} names {path}, which params lack")
            shape = np.shape(flat[path])
            if not 0 <= axis < len(shape) or block < 1 or shape[axis] != size * block:
                raise ValueError(
                    f"coupling {name!r} needs {size} x {block} entries on axis {axis} of {path}, "
                    f"which is {shape}"
                )
            if size > 1 and (owner := claimed.setdefault((path, axis), name)) != name:
                raise ValueError(f"axis {axis} of {path} is claimed by both {owner!r} and {name!r}")
        if len({(path, axis) for path, axis, _ in parts}) < len(parts):
            raise ValueError(f"coupling {name!r} claims an axis twice")
        if not any(len(np.shape(flat[path])) > 1 for path, _, _ in parts):
            raise ValueError(f"coupling {name!r} has no kernel among its parts")
    coupled = {part.path for coupling in couplings for part in coupling.parts}
    return {path: leaf for path, leaf in flat.items() if path in coupled}


def axis_masks(
    units: Mapping[str, Any], couplings: Iterable[Coupling]
) -> dict[str, dict[int, Any]]:
    """Spreads masks over units to masks over entries: path name -> axis -> boolean vector.

    Args:
      units: coupling name -> boolean vector, ``True`` where the unit stays; NumPy's or JAX's.
      couplings: what the masks are for.
    """
    axes: dict[str, dict[int, Any]] = {}
    for coupling in couplings:
        for path, axis, block in coupling.parts:
            mask = units[coupling.name].repeat(block)
            of_leaf = axes.setdefault(path, {})
            of_leaf[axis] = of_leaf[axis] & mask if axis in of_leaf else mask
    return axes
