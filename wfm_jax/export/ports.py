"""What goes into an exported program and what comes out of it: named arrays with units."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

BATCH = "batch"


class Port(NamedTuple):
    """An array of a program.

    Attributes:
        name: what callers name it.
        shape: its sizes; ``BATCH`` is any size from 1 on, the same in all arrays of a call.
        dtype: NumPy's name.
        unit: what its numbers count.
        meaning: a sentence.
        highest: integers are 0 to this; None for no bound.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str
    unit: str
    meaning: str
    highest: int | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(map(str, self.shape))}], {self.unit}"


def check_arrays(ports: Sequence[Port], arrays: Mapping[str, Any]) -> int:
    """The batch size of ``arrays``, if they are what the ports ask for.

    Args:
        ports: what goes into a program.
        arrays: by name, anything with ``shape`` and ``dtype``; integers are looked at.

    Raises:
        ValueError: one line that names the array, what it should be and what it is.
    """
    names = [port.name for port in ports]
    if set(names) != set(arrays):
        raise ValueError(f"arrays must be {', '.join(names)}, got {', '.join(arrays) or 'none'}")
    batch = None
    for port in ports:
        array = arrays[port.name]
        given = tuple(getattr(array, "shape", ()))
        batch = given[0] if batch is None and given else batch
        wanted = tuple(batch if size == BATCH else size for size in port.shape)
        if str(getattr(array, "dtype", "")) != port.dtype or given != wanted or not batch:
            raise ValueError(
                f"{port.name} must be {port.dtype}{_shown(port.shape)} "
                f"{_of_others(batch, names[0], port)}, got {_described(array)}"
            )
        if port.highest is not None and not 0 <= array.min() <= array.max() <= port.highest:
            raise ValueError(
                f"{port.name} must be 0 to {port.highest}, "
                f"got {int(array.min())} to {int(array.max())}"
            )
    return batch or 0


def _shown(shape: Sequence[int | str]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _of_others(batch: int | None, first: str, port: Port) -> str:
    if not batch or port.name == first:
        return f"with {BATCH} at least 1"
    return f"with {BATCH} {batch} as of {first}"


def _described(array: Any) -> str:
    if not hasattr(array, "dtype"):
        return type(array).__name__
    return f"{array.dtype}{_shown(array.shape)}"
