"""Losses of the four tasks, supervised and distilled."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from wfm_jax import compress
from wfm_jax.model import Batch, ModelConfig, Outputs, bit_llrs
from wfm_jax.signal import link, mixed_qam

K_SCALE_DB = 6.0
SNR_SCALE_DB = 8.0
DELAY_SPREAD_SCALE = 0.5
DOPPLER_SCALE = 1.0
SEEN_CYCLES = 0.01


@dataclasses.dataclass(frozen=True)
class TaskWeights:
    """Weights of the tasks in the training loss: modulation, bits, channel, link state."""

    modulation: float = 1.0
    bits: float = 1.0
    channel: float = 2.0
    link: float = 1.0

    def total(self, losses: "TaskLosses") -> jax.Array:
        """The weighted sum of the losses, a float32 scalar."""
        return jnp.sum(jnp.stack([getattr(self, name) * loss for name, loss in losses.items()]))


TaskLosses = dict[str, jax.Array]


def task_losses(config: ModelConfig, outputs: Outputs, batch: Batch) -> TaskLosses:
    """Supervised losses, one scalar a task, each of order one.

    ``modulation``: cross entropy over blind frames. ``bits``: binary cross entropy in bits over
    the used bit slots, every frame of equal weight. ``channel``: squared error over the noise
    variance. ``link``: squared errors of K (frames with a LOS ray) and SNR in units of 6 and 8 dB,
    of the log of the delay spread and, of frames long enough to show it, of the log of the Doppler
    shift, and cross entropy of the LOS flag. Frames whose views show no resource elements have no
    part in bits and modulation, those that show no pilots none in the channel.
    """
    frame, orders = batch.frame, config.link.bits_per_symbol
    classes = optax.softmax_cross_entropy_with_integer_labels(outputs.modulation, frame.modulation)
    llr = bit_llrs(config.link, batch.inputs, outputs, frame.modulation)
    bits = optax.sigmoid_binary_cross_entropy(llr, frame.bits) / jnp.log(2.0)
    los = optax.sigmoid_binary_cross_entropy(outputs.los, frame.los.astype(jnp.float32))
    channel = _channel_error(outputs.channel, batch.channel, batch.n0)
    return {
        "modulation": _mean_where(classes, batch.blind & batch.inputs.has_grid),
        "bits": _used_bits_mean(bits, batch, orders),
        "channel": _mean_where(channel, batch.inputs.has_pilots),
        "link": _state_error(config, outputs, truth(frame), batch) + jnp.mean(los),
    }


class LinkState(NamedTuple):
    """What the ``link`` task regresses; a model's :class:`Outputs` has the same fields."""

    k_db: jax.Array
    snr_db: jax.Array
    delay_spread_s: jax.Array
    doppler_hz: jax.Array


def truth(frame: link.Frame) -> LinkState:
    """The labels, with a placeholder where there is no K."""
    k_db = jnp.where(frame.has_k, frame.k_db, 0.0)
    return LinkState(k_db, frame.snr_db, frame.delay_spread_s, frame.doppler_hz)


def distillation_losses(
    config: ModelConfig,
    outputs: Outputs,
    teacher: Outputs,
    batch: Batch,
    temperature: jax.Array,
) -> TaskLosses:
    """Losses against the teacher's answers: softened KL for classes and bits, squared error for
    regressions, in the units of :func:`task_losses`.

    Args:
        config: the student.
        outputs: the student's answers.
        teacher: the teacher's answers to the same inputs.
        batch: the batch.
        temperature: T of classes (modulation, LOS) and bits (LLR / T); traced.
    """
    frame, orders = batch.frame, config.link.bits_per_symbol
    classes = compress.softened_kl(outputs.modulation, teacher.modulation, temperature)
    student_llr = bit_llrs(config.link, batch.inputs, outputs, frame.modulation)
    teacher_llr = bit_llrs(config.link, batch.inputs, teacher, frame.modulation)
    bits = compress.softened_bernoulli_kl(student_llr, teacher_llr, temperature) / jnp.log(2.0)
    los = compress.softened_bernoulli_kl(outputs.los, teacher.los, temperature)
    teacher = jax.lax.stop_gradient(teacher)
    channel = _channel_error(outputs.channel, teacher.channel, batch.n0)
    answers = LinkState(*(getattr(teacher, name) for name in LinkState._fields))
    return {
        "modulation": _mean_where(classes, batch.blind & batch.inputs.has_grid),
        "bits": _used_bits_mean(bits, batch, orders),
        "channel": _mean_where(channel, batch.inputs.has_pilots),
        "link": _state_error(config, outputs, answers, batch) + jnp.mean(los),
    }


def _state_error(
    config: ModelConfig, outputs: Outputs, target: LinkState, batch: Batch
) -> jax.Array:
    """Squared errors of the link state, each a mean over the frames that show it."""
    frame, frame_s = batch.frame, config.link.n_samples * config.link.sample_s
    k_error = (outputs.k_db - target.k_db) / K_SCALE_DB
    snr_error = (outputs.snr_db - target.snr_db) / SNR_SCALE_DB
    spread_error = _log_ratio(outputs.delay_spread_s, target.delay_spread_s) / DELAY_SPREAD_SCALE
    doppler_error = _log_ratio(outputs.doppler_hz, target.doppler_hz) / DOPPLER_SCALE
    return (
        _mean_where(jnp.square(k_error), frame.has_k)
        + jnp.mean(jnp.square(snr_error))
        + _mean_where(jnp.square(spread_error), frame.delay_spread_s > 0.0)
        + _mean_where(jnp.square(doppler_error), frame.doppler_hz * frame_s > SEEN_CYCLES)
    )


def _log_ratio(a: jax.Array, b: jax.Array) -> jax.Array:
    """ln(a / b), finite where one of them is zero."""
    tiny = 1e-12
    return jnp.log(jnp.maximum(a, tiny)) - jnp.log(jnp.maximum(b, tiny))


def _channel_error(channel: jax.Array, target: jax.Array, n0: jax.Array) -> jax.Array:
    """Squared error over half the noise variance and a floor, mean over the grid: [batch]."""
    error = channel - target
    square = jnp.square(error.real) + jnp.square(error.imag)
    return jnp.mean(square, axis=(1, 2)) / (0.5 * n0 + 3e-4)


def _used_bits_mean(bits: jax.Array, batch: Batch, orders: tuple[int, ...]) -> jax.Array:
    """Mean over the used slots of [batch, n_data, m_max], frames with a grid weighted equally."""
    used = mixed_qam.bit_mask(batch.frame.modulation[:, None], orders)
    each = jnp.sum(bits * used, axis=(1, 2)) / (bits.shape[1] * jnp.sum(used, axis=(1, 2)))
    return _mean_where(each, batch.inputs.has_grid)


def _mean_where(x: jax.Array, where: jax.Array) -> jax.Array:
    """Mean of x[batch] where[batch]; 0 over nothing."""
    return jnp.sum(jnp.where(where, x, 0.0)) / jnp.maximum(jnp.sum(where), 1)
