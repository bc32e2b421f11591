"""Links that a model's training left out, by name: other halls, other grids, poorer hardware.

Each is made of the link that the model was trained on, so that only what its name says is new. The
halls of ``scenarios`` come with a grid of their own: their longest delays need a longer prefix than
the default link's FFT has samples.
"""

import dataclasses
import warnings
from collections.abc import Callable

from wfm_jax.signal.factory import FactoryHall
from wfm_jax.signal.link import LinkConfig
from wfm_jax.signal.propagation import Scenario
from wfm_jax.signal.replay import Replay
from wfm_jax.signal.scenarios import SCENARIOS

LONG_DELAYS = FactoryHall(
    decay_median_s=200e-9, decay_range_s=(100e-9, 400e-9), n_rays=20, ray_spacing_s=50e-9
)
"""A hall of four times the default's delays."""

LOW_K = FactoryHall(k_db_range=(-12.0, 0.0), rayleigh_fraction=0.5)
"""A hall where the line of sight is weak, or blocked in half of the frames."""

LONG_LOW_K = dataclasses.replace(LONG_DELAYS, k_db_range=(-12.0, 0.0), rayleigh_fraction=0.5)
"""Both."""

_Change = Callable[[LinkConfig], LinkConfig]


def _with(**fields: object) -> _Change:
    return lambda base: dataclasses.replace(base, **fields)


def _of_hall(scenario: Scenario) -> _Change:
    return _with(
        scenario=scenario, n_subcarriers=48, fft_size=64, cp_samples=54, sample_rate_hz=10e6
    )


def _wifi(scenario: Scenario) -> _Change:
    return _with(
        scenario=scenario, n_subcarriers=48, fft_size=64, cp_samples=32, sample_rate_hz=20e6
    )


def _off_frequency(base: LinkConfig) -> LinkConfig:
    spacing_hz = base.sample_rate_hz / base.n_fft
    return dataclasses.replace(base, max_carrier_offset_hz=0.05 * spacing_hz)


UNSEEN: dict[str, _Change] = {
    "as_trained": _with(),
    "long_delays": _with(scenario=LONG_DELAYS, cp_samples=28),
    "low_k": _with(scenario=LOW_K),
    "long_low_k": _with(scenario=LONG_LOW_K, cp_samples=28),
    "nr_grid": _with(
        n_symbols=14, n_subcarriers=48, fft_size=64, cp_samples=32, pilot_symbols=(2, 11)
    ),
    "sparse_pilots": _with(pilot_spacing=4),
    "one_pilot_symbol": _with(pilot_symbols=(3,)),
    "carrier_offset": _off_frequency,
    "short_prefix": _with(cp_samples=6),
    **{name: _of_hall(scenario) for name, scenario in SCENARIOS.items() if name != "factory_hall"},
}
"""By name, a function of the link that the model was trained on. ``as_trained`` is that link: a
control, with nothing to gain. ``carrier_offset``: up to 5 % of the subcarrier spacing.
``short_prefix``: OFDM symbols interfere."""


def unseen_link(name: str, base: LinkConfig) -> LinkConfig:
    """A link by name, of the link that the model was trained on.

    A prefix that is too short is meant so, and does not warn.

    Raises:
        ValueError: an unknown name; lists the known ones.
    """
    if name not in UNSEEN:
        raise ValueError(f"one of {', '.join(UNSEEN)}, got {name!r}")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "cp_samples")
        return UNSEEN[name](base)


def replay_link(replay: Replay, base: LinkConfig) -> LinkConfig:
    """A link over replayed responses, on the grid of Wi-Fi in 20 MHz: the 48 middle ones of 64
    subcarriers."""
    return _wifi(replay)(base)
