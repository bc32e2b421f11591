"""Every scenario by name: draws links, carries frames, goes through JSON and back."""

import dataclasses
import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.signal import link, profiles, scenarios
from wfm_jax.signal.replay import Replay
from wfm_jax.signal.scenarios import SCENARIOS

REPLAY = Replay.of([[1, 0.5j, 0], [0.1, 0, -0.3]], [0, 5e-8, 1.2e-7])
N = 4096


@pytest.mark.parametrize("name", SCENARIOS)
def test_draws_are_links_of_unit_mean_power(name):
    drawn = SCENARIOS[name].draw(key=jax.random.key(1), batch_size=N)
    powers = np.asarray(profiles.mean_powers(drawn.profile), np.float64)
    assert drawn.profile.delays_s.shape == powers.shape
    np.testing.assert_allclose(powers.sum(-1), 1.0, rtol=1e-5)
    for x in (drawn.los, drawn.doppler_hz, drawn.arrival_rad, drawn.path_loss_db, drawn.k_db):
        assert x.shape == (N,)
    assert drawn.los.dtype == jnp.bool_
    assert np.all(np.isfinite(drawn.path_loss_db))
    assert np.all(np.asarray(drawn.profile.delays_s) <= SCENARIOS[name].longest_delay_s + 1e-12)
    # K is there where something fades and something does not, and nowhere else.
    k = np.asarray(drawn.profile.k_linear)
    np.testing.assert_array_equal(np.isfinite(drawn.k_db), (k > 0) & np.isfinite(k))


@pytest.mark.parametrize("name", ["inf_sl", "tdl_d", "replay"])
def test_carries_frames(name):
    """Through a link whose prefix covers it, with a quarter of the band as guard: unit mean power,
    finite views and labels. |h|^2 of a frame has a variance of at most 1."""
    scenario = SCENARIOS.get(name, REPLAY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = link.LinkConfig(
            n_symbols=2, n_subcarriers=12, fft_size=16, pilot_symbols=(0,), scenario=scenario,
            sample_rate_hz=2e6, cp_samples=16, max_timing_offset=0, n_sinusoids=1,
        )  # fmt: skip
    sample = jax.jit(link.sample_frames, static_argnames=("config", "batch_size"))
    frame = sample(config, key=jax.random.key(2), batch_size=512)
    for name, value in frame._asdict().items():
        assert name == "k_db" or np.all(np.isfinite(value)), name
    power = np.asarray(jnp.mean(jnp.square(jnp.abs(frame.channel)), axis=(1, 2)), np.float64)
    assert abs(power.mean() - 1.0) < 5 / np.sqrt(512)
    again = sample(config, key=jax.random.key(2), batch_size=512)
    np.testing.assert_array_equal(frame.grid, again.grid)


@pytest.mark.parametrize("scenario", [*SCENARIOS.values(), REPLAY])
def test_round_trip_through_json(scenario):
    again = scenarios.from_dict(json.loads(json.dumps(scenarios.to_dict(scenario))))
    assert again == scenario
    assert hash(again) == hash(scenario)


def test_a_copy_can_be_changed():
    for scenario in SCENARIOS.values():
        faster = dataclasses.replace(scenario, speed_range_m_s=(10.0, 10.0))
        drawn = faster.draw(key=jax.random.key(0), batch_size=N)
        np.testing.assert_allclose(drawn.doppler_hz, 10 * scenario.carrier_hz / 299_792_458, 1e-6)


@pytest.mark.parametrize(
    "fields", [{}, {"kind": "Cathedral"}, {"kind": "FactoryHall", "rain": 1}, {"kind": "Replay"}]
)
def test_fields_of_another_version_are_refused(fields):
    with pytest.raises(ValueError, match="not a scenario of this version"):
        scenarios.from_dict(fields)


def test_a_scenario_of_the_users_own_cannot_be_stored():
    class Mine:
        pass

    with pytest.raises(ValueError, match="can be stored, got Mine"):
        scenarios.to_dict(Mine())
