"""A link as JSON values and back: what a model's file and a recording say of their frames."""

import dataclasses
from typing import Any

from wfm_jax.signal import scenarios
from wfm_jax.signal.link import LinkConfig


def to_dict(link: LinkConfig) -> dict[str, Any]:
    """A link's fields as JSON values, its scenario too."""
    return dataclasses.asdict(link) | {"scenario": scenarios.to_dict(link.scenario)}


def from_dict(fields: dict[str, Any]) -> LinkConfig:
    """The link that :func:`to_dict` wrote.

    Raises:
        ValueError: fields that this version does not know, or values that it does not allow.
    """
    try:
        values: dict[str, Any] = {name: _tuples(value) for name, value in fields.items()}
        values["scenario"] = scenarios.from_dict(fields["scenario"])
        return LinkConfig(**values)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a link of this version: {error}") from None


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
