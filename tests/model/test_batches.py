"""Batches: which views are dropped, whose modulation is known, whose oscillator is off."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests import small
from wfm_jax.model import preset, sample_batch, to_batch
from wfm_jax.model.batches import drop_views
from wfm_jax.model.config import VIEWS
from wfm_jax.signal.tapped_delay_line import AWGN

MANY = 20_000


def rate_z(found, expected):
    """Standard deviations between the rate of a bool[n] and its expectation."""
    return (np.mean(found) - expected) / np.sqrt(expected * (1 - expected) / np.size(found))


@pytest.mark.parametrize("views", [VIEWS, ("iq", "csi"), ("spectrogram",)])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_views_are_dropped_at_their_rate_and_never_all(config, views, rate):
    """Each one independently; of a frame that would have none left, one at random stays."""
    config = dataclasses.replace(config, views=views)
    drop = jax.jit(drop_views, static_argnums=0, static_argnames="batch_size")
    present = np.asarray(drop(config, rate, key=jax.random.key(3), batch_size=MANY))
    assert present.shape == (MANY, 4)
    read = np.array([view in views for view in VIEWS])
    assert np.all(present[:, read].any(axis=1))
    n = len(views)
    stays = rate**n / n  # of all n gone, this one is called back
    for here, column in zip(read, present.T, strict=True):
        if here and n == 1:
            assert np.all(column)
        elif here:
            assert abs(rate_z(~column, rate - stays)) < 5
        else:
            assert abs(rate_z(~column, rate)) < 5
    if n == 4:
        assert abs(rate_z(present.all(axis=1), (1 - rate) ** 4)) < 5
        alone = 4 * rate**3 * (1 - rate) + rate**4
        assert abs(rate_z(present.sum(axis=1) == 1, alone)) < 5


def test_the_modulation_token_is_masked_where_blind(config, batch):
    blind = jnp.arange(32) % 3 == 0
    prepared = jax.jit(functools.partial(to_batch, config))(batch.frame, blind)
    token = np.asarray(prepared.inputs.modulation)
    np.testing.assert_array_equal(token, np.where(blind, 4, batch.frame.modulation))
    np.testing.assert_array_equal(prepared.blind, blind)
    assert 0 < np.asarray(batch.blind).sum() < 32


@pytest.fixture(scope="module")
def still():
    """A model of a link without fading, delay or offset, almost without noise."""
    link = dataclasses.replace(
        small.LINK, scenario=AWGN, snr_db_range=(60.0, 60.0), max_timing_offset=0
    )
    return preset("pico", link)


@pytest.fixture(scope="module")
def drawn(still):
    """A batch with everything a batch can have."""

    @jax.jit
    def draw(key):
        return sample_batch(
            still,
            key=key,
            batch_size=4000,
            blind_fraction=0.3,
            view_dropout=0.2,
            carrier_offset_fraction=0.04,
        )

    return jax.tree.map(np.asarray, draw(jax.random.key(11)))


def offsets(config, frame):
    """In subcarrier spacings, from the turn of the true channel between neighbouring symbols."""
    channel = np.asarray(frame.channel)
    turns = channel[:, 1:] * channel[:, :-1].conj()
    symbols = np.angle(turns.sum(axis=(1, 2))) / (2 * np.pi)
    return symbols * config.link.n_fft / config.link.symbol_samples


def test_half_of_the_frames_are_off_carrier_within_the_range(still, drawn):
    """Uniform over 4 % of the subcarrier spacing, either way."""
    found = offsets(still, drawn.frame)
    off = np.abs(found) > 1e-6
    assert abs(rate_z(off, 0.5)) < 5
    assert np.abs(found).max() <= 0.04 * (1 + 1e-4)
    assert stats.kstest(found[off], stats.uniform(-0.04, 0.08).cdf).pvalue > 1e-6


def test_without_a_range_all_are_on_carrier(config, batch):
    """What turns is the fading, at walking speed: 20 Hz of 625 kHz."""
    assert np.abs(offsets(config, batch.frame)).max() < 5e-4


def test_blind_frames_and_absent_views_come_at_their_rates(drawn):
    assert abs(rate_z(drawn.blind, 0.3)) < 5
    token = np.where(drawn.blind, 4, drawn.frame.modulation)
    np.testing.assert_array_equal(drawn.inputs.modulation, token)
    for view in VIEWS:
        absent = ~drawn.inputs.visible[view]
        assert np.all(absent == absent[:, :1])
        assert abs(rate_z(absent[:, 0], 0.2 - 0.2**4 / 4)) < 5


def test_batches_are_decided_by_their_key(sample, batch):
    again, other = (sample(key=jax.random.key(seed)) for seed in (2, 3))
    jax.tree.map(np.testing.assert_array_equal, again, batch)
    assert np.abs(np.asarray(other.inputs.grid - batch.inputs.grid)).max() > 0.1
    assert np.all(np.asarray(batch.inputs.visible["iq"]))
