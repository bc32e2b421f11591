"""Test frames: balanced, paired over SNR, and named by a hash that means something."""

import dataclasses

import jax
import numpy as np
import pytest

from wfm_jax.evaluate import frames
from wfm_jax.signal import link


@pytest.fixture(scope="module")
def at():
    return jax.jit(frames.test_frames, static_argnums=0)


def test_strata_are_balanced_and_hold_what_they_say(test_set, at):
    frame = at(test_set, 20.0)
    np.testing.assert_array_equal(np.bincount(test_set.strata), np.full(20, 8))
    np.testing.assert_array_equal(frame.modulation, test_set.modulation)
    edges = np.linspace(-6.0, 20.0, 5)
    k_db, rayleigh = np.asarray(frame.k_db), test_set.k_bin == 4
    assert test_set.k_bins[:1] + test_set.k_bins[-1:] == ("-6...0.5 dB", "rayleigh")
    np.testing.assert_array_equal(np.isnan(k_db), rayleigh)
    np.testing.assert_array_equal(np.asarray(frame.los), ~rayleigh)
    bins = np.digitize(k_db[~rayleigh], edges[1:-1])
    np.testing.assert_array_equal(bins, test_set.k_bin[~rayleigh])
    assert len(np.unique(k_db[~rayleigh])) > 100


@pytest.mark.parametrize("fraction, bins", [(0.0, [0, 1, 2, 3]), (1.0, [4])])
def test_bins_are_those_that_the_scenario_draws(test_set, fraction, bins):
    scenario = dataclasses.replace(test_set.link.scenario, rayleigh_fraction=fraction)
    one_kind = dataclasses.replace(
        test_set, link=dataclasses.replace(test_set.link, scenario=scenario)
    )
    assert one_kind.k_bins == tuple(test_set.k_bins[i] for i in bins)
    assert one_kind.n_frames == 4 * len(bins) * 8


def test_only_n0_differs_between_snrs(test_set, at):
    low, high, clean = (jax.tree.map(np.asarray, at(test_set, snr)) for snr in (5.0, 15.0, 300.0))
    for name in ("bits", "channel", "k_db", "delay_spread_s", "doppler_hz", "modulation"):
        np.testing.assert_array_equal(getattr(low, name), getattr(high, name))
    np.testing.assert_allclose(low.n0, 10**-0.5, rtol=1e-6)
    np.testing.assert_allclose(
        (low.grid - clean.grid) / 10**-0.25, (high.grid - clean.grid) / 10**-0.75, atol=1e-4
    )


def test_frames_are_none_of_the_seeds_own_stream(test_set, at):
    bits = np.asarray(at(test_set, 20.0).bits)
    sample = jax.jit(link.sample_frames, static_argnames=("config", "batch_size"))
    key = jax.random.key(test_set.seed)
    for other in (key, *jax.random.split(key, 3), jax.random.fold_in(key, 0)):
        frame = sample(test_set.link, key=other, batch_size=test_set.n_frames)
        assert abs(np.mean(bits == np.asarray(frame.bits)) - 0.5) < 0.01


def test_hash_names_the_frames(test_set, at):
    name = frames.frames_hash(test_set)
    assert len(name) == 16
    assert frames.hash_frame(at(test_set, frames.REFERENCE_SNR_DB)) == name
    changed = [
        dataclasses.replace(test_set, seed=6),
        dataclasses.replace(
            test_set,
            link=dataclasses.replace(
                test_set.link,
                scenario=dataclasses.replace(test_set.link.scenario, k_db_range=(-6.0, 10.0)),
            ),
        ),
    ]
    names = {name, *(frames.frames_hash(other) for other in changed)}
    assert len(names) == 1 + len(changed)


@pytest.mark.parametrize("view", ["grid", "channel"])
@pytest.mark.parametrize("change, same", [(1e-6, True), (0.1, False)])
def test_hash_ignores_the_last_digits_alone(test_set, at, view, change, same):
    frame = at(test_set, frames.REFERENCE_SNR_DB)
    changed = frame._replace(**{view: np.asarray(getattr(frame, view)) * (1.0 + change)})
    assert (frames.hash_frame(changed) == frames.hash_frame(frame)) is same


def test_a_test_set_without_frames_is_refused(test_set):
    with pytest.raises(ValueError, match="frames_per_stratum must be at least 1, got 0"):
        dataclasses.replace(test_set, frames_per_stratum=0)
