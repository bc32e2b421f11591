"""Masked modelling: what the encoder says of the tokens it was not shown.

A decoder per view turns an encoder token and a time within it back into the view's features; the
decoders serve pretraining alone and are left behind (masked autoencoders, He et al. 2022,
arXiv 2111.06377; across several views, Bachmann et al. 2022, arXiv 2204.01678).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from wfm_jax.model import positions, views
from wfm_jax.model.config import ModelConfig
from wfm_jax.model.model import Params, WirelessModel, view_times


class Decoder(nnx.Module):
    """[batch, tokens, width] to [batch, tokens, times, features]."""

    def __init__(self, width: int, n_features: int, *, rngs: nnx.Rngs):
        self.token = nnx.Linear(width, width, rngs=rngs)
        self.times = nnx.Linear(positions.TIME_WAVES, width, rngs=rngs)
        self.features = nnx.Linear(width, n_features, rngs=rngs)

    def __call__(self, tokens: jax.Array, times: np.ndarray) -> jax.Array:
        hidden = self.token(tokens)[:, :, None] + self.times(jnp.asarray(times))
        hidden = jax.nn.relu(hidden)
        flat = self.features(hidden.reshape(-1, hidden.shape[-1]))
        return flat.reshape(*hidden.shape[:3], -1)


class MaskedModel(nnx.Module):
    """The model's tokenizers and encoder, and a decoder a view."""

    def __init__(self, config: ModelConfig, *, dtype: DTypeLike, remat: bool, rngs: nnx.Rngs):
        self.config = config
        self.model = WirelessModel(config, dtype=dtype, remat=remat, rngs=rngs)
        for view in config.views:
            decoder = Decoder(config.d_model, views.n_features(config, view), rngs=rngs)
            setattr(self, f"decode_{view}", decoder)

    def __call__(self, inputs: views.Inputs) -> dict[str, jax.Array]:
        tokens = self.model.encode(inputs)
        times = view_times(self.config)
        of = {view: tokens.segments if view == "iq" else tokens.patches for view in inputs.views}
        return {view: getattr(self, f"decode_{view}")(of[view], times[view]) for view in of}


def build_masked(
    config: ModelConfig,
    key: jax.Array,
    *,
    dtype: DTypeLike = jnp.float32,
    remat: bool = False,
) -> tuple[Callable[[Params, views.Inputs], dict[str, jax.Array]], Params]:
    """Builds the masked model as :func:`wfm_jax.model.build` does the model.

    Arguments as of :func:`wfm_jax.model.build`.

    Returns:
        ``apply(params, inputs)``, features of every view as in ``Inputs.views``, and the initial
        ``params``; ``params["model"]`` are the model's own, those of ``build`` for the same key.
    """
    module = MaskedModel(config, dtype=dtype, remat=remat, rngs=nnx.Rngs(params=key))
    graph, state = nnx.split(module)

    def apply(params: Params, inputs: views.Inputs) -> dict[str, jax.Array]:
        return nnx.merge(graph, nnx.State(params))(inputs)

    return apply, nnx.to_pure_dict(state)


def mask_tokens(inputs: views.Inputs, ratio: float, *, key: jax.Array) -> views.Inputs:
    """Inputs with each token of each view hidden with probability ``ratio``."""
    keys = jax.random.split(key, len(inputs.visible))
    visible: dict[str, Any] = {
        view: shown & ~jax.random.bernoulli(view_key, ratio, shown.shape)
        for view_key, (view, shown) in zip(keys, sorted(inputs.visible.items()), strict=True)
    }
    return inputs._replace(visible=visible)
