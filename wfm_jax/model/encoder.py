"""The transformer encoder: pre-norm blocks of multi-head attention and an MLP.

Activations are ``[batch * tokens, width]`` before every dense layer: with a separate batch axis
the backward pass recomputes the layer norm into a transposed operand of each weight gradient.

What enters a dense layer, and some of what is between, passes a point with a name
(:mod:`wfm_jax.model.points`).

Matrix products are computed in ``dtype``; the residual stream, norms and softmax stay in float32.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from wfm_jax.model.config import ModelConfig
from wfm_jax.model.points import At, unchanged, within


class Attention(nnx.Module):
    """Multi-head self-attention, unmasked; kernels are [d_model, heads * head_dim] and back."""

    def __init__(
        self, d_model: int, n_heads: int, head_dim: int, *, dtype: DTypeLike, rngs: nnx.Rngs
    ):
        self.n_heads, self.head_dim = n_heads, head_dim
        inner = n_heads * head_dim
        self.query = nnx.Linear(d_model, inner, dtype=dtype, rngs=rngs)
        self.key = nnx.Linear(d_model, inner, dtype=dtype, rngs=rngs)
        self.value = nnx.Linear(d_model, inner, dtype=dtype, rngs=rngs)
        self.out = nnx.Linear(inner, d_model, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array, n_tokens: int, at: At = unchanged) -> jax.Array:
        def split(y: jax.Array) -> jax.Array:
            return y.reshape(-1, n_tokens, self.n_heads, self.head_dim)

        x = at("input", x)
        q, k, v = split(self.query(x)), split(self.key(x)), split(self.value(x))
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k, preferred_element_type=jnp.float32)
        share = at("share", jax.nn.softmax(scores / self.head_dim**0.5, axis=-1)).astype(v.dtype)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", share, v)
        return self.out(at("mixed", mixed.reshape(-1, self.n_heads * self.head_dim)))


class MLP(nnx.Module):
    """Two dense layers with a GELU between them."""

    def __init__(self, d_model: int, width: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.up = nnx.Linear(d_model, width, dtype=dtype, rngs=rngs)
        self.down = nnx.Linear(width, d_model, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array, at: At = unchanged) -> jax.Array:
        return self.down(at("hidden", jax.nn.gelu(self.up(at("input", x)))))


class Block(nnx.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); without heads or neurons no such branch."""

    def __init__(
        self, config: ModelConfig, layer: int, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs
    ):
        d, heads, width = config.d_model, config.heads[layer], config.mlp_widths[layer]
        self.has_attention, self.has_mlp = heads > 0, width > 0
        if self.has_attention:
            self.attention_norm = nnx.LayerNorm(d, rngs=rngs)
            self.attention = Attention(d, heads, config.head_dim, dtype=dtype, rngs=rngs)
        if self.has_mlp:
            self.mlp_norm = nnx.LayerNorm(d, rngs=rngs)
            self.mlp = MLP(d, width, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array, n_tokens: int, at: At = unchanged) -> jax.Array:
        if self.has_attention:
            mixed = self.attention(self.attention_norm(x), n_tokens, within(at, "attention"))
            x = x + mixed.astype(x.dtype)
        if self.has_mlp:
            x = x + self.mlp(self.mlp_norm(x), within(at, "mlp")).astype(x.dtype)
        return at("output", x)
