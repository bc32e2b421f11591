"""Classical receivers: LS, LMMSE and genie channel estimates before an exact demapper.

They are what a network is measured against, and they share its preprocessing: the timing of a frame
is estimated from the pilots and taken out before anything is interpolated. LMMSE knows either the
ensemble of all links or the delay profile of the frame at hand.

Every estimate is linear in the pilots: h_t = W_t sum_p T_tp csi_p at OFDM symbol t, W over
frequency and T over time. Over a frame of the default link the channel stands still (walking
speed), so T averages the pilot symbols; a channel that moves, or an oscillator that is off, wants
interpolation. LMMSE makes W_t for the noise that T leaves at t.

A demapper behind an estimate is fed n0 **plus the estimation error's variance**, computed for any W
from the covariance R, of a channel that stands still:

    E|h_t - W_t sum_p T_tp csi_p|^2
        = diag(W R_pp W^H - 2 Re(W R_p:) + R + n0 sum_p T_tp^2 W W^H),    sum_p T_tp = 1.

What a moving channel does between the pilot symbols is not in it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.signal import link, mixed_qam, ofdm, offsets, profiles, qam
from wfm_jax.signal.channel import sample_taps


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

    Args:
        config: the link.
        grid: complex64[batch, n_symbols, n_subcarriers], as received.
        csi: complex64[batch, n_pilot_symbols, n_pilots_each], LS at the pilots.
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


def true_covariance(config: link.LinkConfig, draw: link.Draw, ramp: jax.Array) -> jax.Array:
    """Covariance over frequency of each frame's own aligned channel: what a receiver knows that
    knows the frame's delay profile, K, timing offset and filter, but not its fades.

    The mean is over fading and over independent phases of the specular rays, of a channel that
    stands still within an OFDM symbol. On the rays' way to subcarriers it takes the link's own
    filter, so it is exact at the edges of the band too.

    Args:
        config: the link.
        draw: the frames' statistics.
        ramp: complex64[batch, n_subcarriers] of :func:`align_timing`; ones for the bare channel.

    Returns:
        complex64[batch, n_subcarriers, n_subcarriers], E[h h^H].
    """
    profile = draw.propagation.profile
    batch, n_rays = profile.delays_s.shape
    taps = sample_taps(
        jnp.broadcast_to(jnp.eye(n_rays, dtype=jnp.complex64), (batch, n_rays, n_rays)),
        offsets.window_offset(profile.delays_s, draw.timing_offset, config.sample_s),
        sample_s=config.sample_s,
        n_taps=config.n_taps,
        half_width=config.n_filter,
    )
    rays = ofdm.tap_response(taps, config.n_subcarriers, config.n_fft) * ramp[:, None, :]
    rays = rays * jnp.sqrt(profiles.mean_powers(profile))[..., None]
    return jnp.einsum("bli,blj->bij", rays, jnp.conj(rays), precision="highest")


def average_over_time(config: link.LinkConfig) -> np.ndarray:
    """The mean over pilot symbols, float32[n_symbols, n_pilot_symbols]: least noise, right where
    the channel stands still."""
    n = len(config.pilot_symbols)
    return np.full((config.n_symbols, n), 1.0 / n, np.float32)


def interpolate_over_time(config: link.LinkConfig) -> np.ndarray:
    """Linear interpolation between pilot symbols, float32[n_symbols, n_pilot_symbols]: right where
    the channel moves.

    Beyond the outer pilot symbols the nearest one is held: a line through two noisy points grows
    their noise with the square of the distance (13 symbols beyond two neighbours it is 25 dB
    stronger), holding leaves it as it is.
    """
    at = np.asarray(sorted(config.pilot_symbols), np.float64)
    t = np.arange(config.n_symbols)
    return np.stack([np.interp(t, at, row) for row in np.eye(at.size)], 1).astype(np.float32)


def estimate_ls(
    config: link.LinkConfig,
    csi: jax.Array,
    n0: jax.Array,
    covariance: jax.Array,
    time_weights: np.ndarray | None = None,
) -> ChannelEstimate:
    """LS at the pilots, linearly interpolated; ``covariance`` only predicts its error.

    Arguments and errors as of :func:`estimate_lmmse`.
    """
    rows, row_of = _time_rows(config, time_weights)
    check_covariance(config, covariance, csi.shape[0])
    weights = jnp.asarray(interpolation_matrix(config), jnp.complex64)
    weights = jnp.broadcast_to(weights, (csi.shape[0], len(rows), *weights.shape))
    return _linear_estimate(config, weights, csi, n0, covariance, rows, row_of)


def estimate_lmmse(
    config: link.LinkConfig,
    csi: jax.Array,
    n0: jax.Array,
    covariance: jax.Array,
    time_weights: np.ndarray | None = None,
) -> ChannelEstimate:
    """LMMSE from the pilots, n0 known (Edfors et al., IEEE Trans. Commun. 46(7), 1998).

    With :func:`ensemble_covariance` this is the fair classical baseline: it knows the statistics
    of the hall, not those of the frame. With :func:`true_covariance` it is the best linear receiver
    of pilots alone.

    Args:
        config: the link.
        csi: complex64[batch, n_pilot_symbols, n_pilots_each], aligned.
        n0: float32[batch].
        covariance: complex64[n_subcarriers, n_subcarriers], or one a frame, [batch, ...].
        time_weights: float32[n_symbols, n_pilot_symbols], rows of sum one, static; of
            :func:`interpolate_over_time` or, by default, :func:`average_over_time`.

    Raises:
        ValueError: time weights of a wrong shape or sum, or a covariance of a wrong shape.
    """
    rows, row_of = _time_rows(config, time_weights)
    check_covariance(config, covariance, csi.shape[0])
    comb = slice(None, None, config.pilot_spacing)
    observed, across = covariance[..., comb, comb], covariance[..., :, comb]
    noise = n0[:, None] * np.sum(np.square(rows), axis=1)
    # R_hp (R_pp + s I)^-1 for every s, from one eigendecomposition of R_pp = U L U^H: on a CPU ten
    # times faster than one batched triangular solve, and sound without any noise at all.
    levels, basis = jnp.linalg.eigh(observed)
    floor = 1e-6 * jnp.max(levels, axis=-1, keepdims=True)
    damping = 1.0 / (jnp.maximum(levels, floor)[..., None, :] + noise[..., None])
    modes = jnp.swapaxes(jnp.conj(basis), -1, -2)[..., None, :, :]
    weights = ((across @ basis)[..., None, :, :] * damping[..., None, :]) @ modes
    return _linear_estimate(config, weights, csi, n0, covariance, rows, row_of)


def estimate_genie(frame: link.Frame, ramp: jax.Array) -> ChannelEstimate:
    """The true channel (aligned), without error: the floor of the detection task."""
    channel = frame.channel * ramp[:, None, :]
    return ChannelEstimate(channel, jnp.zeros(channel.shape, jnp.float32))


def equalise(
    config: link.LinkConfig, grid: jax.Array, estimate: ChannelEstimate, n0: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Data elements over their channel, and the noise that is left on them.

    Args:
        config: the link.
        grid: complex64[batch, n_symbols, n_subcarriers], aligned like the estimate.
        estimate: channel and error variance.
        n0: float32[batch].

    Returns:
        complex64[batch, n_data] and float32[batch, n_data], (n0 + error variance) / |h|^2.
    """
    y, h, error = (link.data_elements(config, x) for x in (grid, *estimate))
    gain = jnp.square(jnp.abs(h)) + 1e-9
    return y * jnp.conj(h) / gain, (n0[:, None] + error) / gain


def demap(
    config: link.LinkConfig,
    grid: jax.Array,
    estimate: ChannelEstimate,
    n0: jax.Array,
    modulation: jax.Array,
    *,
    method: str = "exact",
) -> mixed_qam.MixedDemap:
    """Demaps the data elements behind a channel estimate.

    Args:
        config: the link.
        grid: complex64[batch, n_symbols, n_subcarriers], aligned like the estimate.
        estimate: channel and error variance.
        n0: float32[batch].
        modulation: int32[batch].
        method: "exact" or, of a link with one constellation, "maxlog".

    Returns:
        LLRs float32[batch, n_data, m_max] and evidence float32[batch, n_data]; the evidence is
        exact whatever the method, and costs nothing in a compiled program that does not read it.

    Raises:
        ValueError: unknown ``method``, or "maxlog" where frames differ in their constellation.
    """
    qam.check_method(method)
    orders = config.bits_per_symbol
    if method == "maxlog" and len(orders) > 1:
        raise ValueError(f'method "maxlog" needs one constellation, the link has {orders}')
    symbols, noise = equalise(config, grid, estimate, n0)
    demapped = mixed_qam.demap(symbols, noise, modulation, orders)
    if len(orders) == 1:
        demapped = demapped._replace(llr=qam.demap(symbols, noise, orders[0], method))
    return demapped


def check_covariance(config: link.LinkConfig, covariance: jax.Array, batch: int) -> None:
    """ValueError unless there is one covariance over the subcarriers, or one for each frame of the
    ``batch``."""
    n = config.n_subcarriers
    if covariance.shape not in ((n, n), (batch, n, n)):
        raise ValueError(
            f"covariance must have shape {(n, n)} or {(batch, n, n)}, got {covariance.shape}"
        )


def _linear_estimate(
    config: link.LinkConfig,
    weights: jax.Array,
    csi: jax.Array,
    n0: jax.Array,
    covariance: jax.Array,
    rows: np.ndarray,
    row_of: np.ndarray,
) -> ChannelEstimate:
    """h = W sum_p T_p csi_p and its error, W complex64[batch, n_rows, n_subcarriers, n_comb] for
    every distinct row of T."""
    comb = slice(None, None, config.pilot_spacing)
    r = covariance if covariance.ndim == 2 else covariance[:, None]
    pilots = jnp.einsum("tp,bpc->btc", rows, csi)
    channel = jnp.einsum("btfc,btc->btf", weights, pilots)
    spread = jnp.sum((weights @ r[..., comb, comb] * jnp.conj(weights)).real, axis=-1)
    cross = jnp.sum((weights * jnp.swapaxes(r[..., comb, :], -1, -2)).real, axis=-1)
    power = jnp.diagonal(r, axis1=-2, axis2=-1).real
    noise = jnp.sum(jnp.square(jnp.abs(weights)), axis=-1)
    noise = noise * (n0[:, None] * np.sum(np.square(rows), axis=1))[..., None]
    error = jnp.maximum(spread - 2.0 * cross + power + noise, 0.0)
    return ChannelEstimate(channel[:, row_of], error[:, row_of])


def _time_rows(
    config: link.LinkConfig, time_weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows of the time weights, float32[n_rows, n_pilot_symbols], and int[n_symbols], the
    row of each OFDM symbol."""
    weights = average_over_time(config) if time_weights is None else time_weights
    weights = np.asarray(weights, np.float32)
    shape = (config.n_symbols, len(config.pilot_symbols))
    if weights.shape != shape or not np.allclose(weights.sum(axis=1), 1.0, atol=1e-4):
        raise ValueError(f"time_weights must have shape {shape} and rows of sum one, got {weights}")
    rows, row_of = np.unique(weights, axis=0, return_inverse=True)
    return rows, row_of.reshape(-1)
