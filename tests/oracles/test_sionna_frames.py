"""Frames that Sionna 2 makes: labels are exact, a model does on them as on ours, they come back.

Both simulators put paths between two samples by a filter. Ours falls off towards the edge of the
band, Sionna's is a plain sinc that ripples there. Where a guard band keeps subcarriers away from
the edge, a model scores alike on frames of both. The default link has none: there bits and
modulation are alike still, and the channel estimate, which cannot follow the ripple, is worse.
"""

import dataclasses
import warnings

import jax
import numpy as np
import pytest

from experiments import sionna_frames
from experiments.sionna_frames import SionnaRecording, record, simulate
from wfm_jax.evaluate import frames, metrics
from wfm_jax.evaluate.intervals import half_width, resample_weights
from wfm_jax.evaluate.many import Frames, draw_frames, make_scorer
from wfm_jax.evaluate.places import RecordedSet, recorded_place
from wfm_jax.model import build
from wfm_jax.signal import link, mixed_qam, ofdm
from wfm_jax.signal.tapped_delay_line import TDL_D
from wfm_jax.train.model_files import load_teacher

pytest.importorskip("sionna.phy", reason="Sionna is missing: run `make test-oracles`")

SNRS_DB = (10.0, 15.0, 20.0)
DEFAULT = link.LinkConfig()
GUARDED = link.LinkConfig(fft_size=64, sample_rate_hz=40e6, cp_samples=32, max_timing_offset=12)
"""The default link's subcarriers, in the middle half of the sample rate."""
N = 100


@pytest.fixture(scope="module")
def simulated():
    """``simulated(link)``: frames of each link once."""
    made = {}

    def of(config):
        if config not in made:
            made[config] = simulate(SionnaRecording(config, N, SNRS_DB, seed=3))
        return made[config]

    return of


def frame_of(found):
    """As the frames of a test set are, leaves [n_snr, n_frames, ...]."""
    frame = link.Frame(**link.views(found.link, found.iq), **found.labels._asdict())
    shape = len(SNRS_DB), -1
    return jax.tree.map(lambda x: np.asarray(x).reshape(*shape, *np.shape(x)[1:]), frame)


def sent(found):
    """The grid that was sent, by our mapping of Sionna's bits."""
    labels, config = found.labels, found.link
    symbols = mixed_qam.modulate(labels.bits, labels.modulation, config.bits_per_symbol)
    return np.asarray(ofdm.place(symbols, config.pilots, config.pilot_mask))


@pytest.mark.parametrize("config, most_db", [(DEFAULT, -45.0), (GUARDED, -60.0)])
def test_what_the_true_channel_leaves_is_the_noise(simulated, config, most_db):
    """Only n0 differs between SNRs, so two of them tell noise of variance one from interference:
    of the neighbouring symbols, and of the channel's motion within one."""
    found = simulated(config)
    grid = ofdm.to_grid(found.iq, config.n_symbols, config.cp_samples, config.n_subcarriers)
    left = np.asarray(grid) - found.labels.channel * sent(found)
    loud, _, quiet = left.astype(complex).reshape(len(SNRS_DB), -1)
    scale = np.sqrt(10.0 ** (-np.array(SNRS_DB) / 10.0))
    noise = (loud - quiet) / (scale[0] - scale[2])
    interference = loud - scale[0] * noise
    # |w|^2 is exponential: its standard deviation is its mean.
    assert abs(np.mean(np.abs(noise) ** 2) - 1.0) * np.sqrt(noise.size) < 4
    assert 10.0 * np.log10(np.mean(np.abs(interference) ** 2)) < most_db


def test_snrs_share_bits_fading_and_timing(simulated):
    found = simulated(DEFAULT)
    for values in (*found.labels[:3], found.timing_offset, found.labels.delay_spread_s):
        first, *others = np.split(values, len(SNRS_DB))
        for other in others:
            np.testing.assert_array_equal(first, other)
    n0 = found.labels.n0
    np.testing.assert_allclose(np.unique(n0)[::-1], 10.0 ** (-np.array(SNRS_DB) / 10.0), rtol=1e-6)
    power = np.mean(np.abs(found.labels.channel) ** 2, axis=(1, 2))
    np.testing.assert_allclose(found.labels.snr_db, 10.0 * np.log10(power / n0), atol=1e-4)
    mean, spread = power[: 4 * N].mean(), power[: 4 * N].std()
    assert abs(mean - 1.0) / (spread / np.sqrt(4 * N)) < 4


def test_the_profile_is_the_one_that_was_realised(simulated):
    scenario = simulated(DEFAULT).link.scenario
    np.testing.assert_allclose(scenario.k_db, TDL_D.k_db, atol=1e-4)
    # The table's own delay spread is .994 of its unit.
    np.testing.assert_allclose(scenario.delay_spread_s, 0.9937 * 30e-9, rtol=1e-4)
    np.testing.assert_allclose(scenario.longest_delay_s, 12.525 * 30e-9, rtol=1e-4)
    labels = simulated(DEFAULT).labels
    np.testing.assert_allclose(labels.k_db, 8.985, atol=1e-3)
    np.testing.assert_allclose(labels.doppler_hz, 3.7e9 / 299_792_458.0, rtol=1e-5)
    assert labels.los.all()


def test_windows_begin_no_earlier_than_those_of_the_link(simulated):
    found = simulated(DEFAULT)
    early = found.timing_offset + found.link.n_filter
    assert set(early) == {3, 4, 5, 6}
    assert found.link.n_filter == sionna_frames.FILTER_ROOM


@pytest.mark.parametrize(
    "config, alike",
    [
        (DEFAULT, ("gmi_fraction", "amc_accuracy")),
        (GUARDED, ("gmi_fraction", "amc_accuracy", "channel_nmse_db")),
    ],
)
def test_a_model_does_as_well_on_frames_of_both_simulators(simulated, config, alike):
    found, teacher = simulated(config), load_teacher()
    model = dataclasses.replace(teacher.config, link=found.link)
    apply = build(model, jax.random.key(0))[0]
    with warnings.catch_warnings(action="ignore"):  # of our filter's tails beyond the prefix
        ours = draw_frames(frames.TestSet(found.link, 5, frames_per_stratum=N), SNRS_DB)
    theirs = Frames(RecordedSet(found.link, 0, frames_per_stratum=N), SNRS_DB, frame_of(found))
    scored = [make_scorer(model, apply, of)(teacher.params) for of in (theirs, ours)]
    weights = resample_weights(ours.test_set.strata, seed=1)
    for name in ("gmi_fraction", "amc_accuracy", "channel_nmse_db"):
        values = [getattr(metrics, name)(of, weights) for of in scored]
        error = np.hypot(*(half_width(of) / 1.96 for of in values))
        difference = values[0][0] - values[1][0]
        if name in alike:
            assert abs(difference) < 4 * error, name
        else:
            assert 0.0 < difference < 1.0, name


def test_a_recording_comes_back_as_it_was(tmp_path):
    wanted = SionnaRecording(DEFAULT, 3, SNRS_DB, seed=4)
    found = simulate(wanted)
    place = recorded_place(record(wanted, tmp_path))
    assert (place.name, place.words) == ("sionna_tdl_d", "Sionna TDL-D, 30 ns")
    assert place.test_set.link == found.link
    drawn, known = place.draw(), frame_of(found)
    np.testing.assert_array_equal(drawn.test_set.modulation, np.repeat(np.arange(4), 3))
    for name in (*sionna_frames.Labels._fields, "iq"):
        np.testing.assert_array_equal(getattr(drawn.frame, name), getattr(known, name), name)


def test_the_same_seed_gives_the_same_frames():
    wanted = SionnaRecording(DEFAULT, 2, SNRS_DB, seed=5)
    one, same = simulate(wanted), simulate(wanted)
    np.testing.assert_array_equal(one.iq, same.iq)
    other = simulate(dataclasses.replace(wanted, seed=6))
    assert np.all(one.iq != other.iq)
