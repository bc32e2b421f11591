"""What is measured of each test frame, for a model; every metric is a mean or a ratio of these."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.evaluate.frames import TestSet
from wfm_jax.model import Batch, ModelConfig, Outputs, bit_llrs, to_batch
from wfm_jax.signal import link, mixed_qam

Apply = Callable[[Any, Any], Outputs]
"""``apply(params, inputs) -> Outputs``, as :func:`wfm_jax.model.build` returns it."""

Array = Any
"""A ``jax.Array`` inside a program, a NumPy array on the host."""


class FrameScores(NamedTuple):
    """Scores of frames, each float32[..., n_frames]; NaN where a receiver lacks the task.

    Detection and channel estimation know the modulation, all else is blind.

    Attributes:
        bit_errors: hard decisions that are wrong.
        n_bits: payload bits of the frame.
        gmi_fraction: 1 - mean over its bits of log2(1 + exp(-(2b - 1) LLR)): GMI over bits per
            symbol; negative for LLRs that are confidently wrong.
        channel_error: sum over the grid of |estimate - h|^2, in the frame's own units.
        channel_power: sum over the grid of |h|^2. Over an ensemble, the ratio of the means of
            these two is the NMSE.
        modulation: index of the modulation that was decided on.
        amc_correct: whether it is the true one.
        k_error_db: absolute error of the K-factor; 0 without a LOS ray.
        has_k: whether there is a K to estimate.
        snr_error_db: absolute error of the frame's SNR.
        los_correct: whether the LOS flag was decided rightly.
        loss: cross entropies in bits: per payload bit, of the modulation and of the LOS flag.
        delay_spread_error_s: absolute error of the rms delay spread.
        doppler_error_hz: absolute error of the maximal Doppler shift. At walking speed a frame of
            the default link is too short to show any.
    """

    bit_errors: Array
    n_bits: Array
    gmi_fraction: Array
    channel_error: Array
    channel_power: Array
    modulation: Array
    amc_correct: Array
    k_error_db: Array
    has_k: Array
    snr_error_db: Array
    los_correct: Array
    loss: Array
    delay_spread_error_s: Array
    doppler_error_hz: Array


def no_scores(shape: tuple[int, ...]) -> FrameScores:
    """NaN in every field, for what has a few of them only."""
    return FrameScores(*(np.full(shape, np.nan, np.float32) for _ in FrameScores._fields))


class Scored(NamedTuple):
    """One receiver on a test set, over SNR: ``scores`` NumPy float32[n_snr, n_frames]."""

    test_set: TestSet
    snrs_db: tuple[float, ...]
    scores: FrameScores

    def row(self, snr_db: float) -> int:
        """Index of an SNR. Raises ValueError where it was not measured."""
        if snr_db not in self.snrs_db:
            raise ValueError(f"{snr_db:g} dB was not measured, only {self.snrs_db}")
        return self.snrs_db.index(snr_db)

    def at(self, snr_db: float) -> FrameScores:
        """Scores at one SNR, float32[n_frames]."""
        row = self.row(snr_db)
        return FrameScores(*(values[row] for values in self.scores))


class Payload(NamedTuple):
    """Detection and channel estimation of frames, each float32[n_frames], as in FrameScores."""

    bit_errors: jax.Array
    n_bits: jax.Array
    gmi_fraction: jax.Array
    channel_error: jax.Array
    channel_power: jax.Array


def score(
    config: ModelConfig,
    apply: Apply,
    params: Any,
    frame: link.Frame,
    present: jax.Array | None = None,
) -> FrameScores:
    """The scores of :func:`score_and_demap` alone; arguments as of :func:`answer`."""
    return score_answers(config, answer(config, apply, params, frame, present))[0]


def score_and_demap(
    config: ModelConfig, apply: Apply, params: Any, frame: link.Frame
) -> tuple[FrameScores, jax.Array]:
    """Scores a model on frames in two passes: modulation token known, and masked.

    Args:
        config: the model.
        apply: its forward pass.
        params: what the forward pass sees, compression applied.
        frame: the test frames.

    Returns:
        Scores, and the LLRs of the data bits, float32[n_frames, n_data, m_max].
    """
    return score_answers(config, answer(config, apply, params, frame))


class Answers(NamedTuple):
    """What a model says of frames in two passes: modulation token ``known``, and ``blind``.

    ``batch`` holds the frames and the inputs of the first pass.
    """

    batch: Batch
    known: Outputs
    blind: Outputs


def answer(
    config: ModelConfig,
    apply: Apply,
    params: Any,
    frame: link.Frame,
    present: jax.Array | None = None,
) -> Answers:
    """Runs the two passes; arguments of :func:`score_and_demap`, and ``present``
    bool[n_frames, len(VIEWS)], the views that each frame has, at least one of the model's
    (default: all)."""
    batch = to_batch(config, frame, jnp.zeros(frame.modulation.shape, bool), present)
    masked = jnp.full_like(batch.inputs.modulation, config.n_modulations)
    known = apply(params, batch.inputs)
    return Answers(batch, known, apply(params, batch.inputs._replace(modulation=masked)))


def score_answers(config: ModelConfig, answers: Answers) -> tuple[FrameScores, jax.Array]:
    """Returns what :func:`score_and_demap` does, of answers given before."""
    batch, known, blind = answers
    frame = batch.frame
    # The model answers for the aligned, unit-rms frame; its error goes back to the frame's units.
    error = grid_power(known.channel - batch.channel) * frame.n0 / batch.n0
    llr = bit_llrs(config.link, batch.inputs, known, frame.modulation)
    payload = score_payload(config.link, frame, llr, error)
    decided = jnp.argmax(blind.modulation, axis=-1)
    correct_sign = jnp.where(frame.los, 1.0, -1.0)
    scores = FrameScores(
        *payload,
        modulation=decided.astype(jnp.float32),
        amc_correct=(decided == frame.modulation).astype(jnp.float32),
        k_error_db=jnp.where(frame.has_k, jnp.abs(blind.k_db - frame.k_db), 0.0),
        has_k=frame.has_k.astype(jnp.float32),
        snr_error_db=jnp.abs(blind.snr_db - frame.snr_db),
        los_correct=((blind.los > 0.0) == frame.los).astype(jnp.float32),
        loss=1.0
        - payload.gmi_fraction
        + class_bits(blind.modulation, frame.modulation)
        + jax.nn.softplus(-correct_sign * blind.los) / jnp.log(2.0),
        delay_spread_error_s=jnp.abs(blind.delay_spread_s - frame.delay_spread_s),
        doppler_error_hz=jnp.abs(blind.doppler_hz - frame.doppler_hz),
    )
    return scores, llr


def score_payload(
    config: link.LinkConfig, frame: link.Frame, llr: jax.Array, channel_error: jax.Array
) -> Payload:
    """Scores LLRs, ``llr`` float32[n_frames, n_data, m_max], of the data bits; ``channel_error`` is
    passed on."""
    used = mixed_qam.bit_mask(frame.modulation[:, None], config.bits_per_symbol)
    n_bits = config.n_data * jnp.sum(used, axis=(1, 2)).astype(jnp.float32)
    wrong = (llr > 0.0) != (frame.bits > 0)
    lost = jax.nn.softplus(jnp.where(frame.bits > 0, -llr, llr)) / jnp.log(2.0)
    return Payload(
        bit_errors=jnp.sum(wrong & used, axis=(1, 2)).astype(jnp.float32),
        n_bits=n_bits,
        gmi_fraction=1.0 - jnp.sum(jnp.where(used, lost, 0.0), axis=(1, 2)) / n_bits,
        channel_error=channel_error,
        channel_power=grid_power(frame.channel),
    )


def grid_power(grid: jax.Array) -> jax.Array:
    """Sum of |x|^2 over a resource grid, float32[batch]."""
    return jnp.sum(jnp.square(grid.real) + jnp.square(grid.imag), axis=(1, 2))


def class_bits(logits: jax.Array, label: jax.Array) -> jax.Array:
    """Cross entropy in bits, float32[batch], of logits [batch, n] and labels int[batch]."""
    log_share = jax.nn.log_softmax(logits, axis=-1)
    return -jnp.take_along_axis(log_share, label[:, None], axis=-1)[:, 0] / jnp.log(2.0)
