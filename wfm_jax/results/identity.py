"""One name for one setting: canonical JSON and the hashes taken of it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """``value`` in JSON's own types, so that equal settings look equal.

    NumPy and JAX scalars become Python's, whole floats become ints (4.0 bits are 4 bits), tuples
    become lists, keys strings. Raises ValueError for NaN, infinities and anything JSON lacks.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if value - value != 0:
            raise ValueError(f"a setting must be finite, got {value}")
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    raise ValueError(f"a setting must be JSON, got {type(value).__name__}")


def canonical_json(value: Any) -> str:
    """``value`` as JSON with sorted keys and no spaces: the same text for the same setting."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """sha256 of the canonical JSON, 64 hex digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def config_id(canonical: Mapping[str, Any]) -> str:
    """The short name of a configuration: 12 hex digits of its ``digest``.

    The caller leaves out what does not act (the sparsity of a pipeline without ``P``), so that
    settings which amount to the same configuration share an id.
    """
    return digest(canonical)[:12]
