"""What is removed together within one kernel: single weights, blocks, rows, columns, n of m.

A structure is a type. All but `NM` cut a kernel into *units* that stay or go as a whole, and so
only say of what shape an array with one entry per unit is: `pool` makes the scores of units from
those of weights, and `wfm_jax.compress.blocks.spread` makes masks of weights from those of units.
`NM` ranks the weights of each group against each other.

Kernels are ``[..., in, out]``. Units are a structure of the mask alone: a kernel keeps its shape
(what makes it smaller is coupled over several kernels and their biases).

The 2:4 pattern: Mishra et al., "Accelerating sparse deep neural networks", 2021 (arXiv 2104.08378).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from wfm_jax.compress.blocks import reduce_blocks
from wfm_jax.compress.masks import keep_largest_along
from wfm_jax.compress.uniform import as_float


@dataclass(frozen=True)
class Unstructured:
    """Every weight is a unit of its own; leaves of any shape."""

    def units(self, shape: tuple[int, ...], path: str = "weights") -> tuple[int, ...]:
        """Returns ``shape``."""
        del path
        return shape


@dataclass(frozen=True)
class Blocks:
    """Rectangles of ``rows`` consecutive inputs times ``columns`` consecutive outputs.

    Attributes:
      rows: length along the input axis; must divide it.
      columns: length along the output axis; must divide it.
    """

    rows: int
    columns: int

    def __post_init__(self):
        if self.rows < 1 or self.columns < 1:
            raise ValueError(f"rows and columns of blocks must be at least 1, got {self}")

    def units(self, shape: tuple[int, ...], path: str = "weights") -> tuple[int, ...]:
        """Returns ``[..., in / rows, out / columns]``.

        Raises:
          ValueError: for leaves that are no kernels, or that the blocks do not divide.
        """
        *leading, n_in, n_out = _kernel_shape(self, shape, path)
        if n_in % self.rows or n_out % self.columns:
            raise ValueError(f"{self} does not divide {path} of shape {shape}")
        return (*leading, n_in // self.rows, n_out // self.columns)


@dataclass(frozen=True)
class Inputs:
    """Whole rows: all weights that read one input."""

    def units(self, shape: tuple[int, ...], path: str = "weights") -> tuple[int, ...]:
        """Returns ``[1, ..., in, 1]``.

        Raises:
          ValueError: for leaves that are no kernels.
        """
        *leading, n_in, _ = _kernel_shape(self, shape, path)
        return (*(1 for _ in leading), n_in, 1)


@dataclass(frozen=True)
class Outputs:
    """Whole columns: all weights that make one output."""

    def units(self, shape: tuple[int, ...], path: str = "weights") -> tuple[int, ...]:
        """Returns ``[1, ..., 1, out]``.

        Raises:
          ValueError: for leaves that are no kernels.
        """
        *others, n_out = _kernel_shape(self, shape, path)
        return (*(1 for _ in others), n_out)


@dataclass(frozen=True)
class NM:
    """Of every ``m`` consecutive inputs of an output, ``n`` stay: ``NM(2, 4)`` is 2:4 sparsity.

    Attributes:
      n: how many stay, 1 to m.
      m: length of a group; must divide the input axis.
    """

    n: int
    m: int

    def __post_init__(self):
        if not 1 <= self.n <= self.m:
            raise ValueError(f"n must be 1 to m, got {self}")

    @property
    def sparsity(self) -> float:
        """The fraction that goes, 1 - n / m."""
        return 1 - self.n / self.m

    def check(self, shape: tuple[int, ...], path: str = "weights") -> None:
        """Raises ValueError for leaves that are no kernels, or inputs that are no multiple of m."""
        if _kernel_shape(self, shape, path)[-2] % self.m:
            raise ValueError(
                f"{self} does not divide the {shape[-2]} inputs of {path} of shape {shape}"
            )

    def keep_mask(self, scores: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
        """Returns the mask that keeps the ``n`` largest scores of every group.

        Args:
          scores: ``[..., in, out]``; larger means more worth keeping. NaN counts as the largest.
          key: breaks ties at random; without it, of equal scores those that come first go first.

        Returns:
          Boolean array of the shape of ``scores``.

        Raises:
          ValueError: for scores that are no kernel's, or inputs that are no multiple of m.
        """
        self.check(scores.shape)
        *leading, n_in, n_out = scores.shape
        groups = scores.reshape(*leading, n_in // self.m, self.m, n_out)
        keep = keep_largest_along(groups, self.m - self.n, -2, key=key)
        return keep.reshape(scores.shape)


Units = Unstructured | Blocks | Inputs | Outputs
"""Structures that cut a kernel into units."""
Structure = Units | NM
"""What is removed together."""


def pool(scores: jax.Array, keep: jax.Array, units: tuple[int, ...]) -> jax.Array:
    """Returns the scores of units: the mean over their weights.

    The mean, so that units of different sizes compare. A weight removed before counts as zero, and
    a unit without any weight left ranks below all others.

    Args:
      scores: scores of the weights, not negative unless every unit is one weight.
      keep: boolean of the same shape, the mask in force.
      units: shape of an array of units, as given by a structure's ``units(shape)``.

    Returns:
      Array of shape ``units``; minus infinity where nothing is left.
    """
    if units == scores.shape:
        return jnp.where(keep, scores, -jnp.inf)
    mean = reduce_blocks(jnp.mean, jnp.where(keep, as_float(scores), 0), units)
    return jnp.where(reduce_blocks(jnp.any, keep, units), mean, -jnp.inf)


def _kernel_shape(structure, shape: tuple[int, ...], path: str) -> tuple[int, ...]:
    if len(shape) < 2:
        raise ValueError(
            f"{structure} needs kernels [..., in, out], and {path} has shape {shape}: restrict it "
            "with matching"
        )
    return shape
