"""A pytree as named plain arrays, and back: what a checkpoint stores and compares."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Spec(NamedTuple):
    """A leaf's type, and how its data is stored.

    Attributes:
      shape: of the leaf; a typed key counts as one element.
      dtype: its name; ``key<fry>`` and the like for typed keys.
      stored_shape, stored_dtype: of the plain array: the key's words, else as above.
      key_impl: the typed key's implementation, or None.
    """

    shape: list[int]
    dtype: str
    stored_shape: list[int]
    stored_dtype: str
    key_impl: str | None = None

    @property
    def size(self) -> int:
        """Elements of the stored array."""
        return int(np.prod(self.stored_shape))


def to_arrays(tree: Any) -> tuple[dict[str, np.ndarray], dict[str, Spec]]:
    """The leaves as host arrays by path name, and their specs; ValueError if two share a name."""
    arrays, specs_by_name = {}, {}
    for name, leaf in _named(tree).items():
        shape, dtype = _type(leaf)
        is_key = _is_key(leaf)
        array = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
        impl = str(jax.random.key_impl(leaf)) if is_key else None
        arrays[name] = array
        specs_by_name[name] = Spec(shape, dtype, list(array.shape), str(array.dtype), impl)
    return arrays, specs_by_name


def from_arrays(arrays: dict[str, np.ndarray], specs_by_name: dict[str, Spec], like: Any) -> Any:
    """The inverse of ``to_arrays``, in the structure, array types and devices of ``like``."""
    restored = [
        _like(arrays[name], specs_by_name[name], leaf) for name, leaf in _named(like).items()
    ]
    return jax.tree.unflatten(jax.tree.structure(like), restored)


def specs(like: Any) -> dict[str, tuple[list[int], str]]:
    """Shape and dtype of every leaf by path name."""
    return {name: _type(leaf) for name, leaf in _named(like).items()}


def difference(
    stored: dict[str, Spec], wanted: dict[str, tuple[list[int], str]], limit: int = 8
) -> str:
    """One line naming missing, extra and reshaped arrays (``limit`` of each); empty if none."""
    missing = [name for name in wanted if name not in stored]
    extra = [name for name in stored if name not in wanted]
    reshaped = []
    for name, (shape, dtype) in wanted.items():
        if name in stored and (list(stored[name].shape), stored[name].dtype) != (shape, dtype):
            old = stored[name]
            reshaped.append(f"{name} (stored {old.dtype}{list(old.shape)}, wanted {dtype}{shape})")
    parts = [("missing", missing), ("extra", extra), ("reshaped", reshaped)]
    return "; ".join(f"{word} {_listed(names, limit)}" for word, names in parts if names)


def _listed(names: list[str], limit: int) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _named(tree: Any) -> dict[str, Any]:
    flat, _ = jax.tree.flatten_with_path(tree)
    named = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in flat}
    if len(named) != len(flat):
        raise ValueError("two leaves share a path name: a key holds '/' or repeats as another type")
    return named


def _type(leaf: Any) -> tuple[list[int], str]:
    if not hasattr(leaf, "dtype"):
        leaf = np.asarray(leaf)
    return list(leaf.shape), str(leaf.dtype)


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _like(array: np.ndarray, spec: Spec, leaf: Any) -> Any:
    if spec.key_impl is not None:
        value = jax.random.wrap_key_data(jnp.asarray(array), impl=spec.key_impl)
    elif isinstance(leaf, np.ndarray | np.generic):
        return array
    elif not hasattr(leaf, "dtype"):
        return array.item()
    else:
        value = jnp.asarray(array)
    return jax.device_put(value, leaf.sharding) if isinstance(leaf, jax.Array) else value
