"""Which tensor suffers from what: a model with one tensor compressed at a time, in one program.

A configuration is a row of numbers, one a tensor: its bits (32 = left alone) or its sparsity
(0 = left alone). Rows are traced, so one compiled program measures every tensor at every level, and
mixed precision as well. Nothing is trained, and nothing is said of what two tensors do together.

Wang et al., "HAQ: hardware-aware automated quantization with mixed precision", 2019
(arXiv 1811.08886), for why tensors should not all have the same bits.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from wfm_jax.compress.masks import keep_mask
from wfm_jax.compress.paths import flatten, unflatten
from wfm_jax.compress.quantize import ScaleRule, kernels, quantize
from wfm_jax.compress.transform import Params, matching
from wfm_jax.compress.uniform import Bound

Strategy = Literal["map", "vmap"]
"""How cells run: one after the other, or a number of them side by side."""

LEFT_ALONE = 32.0
"""Bits of a tensor that stays in floating point."""


def quantize_by(
    params: Params,
    paths: Sequence[str],
    bits: ArrayLike,
    *,
    scale: Literal["auto", "absmax", "mse", "percentile"] | ScaleRule = "auto",
    bound: Bound = "restricted",
    group_size: int | None = None,
) -> Params:
    """Snaps each tensor to a grid of its own bits; `quantize`, with bits by position.

    >>> params = {"a": jnp.array([[0.3], [1.0]]), "b": jnp.array([[0.3], [1.0]])}
    >>> quantize_by(params, ["a", "b"], jnp.array([2, 32]), scale="absmax")["a"]
    Array([[0.],
           [1.]], dtype=float32)

    Args:
      params: any pytree.
      paths: the kernels that take part, by path name.
      bits: ``[n_paths]``: 2 to 8, or 16 and more for a tensor left alone; may be traced.
      scale, bound, group_size: see `quantize`.

    Returns:
      A tree like ``params``; leaves that take no part are the same objects.

    Raises:
      ValueError: for a path that is no kernel, a row of another length, and what `quantize` raises.
    """
    by_path = _by_path("bits", bits, paths)
    _check_paths(kernels(params), paths)
    chosen = frozenset(paths)
    method = quantize(by_path, scale=scale, bound=bound, group_size=group_size)
    only = matching(lambda path, _: path in chosen, method)
    return only.apply(*only.update(params, ()))


def prune_by(params: Params, paths: Sequence[str], sparsities: ArrayLike) -> Params:
    """Removes from each tensor its own share of the weights, those of smallest magnitude.

    Args:
      params: any pytree.
      paths: the leaves that take part, by path name.
      sparsities: ``[n_paths]`` in [0, 1), 0 for a tensor left alone; may be traced. Counts are
        those of `keep_mask`; of equal weights those that come first go first.

    Returns:
      A tree like ``params``; leaves that take no part are the same objects.

    Raises:
      ValueError: for an unknown path, a row of another length, or a concrete sparsity outside
        [0, 1).
    """
    by_path = _by_path("sparsities", sparsities, paths)
    leaves = flatten(params)
    _check_paths(leaves, paths)
    pruned = {}
    for path, sparsity in by_path.items():
        w = leaves[path]
        pruned[path] = jnp.where(keep_mask(jnp.abs(w), sparsity), w, jnp.zeros_like(w))
    return unflatten(params, pruned)


def cells(n_tensors: int, levels: Sequence[float], *, left_alone: float = LEFT_ALONE) -> np.ndarray:
    """Returns the rows that compress one tensor at a time, tensor by tensor, level by level.

    >>> cells(2, [4, 8])
    array([[ 4., 32.],
           [ 8., 32.],
           [32.,  4.],
           [32.,  8.]], dtype=float32)

    Args:
      n_tensors: number of tensors.
      levels: what each is compressed to: bits, or sparsities.
      left_alone: the level at which nothing happens: 32 bits, or a sparsity of 0.

    Returns:
      float32 ``[n_tensors * n_levels, n_tensors]``. Reshaped to ``[n_tensors, n_levels, ...]``,
      what was measured of the rows is the grid.
    """
    rows = np.full((n_tensors, len(levels), n_tensors), left_alone, np.float32)
    for tensor in range(n_tensors):
        rows[tensor, :, tensor] = levels
    return rows.reshape(-1, n_tensors)


def evaluate_cells(
    evaluate: Callable[[Params], Any],
    params: Params,
    compress: Callable[[Params, Any], Params],
    rows: Any,
    *,
    strategy: Strategy = "map",
    chunk: int = 8,
) -> Any:
    """Measures many configurations of one model in one program; pure, worth a ``jit``.

    >>> params = {"a": jnp.array([[0.5], [1.0]]), "b": jnp.array([[0.5], [1.0]])}
    >>> def evaluate(params):
    ...     return params["a"].sum() + params["b"].sum()
    >>> def compress(params, sparsities):
    ...     return prune_by(params, ["a", "b"], sparsities)
    >>> rows = cells(2, [0.0, 0.5], left_alone=0.0)
    >>> evaluate_cells(evaluate, params, compress, rows)
    Array([3. , 2.5, 3. , 2.5], dtype=float32)

    Args:
      evaluate: ``params -> pytree of arrays``; traced once, however many rows there are.
      params: the uncompressed model.
      compress: ``(params, row) -> params``, such as `quantize_by` and `prune_by` with paths.
      rows: what ``compress`` takes, or a pytree of such; every leaf ``[n_cells, ...]``.
      strategy: ``"map"`` runs cell after cell and holds one compressed model at a time; ``"vmap"``
        runs ``chunk`` cells side by side, which accelerators want.
      chunk: cells in memory at a time.

    Returns:
      What ``evaluate`` returns, every leaf ``[n_cells, ...]``.

    Raises:
      ValueError: for another strategy, a chunk below one, or rows of different lengths.
    """
    if strategy not in ("map", "vmap"):
        raise ValueError(f"strategy must be 'map' or 'vmap', got {strategy!r}")
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    rows = jax.tree.map(jnp.asarray, rows)
    lengths = {leaf.shape[:1] for leaf in jax.tree.leaves(rows)}
    if len(lengths) != 1 or lengths == {()}:
        raise ValueError(f"rows need one leading axis, got lengths {sorted(lengths)}")
    ((number,),) = lengths

    def measured(row):
        return evaluate(compress(params, row))

    if strategy == "map":
        return jax.lax.map(measured, rows)
    width = min(chunk, number)
    last = jnp.minimum(jnp.arange(-(-number // width) * width), number - 1)
    chunks = jax.tree.map(lambda x: x[last].reshape(-1, width, *x.shape[1:]), rows)
    found = jax.lax.map(jax.vmap(measured), chunks)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:number], found)


def _by_path(name: str, row: ArrayLike, paths: Sequence[str]) -> dict[str, Any]:
    """The entries of a row; concrete ones keep their values, so that they are checked."""
    entries: Any = row if isinstance(row, jax.Array) else np.asarray(row)
    if entries.shape != (len(paths),):
        raise ValueError(f"{name} must be one a path, [{len(paths)}], got {list(entries.shape)}")
    return {path: entries[i] for i, path in enumerate(paths)}


def _check_paths(leaves: dict[str, Any], paths: Sequence[str]) -> None:
    if unknown := [path for path in paths if path not in leaves]:
        raise ValueError(f"not among the tensors that can be compressed: {', '.join(unknown)}")
    if len(set(paths)) != len(paths):
        raise ValueError("paths holds a path twice")
