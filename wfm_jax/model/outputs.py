"""What the model says of a frame, and the bits that follow from it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from wfm_jax.model.views import Inputs
from wfm_jax.signal import link, mixed_qam


class Outputs(NamedTuple):
    """Outputs of every head, in the units of the aligned, unit-rms frame.

    Attributes:
        channel: complex64[batch, n_symbols, n_subcarriers].
        log_noise: float32[batch, n_symbols, n_subcarriers], log of the variance of what remains
            after the channel estimate: noise plus estimation error.
        modulation: float32[batch, n_modulations], logits.
        k_db: float32[batch].
        snr_db: float32[batch].
        los: float32[batch], logit.
    """

    channel: jax.Array
    log_noise: jax.Array
    modulation: jax.Array
    k_db: jax.Array
    snr_db: jax.Array
    los: jax.Array


def bit_llrs(
    config: link.LinkConfig, inputs: Inputs, outputs: Outputs, modulation: jax.Array
) -> jax.Array:
    """LLRs of the data bits: the model's channel and noise through the exact demapper.

    Args:
        config: the link.
        inputs: what the model read.
        outputs: what it answered.
        modulation: int32[batch], the modulation to demap.

    Returns:
        float32[batch, n_data, m_max], ln P(1)/P(0); 0 in unused slots.
    """
    y, h, log_noise = (
        link.data_elements(config, x) for x in (inputs.grid, outputs.channel, outputs.log_noise)
    )
    gain = jnp.square(h.real) + jnp.square(h.imag) + 1e-4
    return mixed_qam.demap(
        y * jnp.conj(h) / gain, jnp.exp(log_noise) / gain, modulation, config.bits_per_symbol
    ).llr
