"""The model with dense layers stored as two factors: truncated singular value decomposition.

Xue et al., "Restructuring of deep neural network acoustic models with singular value
decomposition", Interspeech 2013. On the host, because shapes depend on the share: what comes out
is an ordinary model whose architecture names the ranks, a program of its own.
"""

import dataclasses

import numpy as np

from wfm_jax import compress
from wfm_jax.model.config import ModelConfig, dense_shapes
from wfm_jax.model.model import Params


def factorise_model(
    config: ModelConfig, params: Params, share: float
) -> tuple[ModelConfig, Params]:
    """The model with every dense layer of its blocks at the rank that a share of it pays for.

    It computes what the model with truncated kernels does: of all of their rank those nearest to
    the kernels as they are given. Zeros and grids of these are lost: factors are dense, and in
    floating point.

    Args:
        config: the architecture. A layer that is factored already counts as the product of its
            factors, and is truncated further where its rank is above what the share pays for.
        params: its parameters, concrete.
        share: numbers in the factors over those of the plain kernel, in (0, 1]; the rank is that
            of :func:`wfm_jax.compress.rank_of_share`.

    Returns:
        Its architecture and its parameters, for :func:`wfm_jax.model.build`. Everything but the
        kernels of layers whose rank was lowered are the same objects; at a share of 1 all are.

    Raises:
        ValueError: a share outside (0, 1], or kernels that hold NaN, by layer.
    """
    ranks = dict(config.ranks)
    for layer, shape in dense_shapes(config).items():
        rank, full = int(compress.rank_of_share(shape, share)), min(shape)
        if rank >= min(full, ranks.get(layer, full)):
            continue
        block, branch, name = layer.split("/")
        lowered = {name: _lowered(layer, params[block][branch][name], rank)}
        params = {**params, block: {**params[block], branch: params[block][branch] | lowered}}
        ranks[layer] = rank
    if ranks == dict(config.ranks):
        return config, params
    return dataclasses.replace(config, ranks=tuple(sorted(ranks.items()))), params


def _lowered(path: str, layer: Params, rank: int) -> Params:
    """A dense layer's parameters, plain or factored, as factors of that rank."""
    if "kernel" in layer:
        kernel, bias = layer["kernel"], layer["bias"]
    else:
        reduce, expand = (np.asarray(layer[f]["kernel"], np.float64) for f in ("reduce", "expand"))
        kernel, bias = reduce @ expand, layer["expand"]["bias"]
    try:
        a, b = compress.factorise(kernel, rank)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return {"reduce": {"kernel": a}, "expand": {"kernel": b, "bias": bias}}
