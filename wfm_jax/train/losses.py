"""Losses of the four tasks, supervised and distilled."""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from wfm_jax import compress
from wfm_jax.model import Batch, ModelConfig, Outputs, bit_llrs
from wfm_jax.signal import mixed_qam

K_SCALE_DB = 6.0
SNR_SCALE_DB = 8.0


@dataclasses.dataclass(frozen=True)
class TaskWeights:
    """Weights of the tasks in the training loss: modulation, bits, channel, link state."""

    modulation: float = 1.0
    bits: float = 1.0
    channel: float = 2.0
    link: float = 1.0

    def total(self, losses: "TaskLosses") -> jax.Array:
        return jnp.sum(jnp.stack([getattr(self, name) * loss for name, loss in losses.items()]))


TaskLosses = dict[str, jax.Array]


def task_losses(config: ModelConfig, outputs: Outputs, batch: Batch) -> TaskLosses:
    """Supervised losses, one scalar a task, each of order one.

    ``modulation``: cross entropy over blind frames. ``bits``: binary cross entropy in bits over
    the used bit slots, every frame of equal weight. ``channel``: squared error over the noise
    variance. ``link``: squared errors of K (frames with a LOS ray) and SNR in units of 6 and 8 dB,
    and cross entropy of the LOS flag.
    """
    frame, orders = batch.frame, config.link.bits_per_symbol
    classes = optax.softmax_cross_entropy_with_integer_labels(outputs.modulation, frame.modulation)
    llr = bit_llrs(config.link, batch.inputs, outputs, frame.modulation)
    bits = optax.sigmoid_binary_cross_entropy(llr, frame.bits) / jnp.log(2.0)
    k_error = (outputs.k_db - jnp.where(frame.has_k, frame.k_db, 0.0)) / K_SCALE_DB
    snr_error = (outputs.snr_db - frame.snr_db) / SNR_SCALE_DB
    los = optax.sigmoid_binary_cross_entropy(outputs.los, frame.los.astype(jnp.float32))
    return {
        "modulation": _mean_where(classes, batch.blind),
        "bits": _used_bits_mean(bits, frame.modulation, orders),
        "channel": jnp.mean(_channel_error(outputs.channel, batch.channel, batch.n0)),
        "link": _mean_where(jnp.square(k_error), frame.has_k)
        + jnp.mean(jnp.square(snr_error))
        + jnp.mean(los),
    }


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
    k_error = compress.squared_error(outputs.k_db, teacher.k_db) / K_SCALE_DB**2
    snr_error = compress.squared_error(outputs.snr_db, teacher.snr_db) / SNR_SCALE_DB**2
    los = compress.softened_bernoulli_kl(outputs.los, teacher.los, temperature)
    channel = _channel_error(outputs.channel, jax.lax.stop_gradient(teacher.channel), batch.n0)
    return {
        "modulation": _mean_where(classes, batch.blind),
        "bits": _used_bits_mean(bits, frame.modulation, orders),
        "channel": jnp.mean(channel),
        "link": _mean_where(k_error, frame.has_k) + jnp.mean(snr_error) + jnp.mean(los),
    }


def _channel_error(channel: jax.Array, target: jax.Array, n0: jax.Array) -> jax.Array:
    """Squared error over half the noise variance and a floor: [batch, symbols, subcarriers]."""
    error = channel - target
    square = jnp.square(error.real) + jnp.square(error.imag)
    return square / (0.5 * n0 + 3e-4)[:, None, None]


def _used_bits_mean(bits: jax.Array, modulation: jax.Array, orders: tuple[int, ...]) -> jax.Array:
    """Mean over the used slots of [batch, n_data, m_max], frames weighted equally."""
    used = mixed_qam.bit_mask(modulation[:, None], orders)
    return jnp.mean(jnp.sum(bits * used, axis=-1) / jnp.sum(used, axis=-1))


def _mean_where(x: jax.Array, where: jax.Array) -> jax.Array:
    return jnp.sum(x * where) / jnp.maximum(jnp.sum(where), 1)
