"""The text of a field of a configuration, as the flags of a sweep take it."""

from typing import Any

from experiments.allocation_flag import allocation
from wfm_jax.sweep import pipeline
from wfm_jax.sweep.allowed import CHOICES
from wfm_jax.sweep.configuration import Configuration


def field_value(field: str, text: str) -> Any:
    """What a text says of a field.

    Args:
        field: a field of :class:`Configuration`.
        text: a number, a word, a pipeline, ``none`` for no group size, or an allocation.

    Raises:
        ValueError: the field does not take it.
    """
    value = _KINDS.get(field, _number)(text)
    if field == "pipeline":
        pipeline.parse(text)
    else:
        fields: dict[str, Any] = {"pipeline": pipeline.NONE, "steps": 10**9, field: value}
        Configuration(**fields)
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"a number is needed, got {text!r}") from None


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"a whole number is needed, got {text!r}") from None


def _group_size(text: str) -> int | None:
    if text == "none":
        return None
    if not text.isdecimal():
        raise ValueError("a whole number of inputs, or none")
    return _whole(text)


_KINDS = {
    **dict.fromkeys(("pipeline", "student", *CHOICES), str),
    **dict.fromkeys(("seed", "steps", "recovery_steps"), _whole),
    "group_size": _group_size,
    "allocation": allocation,
}
