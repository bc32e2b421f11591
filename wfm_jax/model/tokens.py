"""Tokenizers: what a view shows, and where, as tokens of the model's width.

Every view has one of its own. A frequency-aligned token (a patch of subcarriers) spans all times of
the frame: each time passes a dense layer with its time code and a rectifier, and their mean enters
the token (a deep set; Zaheer et al. 2017, arXiv 1703.06114), so that frames of any length give the
same parameters something to read. A token that is not visible keeps its position and shows a
learned vector instead of the view.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wfm_jax.model import positions


class Tokenizer(nnx.Module):
    """[batch, tokens, times, features] to [batch, tokens, width]."""

    def __init__(self, n_features: int, position_waves: int, width: int, *, rngs: nnx.Rngs):
        self.times = nnx.Linear(n_features + positions.TIME_WAVES, width, rngs=rngs)
        self.token = nnx.Linear(width + position_waves, width, rngs=rngs)
        self.absent = nnx.Param(0.02 * jax.random.normal(rngs.params(), (width,)))

    def __call__(
        self,
        view: jax.Array,
        visible: jax.Array,
        times: np.ndarray | jax.Array,
        places: np.ndarray,
    ) -> jax.Array:
        """Tokens of a view.

        Args:
            view: float32[batch, tokens, times, features].
            visible: bool[batch, tokens].
            times: float32[times, TIME_WAVES], code of the times; or [tokens, times, TIME_WAVES]
                where each token has its own.
            places: float32[tokens, position_waves], code of the tokens.
        """
        batch, n_tokens = view.shape[:2]
        code = jnp.broadcast_to(times, (*view.shape[:3], times.shape[-1]))
        each = jnp.concatenate([view, code], axis=-1).reshape(-1, self.times.in_features)
        hidden = jax.nn.relu(self.times(each)).reshape(*view.shape[:3], -1)
        shown = jnp.where(visible[..., None], jnp.mean(hidden, axis=2), self.absent[...])
        code = jnp.broadcast_to(places, (batch, *places.shape))
        located = jnp.concatenate([shown, code], axis=-1).reshape(batch * n_tokens, -1)
        return self.token(located).reshape(batch, n_tokens, -1)
