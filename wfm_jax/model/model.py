"""The model: embeddings of the views, the encoder, the heads; built once as a pure function."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from wfm_jax.model import views
from wfm_jax.model.config import ModelConfig
from wfm_jax.model.encoder import Block
from wfm_jax.model.outputs import Outputs

Params = dict[str, Any]


FILTER_RANK = 16
POSITION_WAVES = 16


def interpolate(query: jax.Array, key: jax.Array, pilots: jax.Array) -> jax.Array:
    """A linear filter over the pilots whose complex weights are bilinear in the tokens.

    Attention without a softmax: the weight of pilot i for subcarrier k is q_k . k_i, so that the
    estimate keeps the pilots' own precision and the tokens only say how to smooth them.

    Args:
        query: float32[batch, n_subcarriers, 2, rank], real and imaginary part.
        key: float32[batch, n_subcarriers, rank]; read at the pilots.
        pilots: complex64[batch, n_pilots], averaged over the pilot symbols.

    Returns:
        complex64[batch, n_subcarriers].
    """
    key = key[:, :: key.shape[1] // pilots.shape[1]] / key.shape[-1]
    weights = jnp.einsum("bfcr,bpr->bcfp", query, key)
    weights = jax.lax.complex(weights[:, 0], weights[:, 1])
    return jnp.einsum("bfp,bp->bf", weights, pilots)


class WirelessModel(nnx.Module):
    """Multi-view transformer: one frame token, a token per patch, a token per iq segment."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        self.config = config
        d, grid_rows = config.d_model, config.link.n_symbols * config.patch_subcarriers

        def table(rows: int) -> nnx.Param:
            return nnx.Param(0.02 * jax.random.normal(rngs.params(), (rows, d)))

        if views.n_patch_features(config):
            self.embed_patch = nnx.Linear(views.n_patch_features(config), d, rngs=rngs)
        self.embed_position = nnx.Param(sinusoids(config.n_tokens, d))
        self.embed_modulation = table(config.n_modulations + 1)
        if "iq" in config.views:
            self.embed_segment = nnx.Linear(2 * config.iq_segment, d, rngs=rngs)
        for i in range(config.n_layers):
            setattr(self, f"block_{i}", Block(config, i, rngs=rngs))
        self.final_norm = nnx.LayerNorm(d, rngs=rngs)
        self.head_element = nnx.Linear(d, 3 * grid_rows, rngs=rngs)
        rank = FILTER_RANK * config.patch_subcarriers
        zeros = nnx.initializers.zeros_init()
        self.head_query = nnx.Linear(d + POSITION_WAVES, 2 * rank, kernel_init=zeros, rngs=rngs)
        self.head_key = nnx.Linear(d + POSITION_WAVES, rank, rngs=rngs)
        self.head_frame = nnx.Linear(2 * d, config.n_modulations + 3, rngs=rngs)

    def __call__(self, inputs: views.Inputs) -> Outputs:
        config, d = self.config, self.config.d_model
        batch = inputs.patches.shape[0]

        def dense(layer: nnx.Linear, x: jax.Array) -> jax.Array:
            return layer(x.reshape(-1, x.shape[-1])).reshape(batch, -1, layer.out_features)

        tokens = [self.embed_modulation[...][inputs.modulation][:, None, :]]
        if views.n_patch_features(config):
            tokens += [dense(self.embed_patch, inputs.patches)]
        else:  # the patch tokens are where answers are read
            tokens += [jnp.zeros((batch, config.n_patches, d))]
        if "iq" in config.views:
            tokens += [dense(self.embed_segment, inputs.segments)]
        x = jnp.concatenate(tokens, axis=1) + self.embed_position[...]
        x = x.reshape(-1, d)
        for i in range(config.n_layers):
            x = getattr(self, f"block_{i}")(x, config.n_tokens)
        x = self.final_norm(x).reshape(batch, config.n_tokens, d)

        patches = x[:, 1 : 1 + config.n_patches]
        frame = jnp.concatenate([x[:, 0], jnp.mean(patches, axis=1)], axis=-1)
        waves = sinusoids(config.n_patches, POSITION_WAVES)
        waves = jnp.broadcast_to(waves, (batch, *waves.shape))
        located = jnp.concatenate([patches, waves], axis=-1)
        query = dense(self.head_query, located).reshape(batch, -1, 2, FILTER_RANK)
        key = dense(self.head_key, located).reshape(batch, -1, FILTER_RANK)
        channel = inputs.channel_ls + interpolate(query, key, inputs.pilots)[:, None, :]
        return self._read(channel, dense(self.head_element, patches), self.head_frame(frame))

    def _read(self, channel: jax.Array, element: jax.Array, frame: jax.Array) -> Outputs:
        """Heads' numbers to their units; raw outputs are of order one."""
        config = self.config
        rows = element.reshape(
            *element.shape[:2], 3, config.link.n_symbols, config.patch_subcarriers
        )
        real, imag, noise = jnp.transpose(rows, (2, 0, 3, 1, 4)).reshape(
            3, element.shape[0], config.link.n_symbols, -1
        )
        n = config.n_modulations
        return Outputs(
            channel=channel + 0.1 * jax.lax.complex(real, imag),
            log_noise=-9.0 + 11.0 * jax.nn.sigmoid(0.5 * noise),
            modulation=frame[:, :n],
            k_db=7.0 + 8.0 * frame[:, n],
            snr_db=15.0 + 10.0 * frame[:, n + 1],
            los=frame[:, n + 2],
        )


def sinusoids(n_positions: int, d_model: int) -> jax.Array:
    """Start of the position table, float32[n_positions, d_model]: sines and cosines whose periods
    run from 4 to 4 ``n_positions`` tokens, of amplitude one half (after Vaswani et al. 2017)."""
    n = jnp.arange(d_model // 2)
    periods = 4.0 * float(n_positions) ** (n / max(1, d_model // 2 - 1))
    phase = 2.0 * jnp.pi * jnp.arange(n_positions)[:, None] / periods
    return 0.5 * jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], axis=1)


def build(
    config: ModelConfig, key: jax.Array
) -> tuple[Callable[[Params, views.Inputs], Outputs], Params]:
    """Builds the model once, as a pure function of a plain dict of parameters.

    Args:
        config: the architecture.
        key: typed PRNG key of the initial parameters.

    Returns:
        ``apply(params, inputs) -> Outputs`` and the initial ``params``, a nested dict whose path
        names are stable: ``block_0/attention/query/kernel``.
    """
    graph, state = nnx.split(WirelessModel(config, rngs=nnx.Rngs(params=key)))
    names = nnx.to_pure_dict(state)

    def apply(params: Params, inputs: views.Inputs) -> Outputs:
        return nnx.merge(graph, nnx.State(params))(inputs)

    return apply, names


def param_shapes(config: ModelConfig) -> Params:
    """Shapes and dtypes of the parameters, without computing any."""
    return jax.eval_shape(lambda: build(config, jax.random.key(0))[1])
