"""Resampling: tones keep frequency and power, images and aliases are where theory puts them."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from wfm_jax.signal import resample
from wfm_jax.signal.resample import STOP_DB, TRANSITION, low_pass, rate_ratio

RATIOS = [Fraction(5, 4), Fraction(4, 5), Fraction(1, 3), Fraction(7, 1), Fraction(25, 96)]
RIPPLE = 1.2 * 10.0 ** (-STOP_DB / 20.0)  # Kaiser's formula is good to about a decibel


def tone(frequency, n):
    """exp(j 2 pi f t), f in cycles a sample."""
    return np.exp(2j * np.pi * frequency * np.arange(n)).astype(np.complex64)


def inside(x, ratio):
    """What no end of the recording reaches."""
    edge = int(np.ceil(60 * max(1, ratio)))
    return x[edge:-edge]


@pytest.mark.parametrize("ratio", RATIOS, ids=str)
@pytest.mark.parametrize("place", [-0.95, -0.4, 0.0, 0.13, 0.949])
def test_a_tone_stays_at_its_frequency_and_power(ratio, place):
    """Anywhere up to 95 % of half the lower rate, to within the filter's ripple."""
    frequency = 0.5 * place * min(1, float(ratio))
    found = resample.resample(tone(frequency, 2000), ratio)
    assert found.dtype == np.complex64
    assert found.size == -(-2000 * ratio.numerator // ratio.denominator)
    wanted = tone(frequency / float(ratio), found.size)
    difference = inside(found, ratio) - inside(wanted, ratio)
    assert np.max(np.abs(difference)) < 2.0 * RIPPLE


@pytest.mark.parametrize("ratio", [r for r in RATIOS if r < 1], ids=str)
@pytest.mark.parametrize("place", [1.05, -1.15, 1.24])
def test_what_would_alias_is_eighty_decibels_down(ratio, place):
    frequency = 0.5 * place * float(ratio)
    found = resample.resample(tone(frequency, 3000), ratio)
    level_db = 10.0 * np.log10(np.mean(np.square(np.abs(inside(found, ratio)))))
    assert level_db < -STOP_DB + 1.0


@pytest.mark.parametrize("ratio", [r for r in RATIOS if r > 1], ids=str)
def test_images_are_eighty_decibels_down(ratio):
    found = inside(resample.resample(tone(0.2, 4000), ratio), ratio)
    wanted = 0.2 / float(ratio)
    spectrum = np.abs(np.fft.fft(found * np.kaiser(found.size, 14.0)))
    frequencies = np.fft.fftfreq(found.size)
    image = np.abs(frequencies - wanted) > 0.02
    assert 20.0 * np.log10(spectrum[image].max() / spectrum.max()) < -STOP_DB + 1.0


@pytest.mark.parametrize("factor", [2, 5, 12])
def test_the_filter_is_what_its_words_say(factor):
    taps = low_pass(factor)
    np.testing.assert_array_equal(taps, taps[::-1])
    turn, gain = scipy.signal.freqz(taps, worN=2**15)
    edge = np.pi / factor
    passed, stopped = (
        np.abs(gain[turn < (1 - TRANSITION) * edge]),
        np.abs(gain[turn > (1 + TRANSITION) * edge]),
    )
    assert np.max(np.abs(passed - 1.0)) < RIPPLE
    assert 20.0 * np.log10(stopped.max()) < -STOP_DB + 1.0
    at_the_edge = np.interp(edge, turn, np.abs(gain))
    assert at_the_edge == pytest.approx(0.5, abs=1e-3)


def test_there_and_back_keeps_energy_and_samples():
    """Parseval, of noise that is within the band that passes."""
    rng = np.random.default_rng(0)
    n = 4000
    spectrum = rng.normal(size=n) + 1j * rng.normal(size=n)
    spectrum[np.abs(np.fft.fftfreq(n)) > 0.45] = 0.0
    samples = np.fft.ifft(spectrum, norm="ortho").astype(np.complex64)
    faster = resample.resample(samples, Fraction(5, 4))
    back = resample.resample(faster, Fraction(4, 5))
    assert back.size == n
    middle = slice(300, -300)
    assert np.max(np.abs(back[middle] - samples[middle])) < 20.0 * RIPPLE
    energy = np.sum(np.square(np.abs(samples), dtype=np.float64))
    assert 0.8 * np.sum(np.square(np.abs(faster), dtype=np.float64)) == pytest.approx(
        energy, rel=2e-3
    )


def test_equal_rates_change_nothing():
    samples = tone(0.49, 100)
    assert resample.resample(samples, rate_ratio(20e6, 20e6)) is samples


@given(st.floats(1e3, 1e9), st.floats(0.01, 100.0))
@settings(max_examples=200, deadline=None)
def test_any_ratio_is_met_to_less_than_crystals_differ(rate, ratio):
    found = rate_ratio(rate, rate * ratio)
    assert max(found.numerator, found.denominator) <= resample.LARGEST_TERM
    assert float(found) == pytest.approx(ratio, rel=1.01e-5)


@pytest.mark.parametrize("rates", [(25e6, 20e6), (61.44e6, 20e6), (2.4e6, 20e6), (1.0, 3.0)])
def test_plain_ratios_are_exact(rates):
    assert rate_ratio(*rates) == Fraction(rates[1]) / Fraction(rates[0])


@pytest.mark.parametrize(
    "rates, name",
    [((0.0, 1.0), "from_hz"), ((1.0, np.nan), "to_hz"), ((np.inf, 1.0), "from_hz"),
     ((1.0, 1e6), "too far apart")],
)  # fmt: skip
def test_rates_that_make_no_sense_are_refused(rates, name):
    with pytest.raises(ValueError, match=name):
        rate_ratio(*rates)


@pytest.mark.parametrize(
    "samples", [np.zeros((2, 3), np.complex64), np.zeros(3), np.zeros(0, np.complex64)]
)
def test_what_is_no_row_of_samples_is_refused(samples):
    with pytest.raises(ValueError, match=r"samples must be complex \[n\]"):
        resample.resample(samples, Fraction(1, 2))
