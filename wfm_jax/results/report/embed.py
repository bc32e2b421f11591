"""Text of others inside a page: nothing that a run's files hold can become markup or a program."""

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

_UNSAFE = {ord(c): f"\\u{ord(c):04x}" for c in "<>&"}


def safe_json(value: Any) -> str:
    """JSON for the inside of a script element: ASCII, and no character that could end it.

    Raises:
        ValueError: a number that is not finite.
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return text.translate(_UNSAFE)


def policy(programs: Sequence[str]) -> str:
    """A Content Security Policy that runs these programs alone, and loads nothing from anywhere.

    Args:
        programs: the text between each pair of script tags, to the byte.
    """
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in programs
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
