"""Parameters, keep masks and grids as a packed file's tensors."""

from collections.abc import Collection, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from wfm_jax.compress.blocks import reduce_blocks
from wfm_jax.export.grids import Affine, Float, Grid, Uniform, is_float16
from wfm_jax.export.tensors import PackedTensor


def pack_model(
    params: Mapping[str, Any],
    *,
    keep: Mapping[str, Any] | None = None,
    grids: Mapping[str, Grid] | None = None,
    half: bool | Collection[str] = False,
) -> dict[str, PackedTensor]:
    """The tensors that ``pack`` turns into bytes.

    >>> from wfm_jax.export.grids import Uniform
    >>> from wfm_jax.export.packed import pack, unpack
    >>> weights = {"kernel": np.array([[0.5, -1.0], [1.5, 0.0]], np.float32)}
    >>> grids = {"kernel": Uniform(4, np.float32([[0.5, 0.5]]))}  # integers times 0.5
    >>> stored = unpack(pack(pack_model(weights, grids=grids)))["kernel"]
    >>> stored.effective().tolist()
    [[0.5, -1.0], [1.5, 0.0]]

    Args:
      params: by path name, the weights that the forward pass sees (a transform's ``apply``):
        snapped to their grid where quantized. Latent weights are refused, not rounded silently.
      keep: masks, 1 = stays, by path name.
      grids: by path name; what has none is float32.
      half: tensors without a grid to store as float16, or True for all of them.

    Raises:
      ValueError: naming the tensor whose stored form would not be its weights bit for bit (a
        negative zero counts as zero), whose bits cannot be stored, or that is not in ``params``.
    """
    keep, grids = keep or {}, grids or {}
    halves = (set(params) if half else set()) if isinstance(half, bool) else set(half)
    if unknown := sorted((set(keep) | set(grids) | halves) - set(params)):
        raise ValueError(f"not among the parameters: {', '.join(unknown)}")
    packed = {}
    for name, weights in params.items():
        grid = grids.get(name, Float(16 if name in halves else 32))
        try:
            packed[name] = _tensor(weights, grid, keep.get(name))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return packed


def _tensor(weights: Any, grid: Grid, keep: Any) -> PackedTensor:
    w = np.asarray(weights, np.float32) + np.float32(0)  # turns -0.0 into 0.0
    mask = None if keep is None else np.asarray(keep).astype(bool)
    if mask is not None and mask.shape != w.shape:
        raise ValueError(f"the keep mask has shape {mask.shape}, the weights {w.shape}")
    wanted = w if mask is None else np.where(mask, w, np.float32(0))
    grid = grid.checked(w.shape)
    if isinstance(grid, Float) and grid.bits == 16 and not is_float16(wanted):
        raise ValueError("is not exactly representable in float16: round it first")
    codes = grid.codes(wanted)
    tensor = PackedTensor(codes, _without_idle_scales(grid, codes), mask)
    if tensor.effective().tobytes() != wanted.tobytes():
        raise ValueError(
            f"its weights are not on their grid of {grid.bits} bits: pass the snapped ones"
        )
    return tensor


def _without_idle_scales(grid: Grid, codes: np.ndarray) -> Grid:
    """The grid with a scale of zero wherever all that it scales is zero.

    No weight changes, and a file whose weights are ordered by their scales holds what was cut out
    after quantization in one place, as it does what was cut out before.
    """
    if not isinstance(grid, Uniform | Affine):
        return grid
    others = jnp.asarray(codes != grid.zero_codes(codes.shape))
    used = np.asarray(reduce_blocks(jnp.any, others, grid.scale.shape))
    return grid._replace(scale=np.where(used, grid.scale, np.float32(0)))
