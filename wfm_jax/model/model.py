"""The model: views to tokens, the encoder, heads that answer in the receiver's units.

Heads are built around what a receiver knows for certain, and the network supplies what it does not:

- *channel*: LS plus a filter over the pilots whose complex weights are bilinear in the tokens
  (attention without a softmax: the estimate keeps the pilots' own precision), a share of the
  pilots' change over the frame, and a correction read from the tokens;
- *bits*: the exact demapper behind the network's channel and noise (:mod:`outputs`);
- *modulation*: the likelihood of every constellation behind the network's channel and noise,
  weighed by the network, plus its own opinion;
- *link state*: K, SNR, LOS, delay spread and Doppler from the frame token and the patches' mean.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from wfm_jax.model import positions, views
from wfm_jax.model.config import ModelConfig
from wfm_jax.model.encoder import Block, Reach
from wfm_jax.model.outputs import Outputs, log_likelihood
from wfm_jax.model.points import At, Forward, unchanged, within
from wfm_jax.model.tokens import Tokenizer

Params = dict[str, Any]

FILTER_RANK = 16
LINK_STATE = ("k_db", "snr_db", "los", "delay_spread_s", "doppler_hz", "motion", "trust")


class Tokens(NamedTuple):
    """The encoder's answer, float32: ``frame`` [batch, d_model], ``patches`` [batch, n_patches,
    d_model], ``segments`` [batch, n_segments, d_model]."""

    frame: jax.Array
    patches: jax.Array
    segments: jax.Array


class WirelessModel(nnx.Module):
    """Multi-view transformer: one frame token, a token per patch, a token per iq segment.

    A patch token is the sum of what grid, csi and spectrogram show of its subcarriers.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        dtype: DTypeLike = jnp.float32,
        remat: bool = False,
        rngs: nnx.Rngs,
    ):
        self.config, self.remat = config, remat
        d, patch = config.d_model, config.patch_subcarriers
        for view in config.views:
            waves = positions.SEGMENT_WAVES if view == "iq" else positions.FREQUENCY_WAVES
            tokenizer = Tokenizer(views.n_features(config, view), waves, d, rngs=rngs)
            setattr(self, f"embed_{view}", tokenizer)
        table = 0.02 * jax.random.normal(rngs.params(), (config.n_modulations + 1, d))
        self.embed_modulation = nnx.Param(table)
        for i in range(config.n_layers):
            setattr(self, f"block_{i}", Block(config, i, dtype=dtype, rngs=rngs))
        self.final_norm = nnx.LayerNorm(d, rngs=rngs)
        self.head_element = nnx.Linear(d, 4 * patch, rngs=rngs)
        located = d + positions.FREQUENCY_WAVES
        zeros = nnx.initializers.zeros_init()
        self.head_query = nnx.Linear(located, 2 * FILTER_RANK * patch, kernel_init=zeros, rngs=rngs)
        self.head_key = nnx.Linear(located, FILTER_RANK * patch, rngs=rngs)
        self.head_frame = nnx.Linear(2 * d, config.n_modulations + len(LINK_STATE), rngs=rngs)

    def __call__(self, inputs: views.Inputs, at: At = unchanged) -> Outputs:
        return self.answer(inputs, self.encode(inputs, at))

    def encode(self, inputs: views.Inputs, at: At = unchanged) -> Tokens:
        """The encoder's tokens; ``at`` is called at every point of :mod:`points`."""
        config = self.config
        frame = self.embed_modulation[...][inputs.modulation][:, None, :]
        places, times = positions.frequency_code(config), view_times(config)
        batch = frame.shape[0]
        patches = jnp.zeros((batch, config.n_patches, config.d_model))
        parts = [frame]
        for view in config.views:
            code = positions.segment_code(config) if view == "iq" else places
            tokens = self.tokenizer(view)(
                inputs.views[view], inputs.visible[view], times[view], code
            )
            if view == "iq":
                segments = tokens
            else:
                patches = patches + tokens
        parts += [patches] + ([segments] if "iq" in config.views else [])
        x = self.run_blocks(jnp.concatenate(parts, axis=1), at)
        n = 1 + config.n_patches
        return Tokens(x[:, 0], x[:, 1:n], x[:, n:])

    def tokenizer(self, view: str) -> Tokenizer:
        """Of a view that the model reads."""
        return getattr(self, f"embed_{view}")

    def run_blocks(self, x: jax.Array, at: At, reach: Reach | None = None) -> jax.Array:
        """All blocks and the last norm on ``x``, float32[batch, tokens, d_model] in and out.

        ``at`` is called at every point; ``reach`` says what keys and values queries see, all by
        default.
        """
        config, shape = self.config, x.shape

        def run(block: Block, x: jax.Array, at: At) -> jax.Array:
            return block(x, shape[1], at, reach)

        if self.remat:
            run = nnx.remat(run, static_argnums=2)
        x = x.reshape(-1, config.d_model)
        for i in range(config.n_layers):
            x = run(getattr(self, f"block_{i}"), x, within(at, f"block_{i}"))
        return self.final_norm(x).reshape(shape)

    def answer(self, inputs: views.Inputs, tokens: Tokens) -> Outputs:
        """All heads; raw outputs are of order one."""
        config, (frame, patches, _) = self.config, tokens
        opinion, state = self.summarise(frame, patches)
        lines = self.filter_pilots(patches, inputs.channel_ls, inputs.pilots)

        element = self.of_elements(patches)
        real, imag, noise, spread = jnp.moveaxis(element, -1, 0)
        middle = lines[:, 0] + 0.1 * jax.lax.complex(real, imag)
        offset = views.pilot_offsets(config.link, positions.symbol_times(config.link))
        offset = jnp.asarray(offset, jnp.float32)[:, None]
        moving = jax.nn.sigmoid(state["motion"] - 2.0)[:, None, None]
        channel = middle[:, None] + moving * offset * lines[:, 1:]
        noise = noise[:, None] + spread[:, None] * jnp.square(offset)
        log_noise = log_noise_of(noise)

        evidence = log_likelihood(config.link, inputs, channel, log_noise)
        trust = jax.nn.sigmoid(state["trust"] - 1.0)
        modulation = opinion + trust[:, None] * jax.lax.stop_gradient(evidence)
        return Outputs(channel, log_noise, modulation, **link_state(state))

    def summarise(
        self, frame: jax.Array, patches: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The head of the frame token and the patches' mean: logits [batch, n_modulations] and, by
        the names of ``LINK_STATE``, raw outputs [batch]."""
        summary = self.head_frame(jnp.concatenate([frame, jnp.mean(patches, axis=1)], axis=-1))
        opinion = summary[:, : self.config.n_modulations]
        return opinion, dict(zip(LINK_STATE, summary[:, opinion.shape[1] :].T, strict=True))

    def filter_pilots(
        self, patches: jax.Array, channel_ls: jax.Array, pilots: jax.Array
    ) -> jax.Array:
        """``channel_ls`` plus a filter over the pilots that the patches' tokens make,
        complex64[batch, 2, n_subcarriers]."""
        batch, places = patches.shape[0], positions.frequency_code(self.config)
        places = jnp.broadcast_to(places, (batch, *places.shape))
        located = jnp.concatenate([patches, places], axis=-1)
        query = _dense(self.head_query, located).reshape(batch, -1, 2, FILTER_RANK)
        key = _dense(self.head_key, located).reshape(batch, -1, FILTER_RANK)
        return channel_ls + interpolate(query, key, pilots)

    def of_elements(self, patches: jax.Array) -> jax.Array:
        """Correction of the channel, real and imaginary, noise and its spread over time, raw:
        float32[batch, n_subcarriers, 4]."""
        return _dense(self.head_element, patches).reshape(patches.shape[0], -1, 4)


def log_noise_of(raw: jax.Array) -> jax.Array:
    """Log of the noise variance, between -9 and 2, of the shape of ``raw``."""
    return -9.0 + 11.0 * jax.nn.sigmoid(0.5 * raw)


def link_state(raw: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Fields of :class:`Outputs`, float32[batch] in their units, from raw outputs of order one."""
    return {
        "k_db": 7.0 + 8.0 * raw["k_db"],
        "snr_db": 15.0 + 10.0 * raw["snr_db"],
        "los": raw["los"],
        "delay_spread_s": 50e-9 * jnp.exp(0.5 * raw["delay_spread_s"]),
        "doppler_hz": 10.0 * jnp.exp(raw["doppler_hz"]),
    }


def _dense(layer: nnx.Linear, x: jax.Array) -> jax.Array:
    """The layer at every token of [batch, tokens, features]."""
    return layer(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:2], -1)


def interpolate(query: jax.Array, key: jax.Array, pilots: jax.Array) -> jax.Array:
    """A linear filter over the pilots whose complex weights are bilinear in the tokens.

    The weight of pilot i for subcarrier k is q_k . k_i over the number of pilots.

    Args:
        query: float32[batch, n_subcarriers, 2, rank], real and imaginary part.
        key: float32[batch, n_subcarriers, rank]; read at the pilots.
        pilots: complex64[batch, n, n_pilots], filtered alike for each of the n.

    Returns:
        complex64[batch, n, n_subcarriers].
    """
    n_pilots = pilots.shape[-1]
    key = key[:, :: key.shape[1] // n_pilots] / n_pilots
    weights = jnp.einsum("bfcr,bpr->bcfp", query, key)
    weights = jax.lax.complex(weights[:, 0], weights[:, 1])
    return jnp.einsum("bfp,blp->blf", weights, pilots)


def view_times(config: ModelConfig) -> dict[str, Any]:
    """Codes of the times within a token of each view, float32[times, TIME_WAVES]."""
    times = {
        "grid": positions.symbol_times(config.link),
        "csi": positions.pilot_times(config.link),
        "spectrogram": positions.window_times(config.link),
    }
    codes = {view: positions.time_code(at) for view, at in times.items()}
    # The place of an iq segment already says when it is.
    return codes | {"iq": positions.time_code(positions.symbol_times(config.link)[:1]) * 0.0}


def build(
    config: ModelConfig,
    key: jax.Array,
    *,
    dtype: DTypeLike = jnp.float32,
    remat: bool = False,
) -> tuple[Forward, Params]:
    """Builds the model once, as a pure function of a plain dict of parameters.

    Args:
        config: the architecture.
        key: typed PRNG key of the initial parameters.
        dtype: what the encoder's matrix products are computed in, float32 or bfloat16; parameters,
            norms, softmax and heads stay float32.
        remat: recompute the encoder's activations in the backward pass: memory for time.

    Returns:
        ``apply(params, inputs) -> Outputs`` and the initial ``params``, a nested dict whose path
        names are stable: ``block_0/attention/query/kernel``. ``apply`` takes ``at=`` too, a
        function that is called at the points of :mod:`wfm_jax.model.points`.
    """
    model = WirelessModel(config, dtype=dtype, remat=remat, rngs=nnx.Rngs(params=key))
    graph, state = nnx.split(model)
    names = nnx.to_pure_dict(state)

    def apply(params: Params, inputs: views.Inputs, *, at: At | None = None) -> Outputs:
        return nnx.merge(graph, nnx.State(params))(inputs, unchanged if at is None else at)

    return apply, names


def param_shapes(config: ModelConfig) -> Params:
    """Shapes and dtypes of the parameters, without computing any."""
    return jax.eval_shape(lambda: build(config, jax.random.key(0))[1])
