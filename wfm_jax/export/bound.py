"""What entropy allows: the bits of mask and values if every weight were coded by itself.

The zeroth-order entropy of a tensor's integers, that of zero or not and that of the values that are
not zero, each at its own frequencies. A file may lie below it, as it knows which weights share a
scale, and above, as a reader has to be told the frequencies: for a vector of 64 different values
the bound is 6 bits each, and the list of the values free. Scales, header and shapes are not in it.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from wfm_jax.export.entropy import entropy_bits
from wfm_jax.export.grids import Float
from wfm_jax.export.tensors import PackedTensor, encode_values


class EntropyBound(NamedTuple):
    """Bytes, in fractions.

    Attributes:
      mask: n times the entropy of zero or not.
      values: of those that are not zero, their number times the entropy of their integers; in
        floating point their number times 16 or 32 bits.
    """

    mask: float
    values: float

    @property
    def total(self) -> float:
        """Masks and values together."""
        return self.mask + self.values


def entropy_bound(tensors: Mapping[str, PackedTensor]) -> dict[str, EntropyBound]:
    """The bound of each tensor, by path name; ValueError for one that is not as documented."""
    return {name: _bound(tensor) for name, tensor in tensors.items()}


def total_bound(tensors: Mapping[str, PackedTensor]) -> EntropyBound:
    """The sum over all tensors."""
    bounds = entropy_bound(tensors).values()
    return EntropyBound(sum(b.mask for b in bounds), sum(b.values for b in bounds))


def _bound(tensor: PackedTensor) -> EntropyBound:
    grid = tensor.grid.checked(tensor.values.shape)
    integers = encode_values(tensor, grid).integers.ravel()
    kept = integers[integers != 0]
    mask = entropy_bits(np.array([kept.size, integers.size - kept.size]))
    if isinstance(grid, Float):
        values = kept.size * grid.bits
    else:
        values = entropy_bits(np.unique(kept, return_counts=True)[1])
    return EntropyBound(float(mask) / 8, float(values) / 8)
