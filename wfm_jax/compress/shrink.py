"""Shrinking: what structured pruning has masked is cut out, and the arrays get smaller.

The step that makes structure pay on any hardware: the smaller model is an ordinary one, and
computes what the masked one does. Lagunas et al., "Block pruning for faster transformers", 2021
(arXiv 2109.04838).

On the host, because shapes depend on values. The new shapes are a new program: shrinking ends a
compression, or starts one of a smaller model.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.compress.couplings import Coupling, axis_masks, check_couplings
from wfm_jax.compress.paths import unflatten


def kept_units(masks: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns the indices of the units that stay, ascending.

    >>> kept_units({"heads": jnp.array([True, False, True])})
    {'heads': array([0, 2])}

    Args:
      masks: coupling name -> boolean vector, as in `wfm_jax.compress.UnitState`.
    """
    return {name: np.flatnonzero(np.asarray(mask)) for name, mask in masks.items()}


def shrink(params: Any, unit_masks: Mapping[str, Any], couplings: Iterable[Coupling]) -> Any:
    """Returns the parameters without the units that were removed.

    >>> from wfm_jax.compress.couplings import Part
    >>> neurons = Coupling("neurons", 3, (Part("up/kernel", 1, 1), Part("down/kernel", 0, 1)))
    >>> params = {"up": {"kernel": jnp.ones((5, 3))}, "down": {"kernel": jnp.ones((3, 2))}}
    >>> small = shrink(params, {"neurons": np.array([True, False, True])}, [neurons])
    >>> jax.tree.map(jnp.shape, small)
    {'down': {'kernel': (2, 2)}, 'up': {'kernel': (5, 2)}}

    Args:
      params: as the deployment holds them: the effective weights, or those before masking.
      unit_masks: coupling name -> boolean vector, ``True`` where the unit stays; concrete.
      couplings: those that the masks are for.

    Returns:
      A tree like ``params``. Leaves without removed entries are the same objects; leaves of which
      nothing is left, and dicts of nothing but such, are not in it.

    Raises:
      ValueError: for couplings that do not fit the parameters, for masks that do not fit the
        couplings or leave less than `Coupling.least`.
    """
    couplings = tuple(couplings)
    leaves = check_couplings(couplings, params)
    cut, gone = {}, set()
    for path, axes in axis_masks(_checked(unit_masks, couplings), couplings).items():
        if all(mask.all() for mask in axes.values()):
            continue
        w = np.asarray(leaves[path])
        for axis, mask in axes.items():
            w = np.compress(mask, w, axis=axis)
        cut[path] = jnp.asarray(w)
        if not w.size:
            gone.add(id(cut[path]))
    return _without(unflatten(params, cut), gone)


def shrink_scales(
    scales: Mapping[str, Any], unit_masks: Mapping[str, Any], couplings: Iterable[Coupling]
) -> dict[str, Any]:
    """Returns the scales of the kernels that `shrink` leaves, so that snapped weights stay snapped.

    Args:
      scales: path name -> scale of a kernel's rank, as in `wfm_jax.compress.QuantizeState`.
      unit_masks: as for `shrink`.
      couplings: as for `shrink`.

    Returns:
      Scales by path name, without those of kernels of which nothing is left. A scale that covers an
      axis whole stays as it is; one for each channel goes with its channel.

    Raises:
      ValueError: where a group of inputs that share a scale would be cut in two.
    """
    couplings = tuple(couplings)
    shrunk = dict(scales)
    for path, axes in axis_masks(_checked(unit_masks, couplings), couplings).items():
        if path not in scales:
            continue
        if not all(mask.any() for mask in axes.values()):
            del shrunk[path]
            continue
        for axis, mask in axes.items():
            if mask.all() or scales[path].shape[axis] == 1:
                continue
            groups = mask.reshape(scales[path].shape[axis], -1)
            if (groups.any(axis=1) != groups.all(axis=1)).any():
                raise ValueError(f"{path}: a group of {groups.shape[1]} that shares a scale is cut")
            shrunk[path] = jnp.compress(groups[:, 0], shrunk[path], axis=axis)
    return shrunk


def _checked(unit_masks: Mapping[str, Any], couplings: Iterable[Coupling]) -> dict[str, np.ndarray]:
    masks = {name: np.asarray(mask) for name, mask in unit_masks.items()}
    sizes = {c.name: c.size for c in couplings}
    if set(masks) != set(sizes):
        wrong = ", ".join(sorted(set(masks) ^ set(sizes)))
        raise ValueError(f"masks and couplings differ in {wrong}")
    for coupling in couplings:
        mask = masks[coupling.name]
        if mask.shape != (coupling.size,) or mask.dtype != bool:
            raise ValueError(
                f"the mask of {coupling.name!r} must be bool[{coupling.size}], "
                f"got {mask.dtype}{list(mask.shape)}"
            )
        if mask.sum() < coupling.least:
            raise ValueError(
                f"of {coupling.name!r} at least {coupling.least} must stay, got {mask.sum()}"
            )
    return masks


def _without(node: Any, gone: set[int]) -> Any:
    """The tree without the leaves of the given identities, and without dicts of only such."""
    if not gone or not isinstance(node, Mapping):
        return node
    kept = {}
    for name, child in node.items():
        leaves = jax.tree.leaves(child)
        if not leaves or not all(id(leaf) in gone for leaf in leaves):
            kept[name] = _without(child, gone)
    return type(node)(kept)  # pyright: ignore[reportCallIssue]
