"""All scenarios by name, and their way to JSON and back."""

import dataclasses
from typing import Any

from wfm_jax.signal.factory import FACTORY_HALL, FactoryHall
from wfm_jax.signal.inf import INF_DH, INF_DL, INF_HH, INF_SH, INF_SL, InfHall
from wfm_jax.signal.measured_factory import NUREMBERG, MeasuredFactory
from wfm_jax.signal.propagation import Scenario
from wfm_jax.signal.replay import Replay
from wfm_jax.signal.tapped_delay_line import (
    AWGN,
    RAYLEIGH,
    RICIAN,
    TDL_D,
    TDL_E,
    TappedDelayLine,
)

SCENARIOS: dict[str, Scenario] = {
    "factory_hall": FACTORY_HALL,
    "inf_sl": INF_SL,
    "inf_dl": INF_DL,
    "inf_sh": INF_SH,
    "inf_dh": INF_DH,
    "inf_hh": INF_HH,
    "nuremberg": NUREMBERG,
    "tdl_d": TDL_D,
    "tdl_e": TDL_E,
    "rician": RICIAN,
    "rayleigh": RAYLEIGH,
    "awgn": AWGN,
}
"""Ready to use, or to copy with ``dataclasses.replace``."""

_KINDS = {kind.__name__: kind for kind in (FactoryHall, InfHall, MeasuredFactory, Replay,
                                           TappedDelayLine)}  # fmt: skip


def to_dict(scenario: Scenario) -> dict[str, Any]:
    """A scenario's kind and fields as JSON values. Raises ValueError for a kind of another's."""
    if type(scenario) not in _KINDS.values():
        raise ValueError(f"only {', '.join(_KINDS)} can be stored, got {type(scenario).__name__}")
    return {"kind": type(scenario).__name__, **dataclasses.asdict(scenario)}  # type: ignore


def from_dict(fields: dict[str, Any]) -> Scenario:
    """The scenario that :func:`to_dict` wrote.

    Raises:
        ValueError: an unknown kind, or fields or values that it does not allow.
    """
    try:
        values = {name: _tuples(value) for name, value in fields.items() if name != "kind"}
        return _KINDS[fields["kind"]](**values)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a scenario of this version: {error}") from None


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, (list, tuple)) else value
