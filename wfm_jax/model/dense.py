"""A dense layer of the encoder: plain, or stored as two factors of low rank.

Xue et al., "Restructuring of deep neural network acoustic models with singular value
decomposition", Interspeech 2013. Both factors are layers with a kernel of their own, so that
whatever prunes, quantizes, counts or stores kernels does so with factors:

=========  ==============================================  =======================================
layer      kernels and bias of ``block_0/mlp/up``          computes
=========  ==============================================  =======================================
plain      kernel [in, out], bias [out]                    x @ kernel + bias
factored   reduce/kernel [in, rank],                       (x @ reduce/kernel) @ expand/kernel
           expand/kernel [rank, out], expand/bias [out]    + expand/bias
=========  ==============================================  =======================================
"""

import jax
from flax import nnx
from jax.typing import DTypeLike

from wfm_jax.model.config import ModelConfig, dense_shapes
from wfm_jax.model.points import At


class Factored(nnx.Module):
    """Two dense layers in a row, the first without a bias; what is between passes ``reduced``."""

    def __init__(self, n_in: int, n_out: int, rank: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.reduce = nnx.Linear(n_in, rank, use_bias=False, dtype=dtype, rngs=rngs)
        self.expand = nnx.Linear(rank, n_out, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array, at: At) -> jax.Array:
        return self.expand(at("reduced", self.reduce(x)))


Dense = nnx.Linear | Factored


def make_dense(config: ModelConfig, layer: str, *, dtype: DTypeLike, rngs: nnx.Rngs) -> Dense:
    """The dense layer of that path, factored where ``config.ranks`` says so.

    Args:
        config: the model.
        layer: a path of :func:`wfm_jax.model.dense_shapes`.
        dtype: what its products are computed in.
        rngs: of the initial weights.
    """
    n_in, n_out = dense_shapes(config)[layer]
    rank = dict(config.ranks).get(layer)
    if rank is None:
        return nnx.Linear(n_in, n_out, dtype=dtype, rngs=rngs)
    return Factored(n_in, n_out, rank, dtype=dtype, rngs=rngs)


def run_dense(layer: Dense, x: jax.Array, at: At) -> jax.Array:
    """What the layer answers to ``x`` float32[..., in], [..., out]; a plain one has no points that
    ``at`` would be called at."""
    return layer(x, at) if isinstance(layer, Factored) else layer(x)
