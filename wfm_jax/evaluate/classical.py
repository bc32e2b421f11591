"""Classical receivers scored as models are.

They know n0 (the genie the channel too) and estimate no link state: K, SNR, LOS flag, delay spread
and Doppler are NaN.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from wfm_jax.evaluate.detection import Estimates
from wfm_jax.evaluate.scores import FrameScores, class_bits, grid_power, score_payload
from wfm_jax.signal import classifiers, link, receivers

COVARIANCE_STREAM = 0xC0FA
"""Folded into the key of a test set's seed: the frames that the ensemble's covariance is of."""

Estimate = Callable[[link.LinkConfig, link.Frame, receivers.Aligned], receivers.ChannelEstimate]
"""Estimates the aligned channel of frames."""


def classical_receivers(covariance: jax.Array) -> dict[str, Estimate]:
    """The references by their names in result rows: ``ls``, ``lmmse``, ``genie``.

    Args:
        covariance: complex64[n_subcarriers, n_subcarriers] from
            :func:`wfm_jax.signal.receivers.ensemble_covariance`.
    """
    return {
        "ls": lambda config, frame, aligned: receivers.estimate_ls(
            config, aligned.csi, frame.n0, covariance
        ),
        "lmmse": lambda config, frame, aligned: receivers.estimate_lmmse(
            config, aligned.csi, frame.n0, covariance
        ),
        "genie": lambda config, frame, aligned: receivers.estimate_genie(frame, aligned.ramp),
    }


def score_receiver(config: link.LinkConfig, estimate: Estimate, frame: link.Frame) -> FrameScores:
    """Scores an exact demapper, and a likelihood classifier, behind a channel estimate.

    Args:
        config: the link.
        estimate: of :func:`classical_receivers`.
        frame: the test frames.
    """
    aligned = receivers.align_timing(config, frame.grid, frame.csi)
    channel = estimate(config, frame, aligned)
    return score_estimates(config, frame, aligned, Estimates(channel, channel))[0]


def score_estimates(
    config: link.LinkConfig, frame: link.Frame, aligned: receivers.Aligned, estimates: Estimates
) -> tuple[FrameScores, jax.Array]:
    """Scores an exact demapper, and a likelihood classifier, behind channel estimates.

    Args:
        config: the link.
        frame: the test frames.
        aligned: the same with their timing taken out.
        estimates: of the aligned channel.

    Returns:
        Scores, and the LLRs of the data bits, float32[n_frames, n_data, m_max].
    """
    channel, demapped = estimates
    llr = receivers.demap(config, aligned.grid, demapped, frame.n0, frame.modulation).llr
    error = grid_power(channel.channel - frame.channel * aligned.ramp[:, None, :])
    evidence = classifiers.modulation_log_likelihood(config, aligned.grid, demapped, frame.n0)
    decided = jnp.argmax(evidence, axis=-1)
    payload = score_payload(config, frame, llr, error)
    missing = jnp.full(frame.n0.shape, jnp.nan)
    scores = FrameScores(
        *payload,
        modulation=decided.astype(jnp.float32),
        amc_correct=(decided == frame.modulation).astype(jnp.float32),
        k_error_db=missing,
        has_k=frame.has_k.astype(jnp.float32),
        snr_error_db=missing,
        los_correct=missing,
        loss=1.0 - payload.gmi_fraction + class_bits(evidence, frame.modulation),
        delay_spread_error_s=missing,
        doppler_error_hz=missing,
    )
    return scores, llr
