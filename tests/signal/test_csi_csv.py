"""CSI files: responses that were made up come back, in both orders of subcarriers."""

import numpy as np
import pytest

from wfm_jax.signal import profiles
from wfm_jax.signal.csi_csv import OUTERMOST, SPACING_HZ, TAP_S, read_csi, replay_csi

K = np.arange(-OUTERMOST, OUTERMOST + 1)
HEADER = "type,role,mac,rssi,len,CSI_DATA"


def line(response, *, from_carrier=False, scale=100.0):
    """A line of the file: 64 pairs (imaginary, real), edges and carrier empty, more pairs after."""
    pairs = np.zeros(64, complex)
    pairs[K + 32] = scale * response
    pairs[32] = 0.0
    if from_carrier:
        pairs = np.roll(pairs, -32)
    pairs[0] = 101 - 48j  # what the radio leaves there
    numbers = np.stack([pairs.imag, pairs.real], axis=1).round().astype(int).reshape(-1)
    text = " ".join(map(str, [*numbers, *[7] * 40]))
    return f"CSI_DATA,AP,00:00:00:00:00:00,-73,384,[{text} ]"


def over_frequency(taps, delays_s):
    return np.exp(-2j * np.pi * np.outer(K * SPACING_HZ, delays_s)) @ taps


@pytest.fixture
def measured():
    """Responses [3, 53] of four taps each, of the same power and mean delay."""
    rng = np.random.default_rng(3)
    taps = rng.normal(size=(3, 4)) + 1j * rng.normal(size=(3, 4))
    taps *= np.array([1.0, 0.4, 0.3, 0.1]) / np.abs(taps)
    return np.stack([over_frequency(t, TAP_S * np.array([2.0, 3.0, 4.2, 6.0])) for t in taps])


@pytest.mark.parametrize("from_carrier", [False, True])
def test_responses_come_back_whatever_their_order(tmp_path, measured, from_carrier):
    lines = [HEADER, *(line(r, from_carrier=from_carrier) for r in measured), "a log line"]
    (tmp_path / "csi.csv").write_text("\n".join(lines) + "\n")
    found = read_csi(tmp_path / "csi.csv")
    assert found.shape == (3, 53)
    there = (K != 0) & (K != 1)
    # Rounded to whole numbers of 1/100: at most 0.5/100 off in each part.
    assert np.abs(found - 100.0 * measured)[:, there].max() <= 0.5 * np.sqrt(2) + 1e-9
    # The carrier, and its neighbour where it may be invalid, is interpolated: no better than the
    # straight line between subcarriers -1 and 2, whose phases are at most 3 x 0.6 rad apart.
    assert np.abs(found - 100.0 * measured)[:, ~there].max() < 30.0


def test_replayed_taps_have_the_measured_response(measured):
    replay = replay_csi(measured)
    again = np.stack([over_frequency(t, np.asarray(replay.delays_s)) for t in replay.responses])
    for own, wanted in zip(again, measured, strict=True):
        # Of the same shape, but for a delay, a phase and a factor: what is read off two of them.
        wanted = wanted / np.sqrt(np.mean(np.abs(wanted) ** 2))
        steps, wanted_steps = (x[1:] * x[:-1].conj() for x in (own, wanted))
        slope = np.angle(np.vdot(wanted_steps, steps))
        turned = wanted * np.exp(1j * slope * K)
        turned = turned * np.exp(1j * np.angle(np.vdot(turned, own)))
        assert np.mean(np.abs(own - turned) ** 2) < 1e-2


def test_responses_are_of_equal_power_and_mean_delay(measured):
    delayed = measured * np.exp(-2j * np.pi * K * SPACING_HZ * 0.4 * TAP_S)
    replay = replay_csi(np.concatenate([measured, 30.0 * delayed]), mean_delay_taps=3.0)
    np.testing.assert_allclose(replay.responses[:3], replay.responses[3:], atol=1e-9)
    again = [over_frequency(t, np.asarray(replay.delays_s)) for t in replay.responses]
    np.testing.assert_allclose(np.mean(np.abs(again) ** 2, axis=1), 1.0, atol=0.02)
    profiles.check_delays(np.asarray(replay.delays_s))
    assert replay.delay_grid_s == pytest.approx(TAP_S)


def test_a_conjugated_response_is_another_one(measured):
    """Imaginary part first: read the other way round, early and late taps would be exchanged."""
    assert not np.allclose(replay_csi(measured).responses, replay_csi(measured.conj()).responses)


GOOD = line(np.ones(53))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no line"),
        (HEADER, "no line"),
        (f"{GOOD}\nCSI_DATA,AP,1 2 3", "line 2: .*brackets"),
        ("CSI_DATA,AP,[1 2 3 4]", "line 1: .*64 pairs"),
        (GOOD.replace("[", "[1 "), "line 1: .*64 pairs"),
        (GOOD.replace("101", "1x1"), "line 1: .*1x1"),
        (line(np.zeros(53)), "line 1: no subcarrier"),
    ],
)
def test_damage_is_named_with_its_line(tmp_path, text, said):
    (tmp_path / "csi.csv").write_text(text)
    with pytest.raises(ValueError, match=said) as raised:
        read_csi(tmp_path / "csi.csv")
    assert str(tmp_path / "csi.csv") in str(raised.value)


@pytest.mark.parametrize(
    ("responses", "said"),
    [
        (np.ones((2, 64)), "53"),
        (np.zeros((2, 53)), "zero"),
        (np.full((1, 53), np.nan), "finite"),
    ],
)
def test_responses_that_cannot_be_replayed_are_refused(responses, said):
    with pytest.raises(ValueError, match=said):
        replay_csi(responses)
