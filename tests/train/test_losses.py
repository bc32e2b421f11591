"""Losses of the tasks in closed form, and that distillation from oneself is nothing at all."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from wfm_jax.model import Outputs, bit_llrs
from wfm_jax.train.losses import TaskWeights, distillation_losses, task_losses

N = 16


@pytest.fixture(scope="module")
def tasks(config):
    return jax.jit(functools.partial(task_losses, config))


@pytest.fixture(scope="module")
def distilled(config):
    return jax.jit(functools.partial(distillation_losses, config))


@pytest.fixture(scope="module")
def perfect(batch):
    """Answers without an error: the labels themselves."""
    return Outputs(
        channel=batch.channel,
        log_noise=jnp.broadcast_to(jnp.log(batch.n0)[:, None, None], batch.channel.shape),
        modulation=200.0 * jax.nn.one_hot(batch.frame.modulation, 4),
        k_db=jnp.where(batch.frame.los, batch.frame.k_db, 123.0),
        snr_db=batch.frame.snr_db,
        los=jnp.where(batch.frame.los, 100.0, -100.0),
    )


def test_perfect_answers_cost_nothing(tasks, perfect, batch):
    losses = tasks(perfect, batch)
    for name in ("modulation", "channel", "link"):
        assert abs(losses[name]) < 1e-6, name
    assert 0.0 < losses["bits"] < 0.5  # noise remains


def test_knowing_nothing_costs_the_entropy(tasks, perfect, batch):
    """Equal logits: log 4 nats a class; LLRs of zero: one bit a bit; K and SNR of no answer."""
    ignorant = perfect._replace(
        modulation=jnp.full((N, 4), 0.7), log_noise=jnp.full(batch.channel.shape, 25.0)
    )
    losses = tasks(ignorant, batch)
    np.testing.assert_allclose(losses["modulation"], np.log(4), rtol=1e-5)
    np.testing.assert_allclose(losses["bits"], 1.0, rtol=1e-4)
    wrong = perfect._replace(snr_db=perfect.snr_db + 16.0, los=jnp.zeros(N))
    np.testing.assert_allclose(tasks(wrong, batch)["link"], 2.0**2 + np.log(2), rtol=1e-5)


def test_channel_error_is_counted_in_noise_variances(tasks, perfect, batch):
    off = perfect._replace(channel=perfect.channel + (0.03 - 0.04j))
    expected = np.mean(0.05**2 / (0.5 * np.asarray(batch.n0) + 3e-4))
    np.testing.assert_allclose(tasks(off, batch)["channel"], expected, rtol=1e-3)


def test_only_blind_frames_are_classified(tasks, perfect, batch):
    blind = np.asarray(batch.blind)
    assert 0 < blind.sum() < N
    wrong = jnp.where(blind[:, None], perfect.modulation, 0.0)
    assert tasks(perfect._replace(modulation=wrong), batch)["modulation"] < 1e-6
    known = batch._replace(blind=jnp.zeros(N, bool))
    assert tasks(perfect._replace(modulation=wrong), known)["modulation"] == 0.0


def test_bits_weigh_every_frame_equally(config, tasks, perfect, batch, teacher_outputs):
    llr = np.asarray(
        bit_llrs(config.link, batch.inputs, teacher_outputs, batch.frame.modulation), np.float64
    )
    sign = 1.0 - 2.0 * np.asarray(batch.frame.bits)
    frames = []
    for i, index in enumerate(np.asarray(batch.frame.modulation)):
        used = slice(config.link.bits_per_symbol[index])
        frames.append(np.mean(np.logaddexp(0.0, sign[i, :, used] * llr[i, :, used])) / np.log(2))
    np.testing.assert_allclose(tasks(teacher_outputs, batch)["bits"], np.mean(frames), rtol=1e-4)


@pytest.mark.parametrize("n_los", [0, 5])
def test_k_counts_where_there_is_a_los_ray(config, tasks, perfect, batch, n_los):
    """Frames without one have the label NaN: no loss and no gradient is NaN for it."""
    los = jnp.arange(N) < n_los
    frame = batch.frame._replace(los=los, k_db=jnp.where(los, 4.0, jnp.nan))
    batch = batch._replace(frame=frame)
    outputs = perfect._replace(k_db=jnp.full(N, 10.0), los=jnp.where(los, 100.0, -100.0))
    expected = 1.0 if n_los else 0.0  # (10 - 4)^2 / 6^2
    np.testing.assert_allclose(tasks(outputs, batch)["link"], expected, atol=1e-6)
    slope = jax.jit(jax.grad(lambda o: task_losses(config, o, batch)["link"]))(outputs)
    assert np.all(np.isfinite(slope.k_db))
    assert np.all((np.asarray(slope.k_db) != 0) == np.asarray(los))


def test_weights_add_up():
    losses = {"modulation": 1.0, "bits": 10.0, "channel": 100.0, "link": 1000.0}
    losses = {name: jnp.float32(value) for name, value in losses.items()}
    assert TaskWeights(1, 2, 3, 4).total(losses) == 4321.0
    assert TaskWeights(bits=0.0, channel=0.0, link=0.0).total(losses) == 1.0


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_a_student_that_answers_like_its_teacher_has_no_gradient(
    config, batch, teacher_outputs, temperature
):
    def total(outputs):
        losses = distillation_losses(config, outputs, teacher_outputs, batch, temperature)
        return TaskWeights().total(losses), losses

    slope, losses = jax.jit(jax.grad(total, has_aux=True))(teacher_outputs)
    for name, loss in losses.items():
        assert abs(loss) < 1e-6, name
    for name, part in slope._asdict().items():
        assert np.abs(part).max() < 1e-6, name


def test_no_gradient_reaches_the_teacher(config, batch, perfect, teacher_outputs):
    def total(teacher):
        losses = distillation_losses(config, perfect, teacher, batch, 2.0)
        return TaskWeights().total(losses)

    for part in jax.jit(jax.grad(total))(teacher_outputs):
        assert not np.any(part)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_softened_losses_carry_the_square_of_the_temperature(
    config, distilled, batch, perfect, teacher_outputs, temperature
):
    """Classes and bits: T^2 times the divergence of the softened distributions, from SciPy."""
    student = perfect._replace(modulation=teacher_outputs.modulation[::-1] + 0.3)
    losses = distilled(student, teacher_outputs, batch, temperature)
    blind = np.asarray(batch.blind)
    t, s = (
        special.softmax(np.asarray(x, np.float64) / temperature, axis=-1)
        for x in (teacher_outputs.modulation, student.modulation)
    )
    kl = temperature**2 * stats.entropy(t, s, axis=-1)
    np.testing.assert_allclose(losses["modulation"], kl[blind].mean(), rtol=1e-3)

    t, s = (
        np.asarray(bit_llrs(config.link, batch.inputs, x, batch.frame.modulation), np.float64)
        / temperature
        for x in (teacher_outputs, student)
    )
    p = special.expit(t)
    kl = p * (special.log_expit(t) - special.log_expit(s))
    kl += (1 - p) * (special.log_expit(-t) - special.log_expit(-s))
    bits = np.asarray(config.link.bits_per_symbol)[np.asarray(batch.frame.modulation)]
    expected = temperature**2 * np.mean(kl.sum((1, 2)) / (kl.shape[1] * bits)) / np.log(2)
    np.testing.assert_allclose(losses["bits"], expected, rtol=1e-3)


def test_distilled_regressions_are_squared_errors(distilled, batch, teacher_outputs):
    student = teacher_outputs._replace(
        k_db=teacher_outputs.k_db + 3.0,
        snr_db=teacher_outputs.snr_db - 4.0,
        channel=teacher_outputs.channel + 0.1j,
    )
    losses = distilled(student, teacher_outputs, batch, 2.0)
    np.testing.assert_allclose(losses["link"], 0.5**2 + 0.5**2, rtol=1e-4)
    expected = np.mean(0.01 / (0.5 * np.asarray(batch.n0) + 3e-4))
    np.testing.assert_allclose(losses["channel"], expected, rtol=1e-3)
