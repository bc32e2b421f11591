"""The transformer encoder: pre-norm blocks of multi-head attention and an MLP.

Activations are ``[batch * tokens, width]`` before every dense layer: with a separate batch axis
the backward pass recomputes the layer norm into a transposed operand of each weight gradient.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from wfm_jax.model.config import ModelConfig


class Attention(nnx.Module):
    """Multi-head self-attention, unmasked; kernels are [d_model, heads * head_dim] and back."""

    def __init__(self, d_model: int, n_heads: int, head_dim: int, *, rngs: nnx.Rngs):
        self.n_heads, self.head_dim = n_heads, head_dim
        inner = n_heads * head_dim
        self.query = nnx.Linear(d_model, inner, rngs=rngs)
        self.key = nnx.Linear(d_model, inner, rngs=rngs)
        self.value = nnx.Linear(d_model, inner, rngs=rngs)
        self.out = nnx.Linear(inner, d_model, rngs=rngs)

    def __call__(self, x: jax.Array, n_tokens: int) -> jax.Array:
        def split(y: jax.Array) -> jax.Array:
            return y.reshape(-1, n_tokens, self.n_heads, self.head_dim)

        q, k, v = split(self.query(x)), split(self.key(x)), split(self.value(x))
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / self.head_dim**0.5
        mixed = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores, axis=-1), v)
        return self.out(mixed.reshape(-1, self.n_heads * self.head_dim))


class MLP(nnx.Module):
    """Two dense layers with a GELU between them."""

    def __init__(self, d_model: int, width: int, *, rngs: nnx.Rngs):
        self.up = nnx.Linear(d_model, width, rngs=rngs)
        self.down = nnx.Linear(width, d_model, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.down(jax.nn.gelu(self.up(x)))


class Block(nnx.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: ModelConfig, layer: int, *, rngs: nnx.Rngs):
        self.attention_norm = nnx.LayerNorm(config.d_model, rngs=rngs)
        self.attention = Attention(config.d_model, config.heads[layer], config.head_dim, rngs=rngs)
        self.mlp_norm = nnx.LayerNorm(config.d_model, rngs=rngs)
        self.mlp = MLP(config.d_model, config.mlp_widths[layer], rngs=rngs)

    def __call__(self, x: jax.Array, n_tokens: int) -> jax.Array:
        x = x + self.attention(self.attention_norm(x), n_tokens)
        return x + self.mlp(self.mlp_norm(x))
