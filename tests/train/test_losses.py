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
def llrs(config):
    return jax.jit(functools.partial(bit_llrs, config.link))


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
        delay_spread_s=batch.frame.delay_spread_s,
        doppler_hz=batch.frame.doppler_hz,
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


def bit_losses(config, llr, batch):
    """Mean binary cross entropy over the used bits of each frame, in bits, from float64 LLRs."""
    sign, frames = 1.0 - 2.0 * np.asarray(batch.frame.bits), []
    for i, index in enumerate(np.asarray(batch.frame.modulation)):
        used = slice(config.link.bits_per_symbol[index])
        frames.append(np.mean(np.logaddexp(0.0, sign[i, :, used] * llr[i, :, used])) / np.log(2))
    return np.array(frames)


def test_bits_weigh_every_frame_equally(config, tasks, llrs, batch, teacher_outputs):
    llr = np.asarray(llrs(batch.inputs, teacher_outputs, batch.frame.modulation), np.float64)
    expected = np.mean(bit_losses(config, llr, batch))
    np.testing.assert_allclose(tasks(teacher_outputs, batch)["bits"], expected, rtol=1e-4)


def test_frames_without_elements_or_pilots_take_no_part(
    config, tasks, distilled, llrs, perfect, batch, teacher_outputs
):
    """Of some only pilots are known, of some not even they: whatever is answered there is neither
    taught nor distilled, and the others keep their weight."""
    has_grid, has_pilots = np.arange(N) % 4 > 1, np.arange(N) % 4 > 0
    known = batch._replace(
        inputs=batch.inputs._replace(has_grid=has_grid, has_pilots=has_pilots),
        blind=np.ones(N, bool),
    )
    wrong = perfect._replace(
        channel=jnp.where(has_pilots[:, None, None], batch.channel + 0.05j, 7.0),
        modulation=jnp.where(has_grid[:, None], 0.0, -perfect.modulation),
        log_noise=teacher_outputs.log_noise,
    )
    losses = tasks(wrong, known)
    each = 0.05**2 / (0.5 * np.asarray(batch.n0) + 3e-4)
    np.testing.assert_allclose(losses["channel"], each[has_pilots].mean(), rtol=1e-3)
    np.testing.assert_allclose(losses["modulation"], np.log(4), rtol=1e-5)
    llr = np.asarray(llrs(batch.inputs, wrong, batch.frame.modulation), np.float64)
    expected = bit_losses(config, llr, batch)[has_grid].mean()
    np.testing.assert_allclose(losses["bits"], expected, rtol=1e-4)

    teacher = wrong._replace(
        channel=jnp.where(has_pilots[:, None, None], wrong.channel, 0.0),
        modulation=jnp.where(has_grid[:, None], wrong.modulation, 0.0),
    )
    for name, loss in distilled(wrong, teacher, known, 2.0).items():
        assert abs(loss) < 1e-6, name
    none = np.zeros(N, bool)
    nothing = known._replace(inputs=known.inputs._replace(has_grid=none, has_pilots=none))
    for losses in (tasks(wrong, nothing), distilled(wrong, teacher, nothing, 2.0)):
        for name in ("modulation", "bits", "channel"):
            assert losses[name] == 0.0, name


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


@pytest.fixture(scope="module")
def moving(config, batch):
    """The batch with delay spreads and Doppler shifts of its own: every fourth frame has a single
    ray, half of the frames last for 0.0099 cycles of their shift, the others for 0.0101."""
    frame_s = config.link.n_samples * config.link.sample_s
    spread = jnp.where(jnp.arange(N) % 4 == 0, 0.0, jnp.linspace(20e-9, 90e-9, N))
    doppler = jnp.where(jnp.arange(N) % 2 == 0, 0.0099, 0.0101) / frame_s
    return batch._replace(frame=batch.frame._replace(delay_spread_s=spread, doppler_hz=doppler))


def test_delay_spread_is_a_ratio_of_frames_that_have_one(tasks, perfect, moving):
    """A factor of e is (1 / 0.5)^2, either way; of a single ray nothing is asked."""
    answers = perfect._replace(doppler_hz=moving.frame.doppler_hz)
    spread = moving.frame.delay_spread_s
    for factor in (np.e, 1 / np.e):
        off = answers._replace(delay_spread_s=jnp.where(spread > 0, factor * spread, 3e-3))
        np.testing.assert_allclose(tasks(off, moving)["link"], 4.0, rtol=1e-4)
    some = np.arange(N) < 8  # 6 of the 12 frames with a spread
    off = answers._replace(delay_spread_s=jnp.where(some, np.e, 1.0) * spread)
    np.testing.assert_allclose(tasks(off, moving)["link"], 2.0, rtol=1e-4)


def test_doppler_counts_in_frames_that_last_a_hundredth_of_its_cycle(tasks, perfect, moving):
    answers = perfect._replace(delay_spread_s=moving.frame.delay_spread_s)
    doppler, seen = moving.frame.doppler_hz, jnp.arange(N) % 2 == 1
    of_unseen = answers._replace(doppler_hz=jnp.where(seen, doppler, 1e4 * doppler))
    np.testing.assert_allclose(tasks(of_unseen, moving)["link"], 0.0, atol=1e-6)
    of_seen = answers._replace(doppler_hz=jnp.where(seen, np.e**3 * doppler, doppler))
    np.testing.assert_allclose(tasks(of_seen, moving)["link"], 9.0, rtol=1e-4)


def test_link_state_is_a_sum_of_squares(tasks, teacher_outputs, moving):
    """Units of 6 dB of K, 8 dB of SNR, half an e-fold of delay spread, an e-fold of Doppler; the
    cross entropy of LOS."""
    o, f = jax.tree.map(np.asarray, (teacher_outputs, moving.frame))
    has_k, has_spread, seen = np.isfinite(f.k_db), f.delay_spread_s > 0, np.arange(N) % 2 == 1
    assert 0 < has_k.sum() < N
    los = np.logaddexp(0.0, np.where(f.los, -1.0, 1.0) * o.los)
    expected = np.mean(((o.k_db - f.k_db)[has_k] / 6) ** 2) + np.mean(
        ((o.snr_db - f.snr_db) / 8) ** 2
    )
    spread = np.log(o.delay_spread_s[has_spread] / f.delay_spread_s[has_spread])
    doppler = np.log(o.doppler_hz[seen] / f.doppler_hz[seen])
    expected += np.mean((spread / 0.5) ** 2) + np.mean(doppler**2) + np.mean(los)
    np.testing.assert_allclose(tasks(teacher_outputs, moving)["link"], expected, rtol=1e-4)


def test_weights_add_up():
    losses = {"modulation": 1.0, "bits": 10.0, "channel": 100.0, "link": 1000.0}
    losses = {name: jnp.float32(value) for name, value in losses.items()}
    assert TaskWeights(1, 2, 3, 4).total(losses) == 4321.0
    assert TaskWeights(bits=0.0, channel=0.0, link=0.0).total(losses) == 1.0


def test_a_student_that_answers_like_its_teacher_has_no_gradient(config, moving, teacher_outputs):
    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def slope_of(outputs, temperature):
        losses = distillation_losses(config, outputs, teacher_outputs, moving, temperature)
        return TaskWeights().total(losses), losses

    for temperature in (1.0, 4.0):
        slope, losses = slope_of(teacher_outputs, temperature)
        for name, loss in losses.items():
            assert abs(loss) < 1e-6, name
        for name, part in slope._asdict().items():
            unit = 1e-9 if name == "delay_spread_s" else 1.0
            assert np.abs(part).max() * unit < 1e-6, name


def test_no_gradient_reaches_the_teacher(config, moving, perfect, teacher_outputs):
    def total(teacher):
        losses = distillation_losses(config, perfect, teacher, moving, 2.0)
        return TaskWeights().total(losses)

    for part in jax.jit(jax.grad(total))(teacher_outputs):
        assert not np.any(part)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_softened_losses_carry_the_square_of_the_temperature(
    config, distilled, llrs, batch, perfect, teacher_outputs, temperature
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
        np.asarray(llrs(batch.inputs, x, batch.frame.modulation), np.float64) / temperature
        for x in (teacher_outputs, student)
    )
    p = special.expit(t)
    kl = p * (special.log_expit(t) - special.log_expit(s))
    kl += (1 - p) * (special.log_expit(-t) - special.log_expit(-s))
    bits = np.asarray(config.link.bits_per_symbol)[np.asarray(batch.frame.modulation)]
    expected = temperature**2 * np.mean(kl.sum((1, 2)) / (kl.shape[1] * bits)) / np.log(2)
    np.testing.assert_allclose(losses["bits"], expected, rtol=1e-3)


def test_distilled_regressions_are_squared_errors(distilled, batch, moving, teacher_outputs):
    """In the units of the tasks, of the frames that the tasks ask; Doppler counts where frames last
    long enough, as they do in every other one here."""
    student = teacher_outputs._replace(
        k_db=teacher_outputs.k_db + 3.0,
        snr_db=teacher_outputs.snr_db - 4.0,
        delay_spread_s=teacher_outputs.delay_spread_s * np.e**0.25,
        doppler_hz=teacher_outputs.doppler_hz * np.where(jnp.arange(N) % 2, np.e**-1.5, 9.0),
        channel=teacher_outputs.channel + 0.1j,
    )
    losses = distilled(student, teacher_outputs, moving, 2.0)
    np.testing.assert_allclose(losses["link"], 0.5**2 + 0.5**2 + 0.5**2 + 1.5**2, rtol=1e-4)
    expected = np.mean(0.01 / (0.5 * np.asarray(batch.n0) + 3e-4))
    np.testing.assert_allclose(losses["channel"], expected, rtol=1e-3)
