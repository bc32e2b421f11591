"""What classical receivers get wrong of each frame, for one constellation of a link at one SNR.

One program serves every SNR and every constellation of a link: both are traced. All receivers see
the same frames, so they are compared on equal fades, bits and noise.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from wfm_jax.signal import link, qam, receivers

DEMAPPINGS = ("exact", "maxlog")
DECISIONS = ("nearest", "llr")


class Received(NamedTuple):
    """Frames as receivers get them, and what only some may look at: ``draw`` (the statistics of
    each link) and the labels in ``frame``."""

    draw: link.Draw
    frame: link.Frame
    aligned: receivers.Aligned


class Estimates(NamedTuple):
    """``channel``, whose error is measured, and ``demapped``, what the demapper is fed: the same,
    but for receivers that must not tell an element what it said itself."""

    channel: receivers.ChannelEstimate
    demapped: receivers.ChannelEstimate


Estimator = Callable[[link.LinkConfig, Received], Estimates]
"""Estimates the aligned channel of frames."""


Array = Any
"""A ``jax.Array`` inside a program, a NumPy array on the host."""


class FrameCounts(NamedTuple):
    """What a receiver got wrong, float32[batch] each; NaN where it has no such thing.

    Attributes:
        bit_errors, symbol_errors: wrong hard decisions of the frame.
        gmi: bits per symbol, m minus the mean over symbols of sum_i log2(1 + exp((1 - 2 b_i)
            llr_i)) for this frame; below zero for LLRs that are confidently wrong.
        channel_error: mean over the grid of |estimate - h|^2.
        channel_power: mean over the grid of |h|^2.
        predicted_error: mean over the grid of the error variance that the receiver expects.
    """

    bit_errors: Array
    symbol_errors: Array
    gmi: Array
    channel_error: Array
    channel_power: Array
    predicted_error: Array


Step = Callable[[jax.Array, jax.Array, jax.Array], dict[str, FrameCounts]]
"""``step(key, snr_db, modulation)``: counts of one batch by receiver; ``modulation`` int32 is an
index into the link's ``bits_per_symbol``. Anything of this form can be simulated."""


def link_step(
    config: link.LinkConfig,
    estimators: Mapping[str, Estimator],
    *,
    batch_frames: int,
    demapping: str = "exact",
    decisions: str = "nearest",
) -> Step:
    """The step that sends a batch of frames over a link and detects it with every receiver.

    Args:
        config: the link; its range of SNRs is not used.
        estimators: channel estimators by name.
        batch_frames: frames of a batch.
        demapping: how LLRs are made, "exact" or "maxlog"; the GMI depends on it.
        decisions: "nearest" decides for the nearest constellation point, as the closed forms do;
            "llr" by the signs of the LLRs, which at low SNR are right 1-2 % more often if exact.

    Raises:
        ValueError: an unknown ``demapping`` or ``decisions``, or no frame.
    """
    qam.check_method(demapping)
    if decisions not in DECISIONS:
        raise ValueError(f"decisions must be one of {', '.join(DECISIONS)}, got {decisions!r}")
    if batch_frames < 1:
        raise ValueError(f"batch_frames must be positive, got {batch_frames}")

    def detect(m: int):
        def branch(symbols, noise, sent):
            llr = qam.demap(symbols, noise, m, demapping)
            decided = qam.decide(symbols, m) if decisions == "nearest" else llr > 0.0
            return _detection_counts(llr, decided > 0, sent[..., :m] > 0)

        return branch

    branches = [detect(m) for m in config.bits_per_symbol]

    def step(key: jax.Array, snr_db: jax.Array, modulation: jax.Array) -> dict[str, FrameCounts]:
        received = _receive(config, key, snr_db, modulation, batch_frames)
        frame, aligned = received.frame, received.aligned
        truth = frame.channel * aligned.ramp[:, None, :]
        counts = {}
        for name, estimator in estimators.items():
            estimate, demapped = estimator(config, received)
            symbols, noise = receivers.equalise(config, aligned.grid, demapped, frame.n0)
            detected = jax.lax.switch(modulation, branches, symbols, noise, frame.bits)
            counts[name] = FrameCounts(
                *detected,
                channel_error=_mean_power(estimate.channel - truth),
                channel_power=_mean_power(truth),
                predicted_error=jnp.mean(estimate.error_variance, axis=(1, 2)),
            )
        return counts

    return step


def _receive(config, key, snr_db, modulation, batch_frames: int) -> Received:
    key_draw, key_send = jax.random.split(key)
    draw = link.draw_links(config, key=key_draw, batch_size=batch_frames)
    draw = draw._replace(
        modulation=jnp.full((batch_frames,), modulation, jnp.int32),
        snr_db=jnp.full((batch_frames,), snr_db, jnp.float32),
    )
    frame = link.transmit(config, draw, key=key_send)
    return Received(draw, frame, receivers.align_timing(config, frame.grid, frame.csi))


def _detection_counts(
    llr: jax.Array, decided: jax.Array, sent: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Bit errors, symbol errors and GMI, float32[batch] of [batch, n_data, m]."""
    wrong = decided != sent
    lost = jax.nn.softplus(jnp.where(sent, -llr, llr)) / jnp.log(2.0)
    return (
        jnp.sum(wrong, axis=(1, 2)).astype(jnp.float32),
        jnp.sum(jnp.any(wrong, axis=2), axis=1).astype(jnp.float32),
        llr.shape[-1] - jnp.mean(jnp.sum(lost, axis=2), axis=1),
    )


def _mean_power(grid: jax.Array) -> jax.Array:
    return jnp.mean(jnp.square(grid.real) + jnp.square(grid.imag), axis=(1, 2))
