"""What the model says of a frame, and the bits and likelihoods that follow from it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from wfm_jax.model.views import Inputs
from wfm_jax.signal import link, mixed_qam

GAIN_FLOOR = 1e-4
EVIDENCE_NATS = 30.0
NOISE_DOUBT_DB = (-1.0, 0.0, 1.0)
N_DOUBTS = len(NOISE_DOUBT_DB)


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
        delay_spread_s: float32[batch], rms, of the realised profile.
        doppler_hz: float32[batch], maximal Doppler shift; says nothing on a link whose frames are
            too short to show any.
    """

    channel: jax.Array
    log_noise: jax.Array
    modulation: jax.Array
    k_db: jax.Array
    snr_db: jax.Array
    los: jax.Array
    delay_spread_s: jax.Array
    doppler_hz: jax.Array


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
        float32[batch, n_data, m_max], ln P(1)/P(0); 0 in unused slots, and in frames whose resource
        elements no view shows.
    """
    symbols, noise = _equalise(config, inputs, outputs.channel, outputs.log_noise)
    llr = mixed_qam.demap(symbols, noise, modulation, config.bits_per_symbol).llr
    return jnp.where(inputs.has_grid[:, None, None], llr, 0.0)


def log_likelihood(
    config: link.LinkConfig, inputs: Inputs, channel: jax.Array, log_noise: jax.Array
) -> jax.Array:
    """Log likelihood of each constellation behind a channel and noise estimate, 0 for the best.

    A noise estimate from one frame's pilots is good to about 1 dB, and a dense constellation behind
    too little noise looks like a sparse one behind more: the likelihood is therefore averaged over
    noise 1 dB below, at, and 1 dB above the estimate. Differences beyond some 30 nats grow only
    logarithmically, lest one wrong estimate outweigh everything.

    Args:
        config: the link.
        inputs: of the model.
        channel: complex64[batch, n_symbols, n_subcarriers].
        log_noise: ln of the noise variance, float32 of the same shape.

    Returns:
        float32[batch, n_modulations]; 0 for frames whose resource elements no view shows.
    """
    symbols, noise = _equalise(config, inputs, channel, log_noise)
    columns = evidence_in_doubt(config, symbols, noise)
    in_doubt = jnp.stack([jnp.sum(column, axis=2) for column in columns], axis=-1)
    return jnp.where(inputs.has_grid[:, None], weigh_evidence(in_doubt), 0.0)


def evidence_in_doubt(
    config: link.LinkConfig, symbols: jax.Array, noise: jax.Array
) -> list[jax.Array]:
    """Log evidence of each constellation, float32[doubts, ...], of equalised ``symbols``
    complex64[...] and the noise on them, for noise 1 dB below, at, and above what is given."""
    doubt = 10.0 ** (jnp.asarray(NOISE_DOUBT_DB).reshape(-1, *(1,) * noise.ndim) / 10.0)
    return mixed_qam.evidence_of_orders(symbols[None], doubt * noise, config.bits_per_symbol)


def weigh_evidence(in_doubt: jax.Array) -> jax.Array:
    """Sums of :func:`evidence_in_doubt` over elements, float32[doubts, ..., n_modulations], as the
    log likelihood of :func:`log_likelihood`, float32[..., n_modulations]."""
    total = jax.nn.logsumexp(in_doubt, axis=0)
    behind = jnp.max(total, axis=-1, keepdims=True) - total
    return -EVIDENCE_NATS * jnp.log1p(behind / EVIDENCE_NATS)


def _equalise(
    config: link.LinkConfig, inputs: Inputs, channel: jax.Array, log_noise: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Data elements over their channel, and the noise variance left on them: [batch, n_data]."""
    elements = (inputs.grid, channel, log_noise)
    return equalise(*(link.data_elements(config, x) for x in elements))


def equalise(y: jax.Array, h: jax.Array, log_noise: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Elements ``y`` over their channel ``h``, complex64[...], and the noise variance left on them,
    float32[...]; ``log_noise`` is ln of the variance before."""
    gain = jnp.square(h.real) + jnp.square(h.imag) + GAIN_FLOOR
    return y * jnp.conj(h) / gain, jnp.exp(log_noise) / gain
