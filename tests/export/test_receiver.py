"""A receiver says what its model says, in the units of the frame that came in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.export.ports import BATCH, check_arrays
from wfm_jax.export.receiver import make_receiver
from wfm_jax.model import bit_llrs, prepare
from wfm_jax.model.config import VIEWS
from wfm_jax.signal import mixed_qam


@pytest.fixture(scope="module")
def answers(receive, params, arrays):
    return receive(params, arrays(32))


def test_ports_are_what_goes_in_and_comes_out(config, receiver, answers, arrays):
    given = arrays(32)
    assert [port.name for port in receiver.inputs] == [*config.views, "modulation"]
    assert check_arrays(receiver.inputs, given) == 32
    assert {port.name for port in receiver.outputs} == set(answers)
    for port in receiver.outputs:
        answer = answers[port.name]
        shape = tuple(32 if size == BATCH else size for size in port.shape)
        assert (answer.shape, str(answer.dtype)) == (shape, port.dtype), port.name
        assert np.isfinite(answer).all(), port.name
        assert port.unit
        assert port.meaning.endswith(".")


def test_answers_are_the_model_s(config, built, params, frame, answers, arrays):
    told = jnp.asarray(arrays(32)["modulation"])

    @jax.jit
    def model_says(params, frame, told, demapped):
        inputs, units = prepare(config, frame, told)
        outputs = built[0](params, inputs)
        return outputs, units, bit_llrs(config.link, inputs, outputs, demapped)

    outputs, units, llr = model_says(params, frame, told, answers["llr_modulation"])
    to_aligned = units.gain[:, None, None] * units.ramp[:, None, :]
    same = dict(rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(answers["channel"] * to_aligned, outputs.channel, **same)
    noise = answers["noise_variance"] * jnp.square(units.gain)[:, None, None]
    np.testing.assert_allclose(jnp.log(noise), outputs.log_noise, **same)
    np.testing.assert_allclose(answers["llr"], llr, **same)
    for name, output in {"modulation_logits": "modulation", "los_logit": "los"}.items():
        np.testing.assert_allclose(answers[name], getattr(outputs, output), **same)
    for name in ("k_db", "snr_db", "delay_spread_s", "doppler_hz"):
        np.testing.assert_allclose(answers[name], getattr(outputs, name), rtol=1e-4)


def test_bits_are_of_the_told_modulation_or_of_the_likeliest(config, answers, arrays):
    told, chosen = arrays(32)["modulation"], answers["llr_modulation"]
    blind = told == config.n_modulations
    assert blind.sum() == 16
    np.testing.assert_array_equal(chosen[~blind], told[~blind])
    likeliest = np.argmax(answers["modulation_logits"], axis=1)
    np.testing.assert_array_equal(chosen[blind], likeliest[blind])
    used = mixed_qam.bit_mask(chosen, config.link.bits_per_symbol)[:, None, :]
    np.testing.assert_array_equal(answers["llr"] != 0.0, np.broadcast_to(used, (32, 48, 8)))


def test_the_channel_is_that_of_the_frame(built, receive, frame, arrays):
    """The untrained model is LS with a small error; the frame's own units are worth 10 dB here."""
    channel = receive(built[1], arrays(32))["channel"]
    strong = np.asarray(frame.snr_db) > 20.0
    error = np.abs(channel - frame.channel)[strong] ** 2
    assert strong.sum() > 5
    assert error.mean() < 0.1 * np.mean(np.abs(frame.channel)[strong] ** 2)


def test_a_receiver_that_hears_louder_says_the_same(receive, params, answers, arrays):
    """Amplitudes times 8: the channel is 8 times as strong, the noise 64 times, the bits equal."""
    given = arrays(32)
    loud = {k: given[k] * np.float32(8) for k in ("grid", "csi", "iq")}
    loud["spectrogram"] = given["spectrogram"] + np.float32(20 * np.log10(8))
    louder = receive(params, given | loud)
    scales = {"channel": 8.0, "noise_variance": 64.0}
    for name, answer in answers.items():
        expected = scales.get(name, 1.0) * np.asarray(answer)
        size = np.abs(expected).max()
        np.testing.assert_allclose(louder[name], expected, rtol=1e-3, atol=1e-3 * size)


def test_a_receiver_may_be_given_fewer_views(config, built, params, arrays):
    from_samples = make_receiver(config, built[0], views=("iq",))
    assert [port.name for port in from_samples.inputs] == ["iq", "modulation"]
    given = {name: arrays(3)[name] for name in ("iq", "modulation")}
    answers = jax.jit(from_samples.receive)(params, given)
    assert all(np.isfinite(answer).all() for answer in answers.values())
    assert answers["channel"].shape == (3, 4, 16)


@pytest.mark.parametrize("views", [(), ("grid", "grid"), ("sonar",)])
def test_views_that_the_model_does_not_read_are_refused(config, built, views):
    with pytest.raises(ValueError, match=f"views must be distinct and of .*{VIEWS[0]}"):
        make_receiver(config, built[0], views=views)
