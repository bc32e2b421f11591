"""Names for the leaves of a parameter tree.

A leaf is named by the keys that lead to it, joined by ``/``: ``block_0/attention/query/kernel``.
Nested dicts, Linen's ``FrozenDict`` and NNX's ``State`` all give the same names, because they are
read from JAX's own key paths (`jax.tree_util.keystr`) and no layer library is asked.
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import jax
from jax.tree_util import GetAttrKey, KeyPath, keystr

Pattern = str | tuple[str, ...] | Callable[[str, Any], bool]
"""A glob, several globs of which one must match, or a predicate ``(path, leaf) -> bool``."""


def _name(keys: KeyPath) -> str:
    # NNX wraps every parameter in a Variable; its `.value` is no place in the tree.
    if keys and keys[-1] == GetAttrKey("value"):
        keys = keys[:-1]
    return keystr(keys, simple=True, separator="/")


def flatten(params: Any) -> dict[str, Any]:
    """Returns the leaves of ``params`` by path name, in the tree's own order.

    >>> flatten({"dense": {"kernel": 1, "bias": 2}})
    {'dense/bias': 2, 'dense/kernel': 1}

    Args:
      params: any pytree.

    Raises:
      ValueError: if two leaves have the same name (a key that itself contains ``/``).
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    flat: dict[str, Any] = {}
    for keys, leaf in leaves:
        path = _name(keys)
        if path in flat:
            raise ValueError(f"params has two leaves named {path!r}")
        flat[path] = leaf
    return flat


def unflatten(like: Any, flat: Mapping[str, Any]) -> Any:
    """Returns ``like`` with the leaves named in ``flat`` replaced.

    The inverse of `flatten`, also for a part: leaves of ``like`` that ``flat`` does not name are
    the same objects in the result.

    >>> unflatten({"dense": {"kernel": 1, "bias": 2}}, {"dense/kernel": 3})
    {'dense': {'bias': 2, 'kernel': 3}}

    Args:
      like: the tree that gives the structure, and the leaves that stay.
      flat: new leaves by path name.

    Raises:
      ValueError: if ``flat`` names a path that ``like`` does not have.
    """
    leaves = flatten(like)
    if unknown := sorted(set(flat) - set(leaves)):
        raise ValueError(f"no such paths in the tree: {', '.join(unknown)}")
    return jax.tree.unflatten(jax.tree.structure(like), (leaves | dict(flat)).values())


def matches(path: str, pattern: Pattern, leaf: Any = None) -> bool:
    """Tells whether ``path`` matches ``pattern``.

    Globs are those of `fnmatch`, case-sensitive; ``*`` also crosses ``/``.

    >>> matches("block_0/attention/query/kernel", "block_*/kernel")
    True
    >>> matches("block_0/norm/scale", ("*/kernel", "*/bias"))
    False

    Args:
      path: name of a leaf, as given by `flatten`.
      pattern: a glob, a tuple of globs (any may match), or a predicate ``(path, leaf) -> bool``.
      leaf: what a predicate gets as its second argument.
    """
    if callable(pattern):
        return bool(pattern(path, leaf))
    globs = (pattern,) if isinstance(pattern, str) else pattern
    return any(fnmatchcase(path, glob) for glob in globs)


def select(params: Any, pattern: Pattern) -> dict[str, Any]:
    """Returns the leaves whose path matches, by path name, in the tree's own order.

    The part to train, where the rest stays as it is: `unflatten` puts the part back, and a gradient
    with respect to it costs and stores nothing for the others. So a linear probe trains the heads:

    >>> import jax, jax.numpy as jnp
    >>> params = {"body": {"kernel": jnp.ones((3, 2))}, "head": {"kernel": jnp.ones((2, 1))}}
    >>> def loss(heads, x):
    ...     whole = unflatten(params, heads)
    ...     return jnp.sum(x @ whole["body"]["kernel"] @ whole["head"]["kernel"])
    >>> jax.grad(loss)(select(params, "head/*"), jnp.ones(3))
    {'head/kernel': Array([[3.],
           [3.]], dtype=float32)}

    Args:
      params: any pytree.
      pattern: a glob, a tuple of globs, or a predicate; see `matches`.

    Raises:
      ValueError: if no leaf matches; the message names the nearest paths.
    """
    flat = flatten(params)
    chosen = {path: leaf for path, leaf in flat.items() if matches(path, pattern, leaf)}
    if not chosen:
        raise ValueError(_no_match(pattern, list(flat)))
    return chosen


def _no_match(pattern: Pattern, paths: list[str]) -> str:
    globs = (pattern,) if isinstance(pattern, str) else pattern
    if callable(globs):
        near = paths[:3]
    else:
        near = [path for glob in globs for path in get_close_matches(glob, paths, 3, cutoff=0.0)]
    return (
        f"pattern {pattern!r} matches no leaf; the nearest are {', '.join(near) or 'none at all'}"
    )
