"""Scores of frames: against brute force, the genie, and what a receiver may not read."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.evaluate import scores
from wfm_jax.model import Outputs, bit_llrs, to_batch


@pytest.fixture(scope="module")
def frame(drawn):
    """The frames at 15 dB."""
    return jax.tree.map(lambda x: np.asarray(x)[1], drawn.frame)


@pytest.fixture(scope="module")
def answers(pico, frame):
    """Batch with known modulation, the model's outputs, their LLRs, and those of perfect ones."""
    config, apply, params = pico

    @jax.jit
    def run(frame):
        batch = to_batch(config, frame, jnp.zeros(frame.los.shape, bool))
        outputs = apply(params, batch.inputs)
        llr = bit_llrs(config.link, batch.inputs, outputs, frame.modulation)
        return batch, outputs, llr, true_outputs(batch, config)

    return jax.tree.map(np.asarray, run(frame))


def true_outputs(batch, config):
    """What a model would say that knows everything."""
    frame, shape = batch.frame, batch.channel.shape
    return Outputs(
        channel=batch.channel,
        log_noise=jnp.broadcast_to(jnp.log(batch.n0)[:, None, None], shape),
        modulation=10.0 * jax.nn.one_hot(frame.modulation, config.n_modulations),
        k_db=jnp.where(frame.los, frame.k_db, 3.0),
        snr_db=frame.snr_db,
        los=jnp.where(frame.los, 10.0, -10.0),
        delay_spread_s=frame.delay_spread_s,
        doppler_hz=frame.doppler_hz,
    )


def test_a_perfect_model_scores_as_the_genie(pico, frame, answers, classical):
    config, truth = pico[0], answers[3]
    score = jax.jit(lambda truth: scores.score(config, lambda p, inputs: p, truth, frame))
    model = score(truth)
    genie = classical["genie"].at(15.0)
    # The model's demapper adds 1e-4 to |h|^2: a handful of decisions in deep fades differ.
    assert np.sum(np.abs(model.bit_errors - genie.bit_errors)) <= 0.002 * np.sum(genie.bit_errors)
    np.testing.assert_allclose(model.gmi_fraction, genie.gmi_fraction, atol=0.02)
    np.testing.assert_allclose(model.channel_power, genie.channel_power, rtol=1e-5)
    np.testing.assert_array_equal(model.n_bits, genie.n_bits)
    assert np.max(model.channel_error) < 1e-9
    for name in ("amc_correct", "los_correct"):
        assert np.all(getattr(model, name) == 1.0)
    for name in ("k_error_db", "snr_error_db", "doppler_error_hz"):
        np.testing.assert_allclose(getattr(model, name), 0.0, atol=1e-5)
    np.testing.assert_allclose(model.delay_spread_error_s, 0.0, atol=1e-13)


def test_scores_are_those_of_brute_force(pico, frame, score, answers):
    config, _, params = pico
    batch, outputs, llr, _ = answers
    scored = jax.tree.map(np.asarray, score(params, frame))
    gain = np.sqrt(1.0 / np.mean(np.abs(frame.grid) ** 2, axis=(1, 2)))
    for i, modulation in enumerate(frame.modulation):
        m = config.link.bits_per_symbol[modulation]
        bits, llrs = frame.bits[i, :, :m], llr[i, :, :m].astype(np.float64)
        assert scored.n_bits[i] == bits.size
        assert scored.bit_errors[i] == np.sum((llrs > 0) != bits)
        gmi = m - np.sum(np.log2(1.0 + np.exp(-(2.0 * bits - 1.0) * llrs))) / len(bits)
        np.testing.assert_allclose(scored.gmi_fraction[i], gmi / m, atol=1e-5)
        error = np.sum(np.abs(outputs.channel[i] - batch.channel[i]) ** 2) / gain[i] ** 2
        np.testing.assert_allclose(scored.channel_error[i], error, rtol=1e-4)
        np.testing.assert_allclose(
            scored.channel_power[i], np.sum(np.abs(frame.channel[i]) ** 2), rtol=1e-5
        )


@pytest.mark.parametrize("gain", [0.1, 10.0])
def test_received_power_is_no_information(pico, frame, score, gain):
    """A front end that amplifies scales signal, channel and noise; no score may notice."""
    louder = frame._replace(
        iq=frame.iq * gain,
        grid=frame.grid * gain,
        csi=frame.csi * gain,
        spectrogram=frame.spectrogram + 20.0 * np.log10(gain),
        channel=frame.channel * gain,
        n0=frame.n0 * gain**2,
    )
    plain, scaled = score(pico[2], frame), score(pico[2], louder)
    scaled = scaled._replace(
        channel_error=scaled.channel_error / gain**2, channel_power=scaled.channel_power / gain**2
    )
    assert np.sum(np.abs(plain.bit_errors - scaled.bit_errors)) < 5
    for name in set(plain._fields) - {"bit_errors"}:
        np.testing.assert_allclose(
            getattr(plain, name), getattr(scaled, name), rtol=1e-3, atol=1e-3, err_msg=name
        )


def test_modulation_is_told_blindly(pico, frame):
    config, apply, params = pico

    def leaking(params, inputs):
        token = jax.nn.one_hot(inputs.modulation, config.n_modulations)  # zeros where masked
        return apply(params, inputs)._replace(modulation=token)

    scored = jax.jit(lambda frame: scores.score(config, leaking, params, frame))(frame)
    assert np.mean(scored.amc_correct) == 1.0 / config.n_modulations


def test_a_frame_without_a_los_ray_has_no_k(pico, frame, score, test_set):
    scored = score(pico[2], frame)
    rayleigh = test_set.k_bin == 4
    np.testing.assert_array_equal(scored.has_k, ~rayleigh)
    assert np.all(np.asarray(scored.k_error_db)[rayleigh] == 0.0)
    assert np.all(np.isfinite(scored.k_error_db))


def test_classical_receivers_rank_as_theory_says(classical, test_set):
    assert list(classical) == ["ls", "lmmse", "genie"]
    for modulation in range(4):
        of = test_set.modulation == modulation
        ls, lmmse, genie = (
            np.sum(scored.scores.bit_errors[:, of]) for scored in classical.values()
        )
        assert genie < lmmse < ls
    for row in range(3):
        error, power = (
            [np.sum(getattr(scored.scores, name)[row]) for scored in classical.values()]
            for name in ("channel_error", "channel_power")
        )
        assert 0.0 < error[1] < error[0] < 0.1 * power[0]
        # Not zero: the timing ramp is put on and taken off again.
        assert error[2] < 1e-9 * power[2]


def test_classical_receivers_lack_the_link_state(classical):
    for scored in classical.values():
        for name in (
            "k_error_db", "snr_error_db", "los_correct", "delay_spread_error_s", "doppler_error_hz"
        ):  # fmt: skip
            assert np.all(np.isnan(getattr(scored.scores, name)))
        assert np.all(np.isfinite(scored.scores.loss))
        assert np.mean(scored.at(20.0).amc_correct) > np.mean(scored.at(10.0).amc_correct) > 0.4
