"""Links that training left out: what their names say is new, and only that."""

import dataclasses
import warnings

import numpy as np
import pytest

from wfm_jax.signal.csi_csv import replay_csi
from wfm_jax.signal.link import LinkConfig
from wfm_jax.signal.scenarios import SCENARIOS
from wfm_jax.signal.unseen import UNSEEN, replay_link, unseen_link

BASE = LinkConfig()


def changed(link):
    fields = (field.name for field in dataclasses.fields(link))
    return {name for name in fields if getattr(link, name) != getattr(BASE, name)}


@pytest.mark.parametrize("name", UNSEEN)
def test_every_link_can_be_made_and_only_one_has_too_short_a_prefix(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        link = unseen_link(name, BASE)
    assert (link.n_taps - 1 > link.cp_samples) == (name == "short_prefix")
    assert link.bits_per_symbol == BASE.bits_per_symbol


def test_only_what_the_name_says_is_new():
    assert changed(unseen_link("as_trained", BASE)) == set()
    assert changed(unseen_link("low_k", BASE)) == {"scenario"}
    assert changed(unseen_link("long_delays", BASE)) == {"scenario", "cp_samples"}
    assert changed(unseen_link("sparse_pilots", BASE)) == {"pilot_spacing"}
    assert changed(unseen_link("short_prefix", BASE)) == {"cp_samples"}


def test_delays_are_longer_and_k_lower_than_trained():
    long, low = (unseen_link(name, BASE).scenario for name in ("long_delays", "low_k"))
    assert long.decay_range_s[0] >= 0.8 * BASE.scenario.decay_range_s[1]
    assert low.k_db_range[1] < np.mean(BASE.scenario.k_db_range)


def test_a_carrier_offset_is_a_share_of_the_subcarrier_spacing():
    link = unseen_link("carrier_offset", BASE)
    assert link.max_carrier_offset_hz == pytest.approx(0.05 * 20e6 / 32)


def test_every_scenario_but_the_one_trained_on_has_its_name():
    assert set(SCENARIOS) - set(UNSEEN) == {"factory_hall"}
    assert unseen_link("nuremberg", BASE).scenario == SCENARIOS["nuremberg"]


def test_a_replay_keeps_its_taps():
    replay = replay_csi(np.ones((2, 53)))
    link = replay_link(replay, BASE)
    assert link.scenario is replay
    assert link.sample_rate_hz / link.n_fft == 312.5e3
    assert link.n_filter == 0


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"long_delays.*mars"):
        unseen_link("mars", BASE)
