"""Erdős-Rényi-kernel densities: the more a tensor's weights are shared out, the fewer it needs.

Evci et al., "Rigging the lottery: making all tickets winners", 2020 (arXiv 1911.11134): density is
in proportion to (in + out) / (in out), so the weights that stay are in proportion to in + out. What
a small tensor cannot take, because it is dense already, the others get in the same proportion.

Which tensors are dense is found without a loop. Sorted by (in + out) / (in out), the dense ones
come first, and the k-th one becomes dense at a number of kept weights that depends on shapes alone.
So a traced sparsity has to be compared with fixed integers only, and the total is exact.
"""

from collections.abc import Mapping
from math import prod

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from wfm_jax.compress.masks import share_of


def erk_kept(
    shapes: Mapping[str, tuple[int, ...]], sparsity: ArrayLike, *, grain: int = 1
) -> dict[str, jax.Array]:
    """Returns how many weights of every tensor stay.

    Together they are exactly the total less ``round(sparsity * total)``, and each is less than one
    away from the law's real number (beyond 2^24 weights in total, than float32 resolves).

    Args:
      shapes: path name -> shape of the weights. The law is in proportion to the sum of all axes,
        as published for convolutions; a vector's density is the highest.
      sparsity: fraction of all weights to remove, in [0, 1); may be traced.
      grain: number of weights that stay or go together and divide every size; everything is then
        counted in such units.

    Returns:
      Path name -> int32 scalar.
    """
    if not shapes:
        return {}
    size = np.array([prod(shape) // grain for shape in shapes.values()], np.int64)
    share = np.array([sum(shape) or 1 for shape in shapes.values()], np.int64)
    order = np.argsort(-share / np.maximum(size, 1), kind="stable")
    size, share = size[order], share[order]
    total = int(size.sum())

    dense = np.cumsum(size) - size  # what the tensors before the k-th one have
    rest = np.cumsum(share[::-1])[::-1]
    # The k-th one becomes dense, too, when its part share / rest of what is left exceeds its size.
    threshold = np.floor(dense + rest * (size / share) + 1e-6).astype(np.int32)
    part = np.maximum(np.cumsum(share) - (np.cumsum(share) - share)[:, None], 0) / rest[:, None]

    kept = total - share_of(sparsity, total)
    k = jnp.minimum(jnp.sum(kept > threshold[:-1]), len(size) - 1)
    left = kept - jnp.asarray(dense, jnp.int32)[k]
    ends = jnp.floor(left * jnp.asarray(part, jnp.float32)[k] + 0.5).astype(jnp.int32)
    ends = jnp.minimum(ends, left).at[-1].set(left)
    own = jnp.diff(ends, prepend=0)
    counts = jnp.where(jnp.arange(len(size)) < k, jnp.asarray(size, jnp.int32), own)
    paths = list(shapes)
    return {paths[tensor]: counts[i] for i, tensor in enumerate(order)}
