"""Processes of one run: the first one decides and writes, the others hear of it."""

import base64
import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

Value = TypeVar("Value")


def is_first() -> bool:
    """Whether this process reads and writes the run folder."""
    return jax.process_index() == 0


def count() -> int:
    """Processes of this run."""
    return jax.process_count()


def agree(decide: Callable[[], Value]) -> Value:
    """What ``decide`` gives in the first process, in every process; it runs nowhere else.

    Args:
        decide: gives a JSON value.

    Raises:
        ValueError: in every process, where it raised that or OSError in the first.
    """
    if jax.process_count() == 1:
        return decide()
    told = {}
    if is_first():
        try:
            told = {"value": decide()}
        except (ValueError, OSError) as error:
            told = {"error": str(error)}
    heard = json.loads(_from_all(json.dumps(told).encode())[0])
    if "error" in heard:
        raise ValueError(heard["error"])
    return heard["value"]


def largest(number: int) -> int:
    """The largest of the processes' numbers."""
    if jax.process_count() == 1:
        return number
    return int(np.max(multihost_utils.process_allgather(np.int32(number))))


def from_each(value: Value) -> list[Value]:
    """JSON values of all processes, in their order, in every process."""
    if jax.process_count() == 1:
        return [value]
    return [json.loads(text) for text in _from_all(json.dumps(value).encode())]


def from_first(tree: Any) -> Any:
    """Arrays of the host as the first process has them; the others give some of the same shapes.

    Typed keys stay keys.
    """
    if jax.process_count() == 1:
        return tree

    def words(x: Any) -> Any:
        return np.asarray(jax.random.key_data(x) if _is_key(x) else x)

    heard = multihost_utils.broadcast_one_to_all(jax.tree.map(words, tree))
    return jax.tree.map(
        lambda x, new: jax.random.wrap_key_data(new) if _is_key(x) else np.asarray(new),
        tree,
        heard,
    )


def _is_key(x: Any) -> bool:
    return hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def to_text(data: bytes) -> str:
    """Bytes as a JSON value."""
    return base64.b64encode(data).decode()


def to_bytes(text: str) -> bytes:
    """The inverse of :func:`to_text`."""
    return base64.b64decode(text)


def _from_all(data: bytes) -> list[bytes]:
    lengths = np.ravel(multihost_utils.process_allgather(np.int32(len(data))))
    padded = np.zeros(int(lengths.max()), np.uint8)
    padded[: len(data)] = np.frombuffer(data, np.uint8)
    gathered = np.reshape(multihost_utils.process_allgather(padded), (len(lengths), -1))
    return [row[:n].tobytes() for row, n in zip(gathered, lengths, strict=True)]
