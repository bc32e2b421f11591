"""Low rank: a kernel as the product of two thin ones, by truncated singular value decomposition.

Xue et al., "Restructuring of deep neural network acoustic models with singular value
decomposition", Interspeech 2013. A kernel ``[in, out]`` of rank r is stored as ``[in, r]`` times
``[r, out]``, which pays as long as (in + out) r is less than in * out. Of all kernels of rank r the
truncated one is the nearest; what is lost is the root of the sum of the squares of the singular
values dropped.

What is in force afterwards is a projection: onto the span of the r singular vectors of the shorter
side. On the kernel it was made from it equals the truncation, it is linear, so its gradient is
exact, and whatever training makes of the kernel, its rank stays at most r: training moves the
longer factor and leaves the shorter one. Projecting both sides would leave an r x r core to train.
"""

from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from wfm_jax.compress.checks import check_no_nan, check_number
from wfm_jax.compress.lora import Factors
from wfm_jax.compress.paths import flatten, unflatten
from wfm_jax.compress.transform import Params, Transform
from wfm_jax.compress.uniform import as_float


class LowRankState(NamedTuple):
    """The subspaces in force.

    Attributes:
      basis: path name -> float32 ``[min(in, out), most]``, where ``most`` is the largest rank that
        pays: orthonormal columns, as many as the rank, then zeros. Of inputs where in <= out, of
        outputs otherwise.
      rank: path name -> int32 scalar; min(in, out) where the kernel is left as it is.
    """

    basis: dict[str, jax.Array]
    rank: dict[str, jax.Array]


def low_rank(share: ArrayLike | None = None, *, energy: ArrayLike | None = None) -> Transform:
    """Lowers the rank of kernels: every floating-point leaf of two axes where that can pay.

    ``init`` leaves all as they are; ``update`` decides on ranks and subspaces, from the parameters
    as it is given them, and leaves those unchanged; ``apply`` projects. Restrict it with
    `wfm_jax.compress.matching`. What is stored is ``factorise(w, rank)`` of the projected kernel.

    The product is no sparse matrix, and its factors are what a deployment rounds: pruning or
    quantizing after this is meant for the factors.

    Args:
      share: numbers that are stored, over those of the dense kernel, in (0, 1]; may be traced.
        `rank_of_share` says which rank that is; at 1 the kernel is left as it is.
      energy: instead of ``share``: of the sum of all squared singular values the part to keep, in
        (0, 1]; may be traced. The rank is the smallest that keeps it; where that does not pay, the
        kernel is left as it is.

    Returns:
      A transform with a `LowRankState`.

    Raises:
      ValueError: unless exactly one of the two is given, and in (0, 1]; from ``update``, for
        concrete weights that hold NaN.
    """
    if (share is None) == (energy is None):
        raise ValueError("low_rank needs either share or energy")
    for name, number in (("share", share), ("energy", energy)):
        if number is not None:
            _check_part(name, number)

    def rank_of(shape: tuple[int, ...], singular: jax.Array) -> jax.Array:
        if energy is None:
            return rank_of_share(shape, cast(ArrayLike, share))
        kept = jnp.cumsum(jnp.square(singular))
        rank = 1 + jnp.sum(kept < jnp.asarray(energy, kept.dtype) * kept[-1]).astype(jnp.int32)
        return jnp.where(rank > _most(shape), min(shape), rank)

    def decide(path: str, w: jax.Array) -> tuple[jax.Array, jax.Array]:
        check_no_nan(f"params[{path!r}]", w)
        left, singular, right = jnp.linalg.svd(as_float(w), full_matrices=False)
        rank, most = rank_of(w.shape, singular), _most(w.shape)
        vectors = left[:, :most] if _from_inputs(w.shape) else right[:most].T
        return jnp.where(jnp.arange(most) < rank, vectors, 0).astype(jnp.float32), rank

    def init(params, *, key):
        del key
        shapes = {path: w.shape for path, w in _kernels(params).items()}
        return LowRankState(
            {path: jnp.zeros((min(s), _most(s)), jnp.float32) for path, s in shapes.items()},
            {path: jnp.int32(min(s)) for path, s in shapes.items()},
        )

    def update(params, state, stats=None):
        del state, stats
        decided = {path: decide(path, w) for path, w in _kernels(params).items()}
        return params, LowRankState(
            {path: basis for path, (basis, _) in decided.items()},
            {path: rank for path, (_, rank) in decided.items()},
        )

    def apply(params, state):
        lowered = {
            path: jnp.where(state.rank[path] == min(w.shape), w, _project(w, state.basis[path]))
            for path, w in _kernels(params).items()
        }
        return unflatten(params, lowered)

    return Transform(init, update, apply)


def rank_of_share(shape: tuple[int, ...], share: ArrayLike) -> jax.Array:
    """Returns the largest rank of which two factors store no more than a share of a kernel.

    >>> [int(rank_of_share((64, 256), share)) for share in (0.5, 0.01, 1.0)]
    [25, 1, 64]

    Args:
      shape: of the kernel, ``[in, out]``.
      share: numbers that are stored, over those of the dense kernel, in (0, 1]; may be traced.

    Returns:
      int32 scalar, the largest rank with (in + out) rank <= share * in * out (in float32, for
      concrete and traced shares alike), and at least 1. It is min(in, out), which says that the
      kernel is left as it is, at a share of 1 and where no rank at all pays.

    Raises:
      ValueError: for a concrete share outside (0, 1].
    """
    _check_part("share", share)
    full, most = min(shape), _most(shape)
    affordable = jnp.asarray(share, jnp.float32) * (shape[0] * shape[1] / sum(shape))
    rank = jnp.clip(jnp.floor(affordable).astype(jnp.int32), 1, most)
    return jnp.where((jnp.asarray(share) >= 1) | (most < 1), full, rank)


def factorise(w: ArrayLike, rank: int) -> Factors:
    """Returns the two factors whose product is the nearest kernel of the given rank.

    On the host, where the rank is known. Both factors get the roots of the singular values, so that
    their entries are of one order.

    Args:
      w: kernel ``[in, out]``, for instance as projected by `low_rank`.
      rank: 1 to min(in, out).

    Returns:
      `Factors`, ``a`` float32 ``[in, rank]`` and ``b`` float32 ``[rank, out]``.

    Raises:
      ValueError: for what is no kernel, one that holds NaN, or a rank that it does not have.
    """
    w, rank = np.asarray(w, np.float64), int(rank)
    if w.ndim != 2 or np.isnan(w).any():
        raise ValueError(f"w must be a kernel [in, out] without NaN, got shape {w.shape}")
    if not 1 <= rank <= min(w.shape):
        raise ValueError(f"rank must be 1 to {min(w.shape)} for shape {w.shape}, got {rank}")
    left, singular, right = np.linalg.svd(w, full_matrices=False)
    root = np.sqrt(singular[:rank])
    a, b = left[:, :rank] * root, root[:, None] * right[:rank]
    return Factors(jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32))


def _check_part(name: str, number: ArrayLike) -> None:
    check_number(name, number, lambda x: 0 < x <= 1, "in (0, 1]")


def _kernels(params: Params) -> dict[str, jax.Array]:
    return {
        path: leaf
        for path, leaf in flatten(params).items()
        if jnp.ndim(leaf) == 2 and jnp.issubdtype(leaf.dtype, jnp.floating) and _most(leaf.shape)
    }


def _most(shape: tuple[int, ...]) -> int:
    """The largest rank with (in + out) rank < in * out; below min(in, out), and 0 if none is."""
    return max(0, (shape[0] * shape[1] - 1) // max(1, sum(shape)))


def _from_inputs(shape: tuple[int, ...]) -> bool:
    return shape[0] <= shape[1]


def _project(w: jax.Array, basis: jax.Array) -> jax.Array:
    values = as_float(w)
    product = jnp.matmul
    if _from_inputs(w.shape):
        inner = product(basis.T, values, precision="highest")
        return product(basis, inner, precision="highest").astype(w.dtype)
    inner = product(values, basis, precision="highest")
    return product(inner, basis.T, precision="highest").astype(w.dtype)
