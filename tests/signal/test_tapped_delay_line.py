"""TDL-D and TDL-E against their tables, and delay lines that have no more than one ray."""

import dataclasses

import jax
import numpy as np
import pytest

from wfm_jax.signal import fading, profiles
from wfm_jax.signal.link import LinkConfig
from wfm_jax.signal.tapped_delay_line import (
    AWGN,
    RAYLEIGH,
    RICIAN,
    TDL_D,
    TDL_E,
    TappedDelayLine,
    whole_profile_k_db,
)

# 3GPP TR 38.901 tables 7.7.2-4 and 7.7.2-5 row by row: normalised delay and power in dB; the first
# row is the LOS ray, the second the scattered part of the same tap.
TABLE_D = np.array(
    [
        [0, -0.2],
        [0, -13.5],
        [0.035, -18.8],
        [0.612, -21],
        [1.363, -22.8],
        [1.405, -17.9],
        [1.804, -20.1],
        [2.596, -21.9],
        [1.775, -22.9],
        [4.042, -27.8],
        [7.937, -23.6],
        [9.424, -24.8],
        [9.708, -30],
        [12.525, -27.7],
    ]
)
TABLE_E = np.array(
    [
        [0, -0.03],
        [0, -22.03],
        [0.5133, -15.8],
        [0.5440, -18.1],
        [0.5630, -19.8],
        [0.5440, -22.9],
        [0.7112, -22.4],
        [1.9092, -18.6],
        [1.9293, -20.8],
        [1.9589, -22.6],
        [2.6426, -22.3],
        [3.7136, -25.6],
        [5.4524, -20.2],
        [12.0034, -29.8],
        [20.6519, -29.2],
    ]
)
BOTH = pytest.mark.parametrize("line, table", [(TDL_D, TABLE_D), (TDL_E, TABLE_E)], ids="DE")


def z_score(samples, expected):
    samples = np.asarray(samples, np.float64)
    return (samples.mean() - expected) / (samples.std() / np.sqrt(samples.size))


def spread_of(delays, powers):
    powers = powers / powers.sum()
    return np.sqrt(powers @ (delays - powers @ delays) ** 2)


def draw_of(line, batch_size=4, seed=0):
    return line.draw(key=jax.random.key(seed), batch_size=batch_size)


@BOTH
def test_rays_are_those_of_the_table(line, table):
    np.testing.assert_array_equal(line.delays, table[1:, 0])
    np.testing.assert_array_equal(line.powers_db, table[1:, 1])


@pytest.mark.parametrize(
    "line, table, whole_db, first_tap_db",
    [(TDL_D, TABLE_D, 8.98, 13.3), (TDL_E, TABLE_E, 9.27, 22.0)],
    ids="DE",
)
def test_k_is_that_of_the_whole_profile_not_of_the_first_tap(line, table, whole_db, first_tap_db):
    powers = 10 ** (table[:, 1] / 10)
    assert line.k_db == pytest.approx(10 * np.log10(powers[0] / powers[1:].sum()), abs=1e-9)
    assert line.k_db == pytest.approx(whole_db, abs=0.005)
    assert whole_profile_k_db(table[0, 1], tuple(table[1:, 1])) == line.k_db
    np.testing.assert_allclose(draw_of(line).k_db, whole_db, atol=0.005)
    k, scattered = (np.float64(x) for x in (line.profile.k_linear, line.profile.scattered[0]))
    assert 10 * np.log10(k / scattered) == pytest.approx(first_tap_db, abs=1e-4)


def test_tables_have_their_own_delay_spread():
    """0.9937 of TDL-D, not one; what is drawn has the one that was asked for."""
    raw = spread_of(TABLE_D[:, 0], 10 ** (TABLE_D[:, 1] / 10))
    assert raw == pytest.approx(0.9937, abs=5e-5)
    scale = TDL_D.delay_spread_s / raw
    np.testing.assert_allclose(TDL_D.profile.delays_s, TABLE_D[1:, 0] * scale, rtol=1e-5)


@BOTH
@pytest.mark.parametrize("delay_spread_s", [10e-9, 55e-9, 1e-6])
@pytest.mark.parametrize("k_db", [None, -10.0, 3.0, 20.0, -np.inf])
def test_delay_spread_and_k_are_as_asked(line, table, delay_spread_s, k_db):
    """Section 7.7.6: the delay spread is that of the profile with the K of the user."""
    k_db = line.k_db if k_db is None else k_db
    line = dataclasses.replace(line, k_db=k_db, delay_spread_s=delay_spread_s)
    k = 10 ** (k_db / 10)
    powers = 10 ** (table[:, 1] / 10)
    powers[1:] /= powers[1:].sum()
    powers[0] = k
    delays_s = np.concatenate([[0.0], np.asarray(line.profile.delays_s, np.float64)])
    np.testing.assert_allclose(spread_of(delays_s, powers), delay_spread_s, rtol=5e-5)
    np.testing.assert_allclose(
        delays_s, table[:, 0] * delay_spread_s / spread_of(table[:, 0], powers), rtol=5e-5
    )
    np.testing.assert_allclose(line.profile.scattered, powers[1:], rtol=1e-5)
    np.testing.assert_allclose(line.profile.k_linear, k, rtol=1e-6)
    np.testing.assert_allclose(line.longest_delay_s, delays_s.max(), rtol=1e-6)
    assert line.delay_grid_s is None


def test_links_of_a_batch_share_the_profile():
    line = dataclasses.replace(TDL_D, speed_range_m_s=(1.0, 3.0), carrier_hz=6e9)
    drawn = draw_of(line, 5_000)
    for a, b in zip(drawn.profile, line.profile, strict=True):
        np.testing.assert_array_equal(a, np.broadcast_to(b, a.shape))
    speed = np.asarray(drawn.doppler_hz, np.float64) * 299_792_458 / 6e9
    assert speed.min() > 0.999
    assert speed.max() < 3.001
    assert abs(z_score(speed, 2.0)) < 5
    assert abs(z_score(drawn.arrival_rad, np.pi)) < 5
    np.testing.assert_array_equal(draw_of(TDL_D).doppler_hz, 0.0)


def gains(line, n=100_000):
    profile = profiles.tile(line.profile, n)
    return np.asarray(jax.jit(fading.block_gains)(jax.random.key(1), profile), np.complex128)[:, 0]


def test_white_noise_does_not_fade():
    gain = gains(AWGN, 1000)
    np.testing.assert_allclose(np.abs(gain), 1.0, atol=1e-6)
    drawn = draw_of(AWGN)
    assert np.all(np.isnan(drawn.k_db))
    assert np.all(drawn.los)


@pytest.mark.parametrize(
    "line, k",
    [(RAYLEIGH, 0.0), (RICIAN, 10**0.7), (dataclasses.replace(RICIAN, k_db=-2), 10**-0.2)],
)
def test_flat_lines_have_the_moments_of_their_k(line, k):
    """E|h|^2 = 1, Var|h|^2 = (1+2K)/(1+K)^2, and no mean: the phase is random."""
    gain = gains(line)
    power = np.abs(gain) ** 2
    assert abs(z_score(power, 1.0)) < 5
    assert abs(z_score((power - 1.0) ** 2, (1 + 2 * k) / (1 + k) ** 2)) < 5
    for part in (gain.real, gain.imag, (gain**2).real, (gain**2).imag):
        assert abs(z_score(part, 0.0)) < 5
    drawn = draw_of(line)
    if k:
        np.testing.assert_allclose(drawn.k_db, 10 * np.log10(k), atol=1e-5)
    else:
        assert np.all(np.isnan(drawn.k_db))
    np.testing.assert_array_equal(drawn.los, k > 0)


@pytest.mark.parametrize(
    "line",
    [
        AWGN,
        RICIAN,
        RAYLEIGH,
        dataclasses.replace(TDL_D, k_db=np.inf),
        dataclasses.replace(TDL_D, delay_spread_s=0.0),
        dataclasses.replace(RICIAN, delays=(3.0,)),
        TappedDelayLine(delays=(0.7, 0.7, 0.7), powers_db=(0.0, -1.0, -3.0), k_db=1.0),
    ],
)
def test_without_a_delay_spread_all_arrives_at_once(line):
    """So that a link needs neither filter nor prefix, only its timing offsets."""
    np.testing.assert_array_equal(line.profile.delays_s, 0.0)
    assert line.longest_delay_s == 0.0
    config = LinkConfig(scenario=line, cp_samples=6)
    assert (config.n_filter, config.n_taps) == (0, 7)


def test_a_line_is_usable_after_its_first_use_in_a_trace():
    """What is cached must not be a tracer."""
    line = dataclasses.replace(TDL_E, delay_spread_s=77e-9)
    traced = jax.jit(lambda key: line.draw(key=key, batch_size=2))(jax.random.key(0))
    eager = draw_of(line, 2)
    for a, b in zip(traced.profile, eager.profile, strict=True):
        np.testing.assert_array_equal(a, b)


def test_lines_are_hashable():
    assert hash(TDL_D) == hash(dataclasses.replace(TDL_D))
    assert len({TDL_D, TDL_E, RICIAN, RAYLEIGH, AWGN, dataclasses.replace(TDL_D)}) == 5


@pytest.mark.parametrize(
    "name, changes",
    [
        ("delays", {"delays": ()}),
        ("delays", {"delays": (0.0, -1.0)}),
        ("delays", {"delays": (2.0, 1.0)}),
        ("delays", {"delays": (0.0, np.nan)}),
        ("powers_db", {"powers_db": (0.0,)}),
        ("powers_db", {"powers_db": (0.0, np.nan)}),
        ("powers_db", {"powers_db": (0.0, -np.inf)}),
        ("k_db", {"k_db": np.nan}),
        ("delay_spread_s", {"delay_spread_s": -1e-9}),
        ("delay_spread_s", {"delay_spread_s": np.inf}),
        ("delay_spread_s", {"delay_spread_s": np.nan}),
        ("speed_range_m_s", {"speed_range_m_s": (2.0, 1.0)}),
        ("speed_range_m_s", {"speed_range_m_s": (-1.0, 1.0)}),
        ("carrier_hz", {"carrier_hz": 0.0}),
    ],
)
def test_bad_fields_are_named(name, changes):
    fields = {"delays": (0.0, 1.0), "powers_db": (0.0, -3.0), "k_db": 3.0, **changes}
    with pytest.raises(ValueError, match=f"^{name} must") as error:
        TappedDelayLine(**fields)
    assert "\n" not in str(error.value)
