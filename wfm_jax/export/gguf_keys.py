"""Settings as the typed keys of a GGUF file, and back: nothing is lost on the way.

A field ``link.n_symbols`` of the settings is the key ``wfm.link.n_symbols``. Numbers are 64 bits
wide. What GGUF has no type for (None, empty and nested lists) is JSON under a key that ends in
``.json``.
"""

import json
from collections.abc import Mapping
from typing import Any

_JSON = ".json"
_PLAIN = (bool, int, float, str)


def to_keys(fields: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Flat keys of JSON values whose names have no dots.

    >>> to_keys({"heads": [4, 4], "link": {"fft_size": None}}, "wfm")
    {'wfm.heads': [4, 4], 'wfm.link.fft_size.json': 'null'}
    """
    keys = {}
    for name, value in fields.items():
        key = f"{prefix}.{name}"
        value = list(value) if isinstance(value, tuple) else value
        if isinstance(value, Mapping):
            keys |= to_keys(value, key)
        elif type(value) in _PLAIN or _is_plain_list(value):
            keys[key] = value
        else:
            keys[key + _JSON] = json.dumps(value)
    return keys


def from_keys(keys: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The inverse of :func:`to_keys`, with lists for tuples; keys of other prefixes are ignored.

    Raises:
        ValueError: naming a key whose JSON is none, or that is a value and a parent of others.
    """
    fields: dict[str, Any] = {}
    for key, value in keys.items():
        if not key.startswith(f"{prefix}."):
            continue
        *parents, name = key.removeprefix(f"{prefix}.").removesuffix(_JSON).split(".")
        try:
            value = json.loads(value) if key.endswith(_JSON) else value
            place = fields
            for parent in parents:
                place = place.setdefault(parent, {})
            place[name] = value
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{key}: {error}") from None
    return fields


def _is_plain_list(value: Any) -> bool:
    if not isinstance(value, list) or not value:
        return False
    kinds = set(map(type, value))
    return len(kinds) == 1 and kinds <= set(_PLAIN)
