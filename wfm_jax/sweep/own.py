"""What a configuration takes that is not ours: a pruning score, a quantization format.

There is no list to enter them in: a function is a ``score``, a :class:`Format` a ``quant_format``,
and both stand in a space like any other value. Rows and hashes know them by name, so a name means
one thing as long as its rows are kept.
"""

import re
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

import jax

from wfm_jax.export.grids import Grid


class Format(NamedTuple):
    """A quantization format: two functions, and how a packed file writes it.

    Attributes:
        name: what rows call it.
        bits: of a weight, 2 to 8; a configuration asks for it with the same ``weight_bits``.
        fit: ``fit(w) -> grid``; see :func:`wfm_jax.compress.snapping`.
        snap: ``snap(w, grid) -> w``, alike.
        stored: ``stored(grid)``, the grid of :mod:`wfm_jax.export.grids` on which the snapped
            weights lie, of which a file holds entropy-coded integers. A format whose levels are
            whole multiples of a scale has one: ``Uniform`` of bits that hold the largest multiple;
            what it does not use costs next to nothing. None: the file holds float32, and says so
            in ``size_bytes`` and ``mean_bits``.
    """

    name: str
    bits: int
    fit: Callable[[jax.Array], Any]
    snap: Callable[[jax.Array, Any], jax.Array]
    stored: Callable[[Any], Grid] | None = None


def name_of(value: Any) -> str:
    """What rows call a setting: a text as it is, a format by its name, a function by its own."""
    if isinstance(value, str):
        return value
    return value.name if isinstance(value, Format) else getattr(value, "__name__", "")


def check_own(field: str, value: Any, ours: Collection[str]) -> None:
    """Whether a setting is one of ours, or has a name of its own.

    Args:
        field: ``score`` or ``quant_format``.
        value: what a configuration is given.
        ours: names of ours.

    Raises:
        ValueError: it is not; one line.
    """
    if isinstance(value, str):
        if value not in ours:
            own = "a function" if field == "score" else "a Format"
            raise ValueError(f"{field} must be {own} or one of {', '.join(ours)}, got {value!r}")
        return
    fits = isinstance(value, Format) if field == "quant_format" else callable(value)
    if not fits:
        raise ValueError(f"{field} must be a name or one's own, got {type(value).__name__}")
    name = name_of(value)
    if not re.fullmatch(r"[\w.+-]+", name):
        raise ValueError(
            f"{field} of one's own needs a name that rows can hold, such as that of a function "
            f"made with def, got {name!r}"
        )
    if name in ours:
        raise ValueError(f"{field} of one's own is called {name}, as one of ours: rename it")
    if isinstance(value, Format) and value.bits not in range(2, 9):
        raise ValueError(f"bits of quant_format {name} must be 2 to 8, got {value.bits}")


def by_name(values: Iterable[Any]) -> dict[str, Any]:
    """Settings by their names, in the names' order.

    Raises:
        ValueError: two have the same name; one line.
    """
    found: dict[str, Any] = {}
    for value in values:
        name = name_of(value)
        if found.setdefault(name, value) != value:
            raise ValueError(f"two different settings are called {name}: rename one")
    return dict(sorted(found.items()))
