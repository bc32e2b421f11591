"""What a configuration costs: parameters, operations, and the bytes of its packed file."""

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from wfm_jax import compress
from wfm_jax.evaluate.products import Product
from wfm_jax.export.from_model import pack_model
from wfm_jax.export.grids import Grid
from wfm_jax.export.packed import pack
from wfm_jax.results import atomic

PRUNABLE = "block_*"
_FLOAT_BITS = 32


class Stored(NamedTuple):
    """A configuration as it is stored; arguments of :func:`wfm_jax.export.from_model.pack_model`.

    Attributes:
        params: effective weights by path name, float32.
        keep: masks by path name, 1 = stays.
        grids: by path name; what has none is floating point.
        half: names stored as float16, or True for all that have no grid.
    """

    params: Mapping[str, Any]
    keep: Mapping[str, Any] | None = None
    grids: Mapping[str, Grid] | None = None
    half: bool | Collection[str] = False


def cost_columns(
    products: Sequence[Product] | None,
    stored: Stored,
    *,
    prunable: compress.Pattern | None = None,
    act_bits: float = _FLOAT_BITS,
    teacher_bytes: int | None = None,
    path: str | os.PathLike | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, float | int]:
    """The cost columns of a result row.

    Args:
        products: of the model, from :func:`wfm_jax.evaluate.products.frame_products`; operations
            are left out where they cannot be counted (None).
        stored: the configuration.
        prunable: what counts in sparsity's denominator; kernels of the encoder blocks if None.
        act_bits: bits of the activations that enter a product with weights.
        teacher_bytes: size of the teacher's float32 file; without it ``compression_ratio`` is left
            out.
        path: where to leave the packed file; without it the file is only measured.
        metadata: what else is in that file, JSON; of a whole model a
            :func:`wfm_jax.export.load_model.model_metadata`.
    """
    data = pack(pack_model(**stored._asdict()), metadata)
    if path is not None:
        atomic.write_bytes(path, data)
    columns = {
        "sparsity_achieved": sparsity_achieved(stored.params, prunable or is_prunable),
        "params_total": sum(np.size(w) for w in stored.params.values()),
        "params_nonzero": sum(int(np.count_nonzero(w)) for w in stored.params.values()),
        "size_bytes": len(data),
    }
    if products is not None:
        columns["flops"] = flops(products)
        columns["bit_ops"] = bit_ops(products, stored.params, stored.grids, act_bits)
    if teacher_bytes is not None:
        columns["compression_ratio"] = teacher_bytes / len(data)
    return columns


def is_prunable(path: str, leaf: Any) -> bool:
    """Whether a leaf counts in sparsity's denominator: 2-D kernels of the encoder blocks."""
    return compress.matches(path, PRUNABLE) and np.ndim(leaf) == 2


def sparsity_achieved(params: Mapping[str, Any], prunable: compress.Pattern = is_prunable) -> float:
    """Share of prunable weights that are zero; weights by path name."""
    found = [np.asarray(w) for path, w in params.items() if compress.matches(path, prunable, w)]
    total = sum(w.size for w in found)
    return sum(int(np.sum(w == 0)) for w in found) / total if total else 0.0


def flops(products: Sequence[Product]) -> float:
    """Floating-point operations of a frame, 2 x MACs of all matrix products, run densely."""
    return 2.0 * sum(product.macs for product in products)


def bit_ops(
    products: Sequence[Product],
    params: Mapping[str, Any],
    grids: Mapping[str, Grid] | None = None,
    act_bits: float = _FLOAT_BITS,
) -> float:
    """Bit operations of a frame: MACs x bits of one factor x bits of the other.

    Weights that are zero cost nothing; weights and activations in floating point count 32 bits, as
    do both factors of a product between activations (attention).

    Args:
        products: of the model.
        params: effective weights by path name.
        grids: of weights by path name; 16 bits and more, or absent: floating point.
        act_bits: bits of the activations that enter a product with weights.
    """
    total = 0.0
    for product in products:
        if product.parameter is None:
            total += product.macs * float(_FLOAT_BITS**2)
            continue
        name = product.parameter
        used = product.macs / product.weights * int(np.count_nonzero(params[name]))
        bits = grids[name].bits if grids and name in grids else _FLOAT_BITS
        total += used * _width(bits) * _width(act_bits)
    return total


def _width(bits: Any) -> float:
    width = float(np.asarray(bits))
    return width if width < 16 else float(_FLOAT_BITS)
