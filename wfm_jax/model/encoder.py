"""The transformer encoder: pre-norm blocks of multi-head attention and an MLP.

Activations are ``[batch * tokens, width]`` before every dense layer: with a separate batch axis
the backward pass recomputes the layer norm into a transposed operand of each weight gradient.

What enters a dense layer, and some of what is between, passes a point with a name
(:mod:`wfm_jax.model.points`).

Matrix products are computed in ``dtype``; the residual stream, norms and softmax stay in float32.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from wfm_jax.model.config import ModelConfig
from wfm_jax.model.dense import make_dense, run_dense
from wfm_jax.model.points import At, unchanged, within

Reached = tuple[jax.Array, jax.Array, jax.Array | np.ndarray | None]
Reach = Callable[[int, jax.Array, jax.Array], Reached]
"""``reach(layer, keys, values) -> (keys, values, visible)``: whom a layer's tokens attend to.

It is given what the tokens themselves offer, [batch, tokens, heads, head_dim], and answers with all
that there is, [batch, others, heads, head_dim], and bool[tokens or 1, others] where some of it is
hidden, None where nothing is.
"""


class Attention(nnx.Module):
    """Multi-head attention; layers are [d_model, heads * head_dim] and back.

    Tokens attend to all of themselves, or to what ``reach`` says.
    """

    def __init__(self, config: ModelConfig, layer: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.layer, self.n_heads, self.head_dim = layer, config.heads[layer], config.head_dim
        path = f"block_{layer}/attention"
        self.query = make_dense(config, f"{path}/query", dtype=dtype, rngs=rngs)
        self.key = make_dense(config, f"{path}/key", dtype=dtype, rngs=rngs)
        self.value = make_dense(config, f"{path}/value", dtype=dtype, rngs=rngs)
        self.out = make_dense(config, f"{path}/out", dtype=dtype, rngs=rngs)

    def __call__(
        self, x: jax.Array, n_tokens: int, at: At = unchanged, reach: Reach | None = None
    ) -> jax.Array:
        def split(y: jax.Array) -> jax.Array:
            return y.reshape(-1, n_tokens, self.n_heads, self.head_dim)

        x = at("input", x)
        q = split(run_dense(self.query, x, within(at, "query")))
        k = split(run_dense(self.key, x, within(at, "key")))
        v = split(run_dense(self.value, x, within(at, "value")))
        k, v, visible = (k, v, None) if reach is None else reach(self.layer, k, v)
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k, preferred_element_type=jnp.float32)
        share = jax.nn.softmax(scores / self.head_dim**0.5, axis=-1, where=visible)
        share = at("share", share).astype(v.dtype)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", share, v)
        mixed = at("mixed", mixed.reshape(-1, self.n_heads * self.head_dim))
        return run_dense(self.out, mixed, within(at, "out"))


class MLP(nnx.Module):
    """Two dense layers with a GELU between them."""

    def __init__(self, config: ModelConfig, layer: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        path = f"block_{layer}/mlp"
        self.up = make_dense(config, f"{path}/up", dtype=dtype, rngs=rngs)
        self.down = make_dense(config, f"{path}/down", dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array, at: At = unchanged) -> jax.Array:
        hidden = jax.nn.gelu(run_dense(self.up, at("input", x), within(at, "up")))
        return run_dense(self.down, at("hidden", hidden), within(at, "down"))


class Block(nnx.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); without heads or neurons no such branch."""

    def __init__(
        self, config: ModelConfig, layer: int, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs
    ):
        d = config.d_model
        self.has_attention, self.has_mlp = config.heads[layer] > 0, config.mlp_widths[layer] > 0
        if self.has_attention:
            self.attention_norm = nnx.LayerNorm(d, rngs=rngs)
            self.attention = Attention(config, layer, dtype=dtype, rngs=rngs)
        if self.has_mlp:
            self.mlp_norm = nnx.LayerNorm(d, rngs=rngs)
            self.mlp = MLP(config, layer, dtype=dtype, rngs=rngs)

    def __call__(
        self, x: jax.Array, n_tokens: int, at: At = unchanged, reach: Reach | None = None
    ) -> jax.Array:
        if self.has_attention:
            normed = self.attention_norm(x)
            mixed = self.attention(normed, n_tokens, within(at, "attention"), reach)
            x = x + mixed.astype(x.dtype)
        if self.has_mlp:
            x = x + self.mlp(self.mlp_norm(x), within(at, "mlp")).astype(x.dtype)
        return at("output", x)
