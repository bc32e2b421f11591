"""Mixed precision under a budget of bytes: which bits each tensor should have.

One level is chosen for each tensor, so that the damages add up to the least while the bytes stay
within the budget: an integer program, solved exactly. That damages add up is an assumption; measure
the configuration that comes out.

Dong et al., "HAWQ-V2: Hessian aware trace-weighted quantization of neural networks", 2019
(arXiv 1911.03852), for choosing by the least sum under a budget.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Allocation(NamedTuple):
    """What was chosen.

    Attributes:
      choice: int64 ``[n_tensors]``, index of each tensor's level.
      damage: sum of the damages.
      size_bytes: sum of the bytes.
    """

    choice: np.ndarray
    damage: float
    size_bytes: int


def allocate(damages: ArrayLike, sizes: ArrayLike, budget_bytes: int) -> Allocation:
    """Returns the choice of levels with the least sum of damages within a budget; on the host.

    >>> damages = [[9.0, 1.0], [2.0, 1.0]]  # of two tensors at 2 and at 4 bits
    >>> allocate(damages, [[10, 20], [10, 20]], budget_bytes=30)
    Allocation(choice=array([1, 0]), damage=3.0, size_bytes=30)

    Args:
      damages: ``[n_tensors, n_levels]``, finite; in any unit, may be negative.
      sizes: int ``[n_tensors, n_levels]``, bytes of each tensor at each level.
      budget_bytes: what the bytes may add up to.

    Raises:
      ValueError: if no choice fits (the message states the smallest that would), for arrays of
        different shapes, damages that are not finite, negative or broken bytes.
      RuntimeError: if the solver gives up.
    """
    damages, sizes = np.asarray(damages, np.float64), np.asarray(sizes)
    if damages.ndim != 2 or damages.shape != sizes.shape or damages.size == 0:
        raise ValueError(
            "damages and sizes must be [n_tensors, n_levels] alike, got "
            f"{list(damages.shape)} and {list(sizes.shape)}"
        )
    if not np.all(np.isfinite(damages)):
        raise ValueError("damages holds what is not finite")
    if np.any(sizes < 0) or np.any(sizes != np.round(sizes)):
        raise ValueError("sizes must be whole bytes")
    sizes = sizes.astype(np.int64)
    if (least := int(sizes.min(axis=1).sum())) > budget_bytes:
        raise ValueError(f"no choice fits into {budget_bytes} bytes: the smallest takes {least}")
    choice = _solve(damages, sizes, budget_bytes)
    tensor = np.arange(len(damages))
    chosen = Allocation(
        choice, float(damages[tensor, choice].sum()), int(sizes[tensor, choice].sum())
    )
    if chosen.size_bytes > budget_bytes:
        raise RuntimeError(f"the solver's choice takes {chosen.size_bytes} of {budget_bytes} bytes")
    return chosen


def quantized_bytes(shape: Sequence[int], bits: float, *, group_size: int | None = None) -> int:
    """Returns what a tensor weighs: integers packed bit by bit, and a float32 scale a group.

    Args:
      shape: of the kernel, ``[..., in, out]``.
      bits: 2 to 8; or 16 and more, which are stored as they are, without scales.
      group_size: inputs that share a scale, ``None`` for all.

    Returns:
      Bytes of its values and scales, as `quantize` makes them, before any entropy code: what a
      packed file takes at most.
    """
    values = math.ceil(math.prod(shape) * bits / 8)
    if bits >= 16:
        return values
    groups = 1 if group_size is None else shape[-2] // group_size
    return values + 4 * groups * shape[-1]


def _solve(damages: np.ndarray, sizes: np.ndarray, budget_bytes: int) -> np.ndarray:
    """The integer program: a variable for each tensor and level, one of each tensor's is 1."""
    from scipy.optimize import Bounds, LinearConstraint, milp  # takes a while to import
    from scipy.sparse import csr_array

    n_tensors, n_levels = damages.shape
    gain = damages - damages.min(axis=1, keepdims=True)
    cost = gain.ravel() / max(gain.max(), np.finfo(np.float64).tiny)
    one_each = csr_array(np.kron(np.eye(n_tensors), np.ones(n_levels)))
    found = milp(
        cost,
        integrality=np.ones(damages.size),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(one_each, 1, 1),
            LinearConstraint(sizes.reshape(1, -1).astype(np.float64), -np.inf, budget_bytes),
        ],
        options={"mip_rel_gap": 0.0},
    )
    if found.x is None:
        raise RuntimeError(f"the integer program was not solved: {found.message}")
    return found.x.reshape(n_tensors, n_levels).argmax(axis=1)
