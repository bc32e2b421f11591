"""Parameters, keep masks and scales as a packed file's tensors."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from wfm_jax.export.grids import Grid
from wfm_jax.export.tensors import INTEGER_BITS, PackedTensor, expand_scale, is_float16


def pack_model(
    params: Mapping[str, Any],
    *,
    keep: Mapping[str, Any] | None = None,
    grids: Mapping[str, Grid] | None = None,
    half: bool | Collection[str] = False,
) -> dict[str, PackedTensor]:
    """The tensors that ``pack`` turns into bytes.

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
        grid = grids.get(name)
        width = float(np.asarray(grid.bits)) if grid else 16.0 if name in halves else 32.0
        scale = grid.scale if grid else None
        try:
            packed[name] = _tensor(weights, width, scale, keep.get(name))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return packed


def _tensor(weights: Any, width: float, scale: Any, keep: Any) -> PackedTensor:
    w = np.asarray(weights, np.float32) + np.float32(0)  # turns -0.0 into 0.0
    mask = None if keep is None else np.asarray(keep).astype(bool)
    if mask is not None and mask.shape != w.shape:
        raise ValueError(f"the keep mask has shape {mask.shape}, the weights {w.shape}")
    if width >= 16:
        stored = 16 if width < 32 else 32
        if stored == 16 and not is_float16(w if mask is None else np.where(mask, w, 0)):
            raise ValueError("is not exactly representable in float16: round it first")
        tensor = PackedTensor(w, stored, None, mask)
    elif width in INTEGER_BITS and scale is not None:
        tensor = PackedTensor(_integers(w, scale), int(width), np.asarray(scale, np.float32), mask)
    elif scale is None:
        raise ValueError(f"{width:g} bits need a scale")
    else:
        raise ValueError(f"{width:g} bits: a tensor is stored in 2 to 8, 16 or 32")
    wanted = w if mask is None else np.where(mask, w, np.float32(0))
    if (tensor.effective() + np.float32(0)).tobytes() != wanted.tobytes():
        raise ValueError("its weights are not integers times their scale: pass the snapped ones")
    return tensor


def _integers(w: np.ndarray, scale: Any) -> np.ndarray:
    """round(w / scale), zero where the scale is; int32, so that nothing wraps."""
    full = expand_scale(scale, w.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        ratio = np.divide(w, full, out=np.zeros_like(w), where=full != 0)
    if not np.isfinite(ratio).all() or np.abs(ratio).max(initial=0) > 1 << 16:
        raise ValueError("its weights are not integers times their scale: pass the snapped ones")
    return np.rint(ratio).astype(np.int32)
