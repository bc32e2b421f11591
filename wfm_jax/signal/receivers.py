"""Classical receivers: LS, ensemble LMMSE and genie channel estimates before an exact demapper.

They are what a network is measured against, and they share its preprocessing: the timing of a frame
is estimated from the pilots and taken out before anything is interpolated. Over a frame of the
default link the channel stands still (walking speed), so pilots of different OFDM symbols are
averaged.

A demapper behind an estimate is fed n0 **plus the estimation error's variance**, computed for any
linear estimator h = W p from the covariance R of the ensemble:

    E|W p - h|^2 = diag(W R_pp W^H - 2 Re(W R_p:) + R + n0/n_pilot_symbols W W^H).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.signal import link, mixed_qam


class ChannelEstimate(NamedTuple):
    """``channel`` complex64[batch, n_symbols, n_subcarriers] and ``error_variance``, float32 of
    the same shape."""

    channel: jax.Array
    error_variance: jax.Array


class Aligned(NamedTuple):
    """A frame with its timing taken out.

    ``grid`` and ``csi`` as in ``Frame``, times ``ramp``, complex64[batch, n_subcarriers] of
    magnitude one; a channel estimated from them, over ``ramp``, is the frame's.
    """

    grid: jax.Array
    csi: jax.Array
    ramp: jax.Array


def align_timing(config: link.LinkConfig, grid: jax.Array, csi: jax.Array) -> Aligned:
    """Removes the mean delay, read from the phase between neighbouring pilots.

    The slope is unambiguous for mean delays within half of
    ``fft_size / pilot_spacing`` samples around the middle of the timing range.
    """
    k = np.arange(config.n_subcarriers)
    middle = config.n_filter + (config.max_timing_offset + 1) / 2.0
    coarse = jnp.asarray(np.exp(2j * np.pi * k * middle / config.n_fft), jnp.complex64)
    rough = csi * coarse[:: config.pilot_spacing]
    product = jnp.sum(rough[..., 1:] * jnp.conj(rough[..., :-1]), axis=(1, 2))
    step = jnp.angle(product) / config.pilot_spacing
    ramp = coarse * jnp.exp(-1j * step[:, None] * k)
    pilot_ramp = ramp[:, None, :: config.pilot_spacing]
    return Aligned(grid * ramp[:, None, :], csi * pilot_ramp, ramp)


def interpolation_matrix(config: link.LinkConfig) -> np.ndarray:
    """Linear interpolation along frequency, float32[n_subcarriers, n_pilots_each]; the edge beyond
    the last pilot is extrapolated."""
    at = np.arange(0, config.n_subcarriers, config.pilot_spacing)
    weights = np.zeros((config.n_subcarriers, at.size), np.float32)
    for k in range(config.n_subcarriers):
        left = min(k // config.pilot_spacing, at.size - 2)
        share = (k - at[left]) / config.pilot_spacing
        weights[k, left : left + 2] = 1.0 - share, share
    return weights


def ensemble_covariance(config: link.LinkConfig, *, key: jax.Array, n_frames: int = 8192):
    """Covariance over frequency of the aligned channel, over all the link can draw.

    Returns:
        complex64[n_subcarriers, n_subcarriers], E[h h^H], from ``n_frames`` simulated frames.
    """

    def chunk(key: jax.Array) -> jax.Array:
        frame = link.sample_frames(config, key=key, batch_size=256)
        aligned = align_timing(config, frame.grid, frame.csi)
        h = jnp.mean(frame.channel, axis=1) * aligned.ramp
        return jnp.einsum("bi,bj->ij", h, jnp.conj(h)) / h.shape[0]

    keys = jax.random.split(key, max(1, n_frames // 256))
    return jnp.mean(jax.lax.map(chunk, keys), axis=0)


def estimate_ls(
    config: link.LinkConfig, csi: jax.Array, n0: jax.Array, covariance: jax.Array
) -> ChannelEstimate:
    """LS at the pilots, linearly interpolated; ``covariance`` only predicts its error."""
    weights = jnp.asarray(interpolation_matrix(config), jnp.complex64)
    weights = jnp.broadcast_to(weights, (csi.shape[0], *weights.shape))
    return _linear_estimate(config, weights, csi, n0, covariance)


def estimate_lmmse(
    config: link.LinkConfig, csi: jax.Array, n0: jax.Array, covariance: jax.Array
) -> ChannelEstimate:
    """LMMSE from the pilots with one fixed covariance and known n0.

    With :func:`ensemble_covariance` this is the fair classical baseline: it knows the statistics
    of the hall, not those of the frame.

    Args:
        config: the link.
        csi: complex64[batch, n_pilot_symbols, n_pilots_each], aligned.
        n0: float32[batch].
        covariance: complex64[n_subcarriers, n_subcarriers].
    """
    comb = slice(None, None, config.pilot_spacing)
    # R_hp (R_pp + s I)^-1 for every frame's s, from one eigendecomposition of R_pp = U L U^H.
    levels, basis = jnp.linalg.eigh(covariance[comb, comb])
    damping = 1.0 / (jnp.maximum(levels, 0.0) + (n0 / csi.shape[1])[:, None])
    weights = jnp.einsum("fk,bk,pk->bfp", covariance[:, comb] @ basis, damping, jnp.conj(basis))
    return _linear_estimate(config, weights, csi, n0, covariance)


def estimate_genie(frame: link.Frame, ramp: jax.Array) -> ChannelEstimate:
    """The true channel (aligned), without error: the floor of the detection task."""
    channel = frame.channel * ramp[:, None, :]
    return ChannelEstimate(channel, jnp.zeros(channel.shape, jnp.float32))


def demap(
    config: link.LinkConfig,
    grid: jax.Array,
    estimate: ChannelEstimate,
    n0: jax.Array,
    modulation: jax.Array,
) -> mixed_qam.MixedDemap:
    """Demaps the data elements behind a channel estimate.

    Args:
        config: the link.
        grid: complex64[batch, n_symbols, n_subcarriers], aligned like the estimate.
        estimate: channel and error variance.
        n0: float32[batch].
        modulation: int32[batch].

    Returns:
        LLRs float32[batch, n_data, m_max] and evidence float32[batch, n_data].
    """
    y, h, error = (link.data_elements(config, x) for x in (grid, *estimate))
    gain = jnp.square(jnp.abs(h)) + 1e-9
    noise = (n0[:, None] + error) / gain
    return mixed_qam.demap(y * jnp.conj(h) / gain, noise, modulation, config.bits_per_symbol)


def modulation_log_likelihood(
    config: link.LinkConfig, grid: jax.Array, estimate: ChannelEstimate, n0: jax.Array
) -> jax.Array:
    """Average-likelihood classification (ALRT): ln p(frame | modulation) up to a constant.

    With the true channel it is the ceiling of blind classification, behind an estimate the fair
    baseline.

    Returns:
        float32[batch, n_modulations].
    """
    batch = grid.shape[0]
    columns = [
        demap(config, grid, estimate, n0, jnp.full((batch,), i)).log_evidence.sum(axis=-1)
        for i in range(len(config.bits_per_symbol))
    ]
    return jnp.stack(columns, axis=-1)


def _linear_estimate(config, weights, csi, n0, covariance) -> ChannelEstimate:
    """h = W p of the symbol-averaged pilots, weights complex64[batch, n_subcarriers, n_comb]."""
    comb = slice(None, None, config.pilot_spacing)
    channel = jnp.einsum("bfp,bp->bf", weights, jnp.mean(csi, axis=1))
    spread = jnp.einsum("bfp,pq,bfq->bf", weights, covariance[comb, comb], jnp.conj(weights)).real
    cross = jnp.einsum("bfp,pf->bf", weights, covariance[comb, :]).real
    noise = jnp.sum(jnp.square(jnp.abs(weights)), axis=-1) * (n0 / csi.shape[1])[:, None]
    error = jnp.maximum(spread - 2.0 * cross + jnp.diag(covariance).real + noise, 0.0)
    shape = (csi.shape[0], config.n_symbols, config.n_subcarriers)
    return ChannelEstimate(
        jnp.broadcast_to(channel[:, None, :], shape), jnp.broadcast_to(error[:, None, :], shape)
    )
