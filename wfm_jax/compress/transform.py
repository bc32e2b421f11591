"""What a compression method is: three pure functions, after optax's gradient transformations.

A method decides rarely (which weights go, which grid the others are snapped to) and acts at every
forward pass. So it has an ``update``, called once per stage, and an ``apply``, called inside the
training step; what was decided travels between them in a state, a plain pytree of arrays that can
be stacked, ``vmap``-ped and stored.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax

from wfm_jax.compress.paths import Pattern, select, unflatten

Params = Any
"""A pytree of arrays: nested dict, Linen ``FrozenDict``, NNX ``State``, ..."""
State = Any
"""A pytree of arrays, or of nothing."""


class InitFn(Protocol):
    """``init(params, *, key) -> state``: the state that changes nothing yet."""

    def __call__(self, params: Params, *, key: jax.Array) -> State: ...


class UpdateFn(Protocol):
    """``update(params, state, stats=None) -> (params, state)``: a compression stage."""

    def __call__(
        self, params: Params, state: State, stats: Mapping[str, Any] | None = None
    ) -> tuple[Params, State]: ...


class ApplyFn(Protocol):
    """``apply(params, state) -> params``: what the forward pass sees."""

    def __call__(self, params: Params, state: State) -> Params: ...


class Transform(NamedTuple):
    """A compression method, as three pure functions.

    All of them work under ``jit``, ``vmap`` and ``lax.map`` over stacked ``(params, state)``; the
    numbers a factory is given (sparsity, bits) may be traced. Leaves that a transform does not
    change are returned as the same objects.

    Attributes:
      init: ``(params, *, key) -> state``. Looks at the structure of ``params`` only. ``apply`` with
        this state changes no value. ``key`` is the source of all randomness to come.
      update: ``(params, state, stats=None) -> (params, state)``. Decides, from ``params`` as they
        are now: masks, scales. The state keeps its structure, shapes and dtypes. ``params`` come
        back changed only by methods that choose new weights; most leave that to ``apply``.
        ``stats`` are calibration statistics by path name, for methods that want them.
      apply: ``(params, state) -> params``. Same structure, shapes and dtypes; cheap and
        differentiable (straight through where it rounds). Applying twice is applying once.
    """

    init: InitFn
    update: UpdateFn
    apply: ApplyFn


def identity() -> Transform:
    """Returns the transform that changes nothing; its state is the empty tuple."""

    def init(params, *, key):
        del params, key
        return ()

    def update(params, state, stats=None):
        del stats
        return params, state

    def apply(params, state):
        del state
        return params

    return Transform(init, update, apply)


def chain(*transforms: Transform) -> Transform:
    """Composes transforms, first to last; its state is the tuple of theirs.

    In ``update`` each transform decides on what those before it make of the weights (a quantizer
    after a pruner calibrates on the surviving weights), while the weights returned stay latent:
    only leaves that some ``update`` itself replaced are changed.

    >>> from wfm_jax.compress import magnitude_prune, quantize
    >>> params = {"kernel": jax.numpy.arange(1.0, 9.0).reshape(4, 2)}
    >>> method = chain(magnitude_prune(0.5), quantize(2, scale="absmax"))
    >>> params, state = method.update(params, method.init(params, key=jax.random.key(0)))
    >>> method.apply(params, state)["kernel"].tolist()
    [[0.0, 0.0], [0.0, 0.0], [7.0, 8.0], [7.0, 8.0]]

    Args:
      *transforms: any number of transforms; none is `identity`.
    """

    def init(params, *, key):
        keys = jax.random.split(key, len(transforms)) if transforms else ()
        return tuple(t.init(params, key=k) for t, k in zip(transforms, keys, strict=True))

    def update(params, state, stats=None):
        seen, states = params, []
        for transform, old in zip(transforms, state, strict=True):
            updated, new = transform.update(seen, old, stats)
            params = jax.tree.map(
                lambda latent, before, after: latent if after is before else after,
                params,
                seen,
                updated,
            )
            seen = transform.apply(updated, new)
            states.append(new)
        return params, tuple(states)

    def apply(params, state):
        for transform, own in zip(transforms, state, strict=True):
            params = transform.apply(params, own)
        return params

    return Transform(init, update, apply)


def matching(pattern: Pattern, transform: Transform) -> Transform:
    """Restricts a transform to the leaves whose path matches.

    The inner transform sees a flat dict, path name to leaf, of only these; all other leaves are
    returned as the same objects, and the state holds nothing for them.

    >>> from wfm_jax.compress import magnitude_prune
    >>> params = {"up": {"kernel": jax.numpy.array([[1.0, 4.0]]), "bias": jax.numpy.ones(2)}}
    >>> method = matching("*/kernel", magnitude_prune(0.5))
    >>> params, state = method.update(params, method.init(params, key=jax.random.key(0)))
    >>> pruned = method.apply(params, state)["up"]
    >>> pruned["kernel"].tolist(), pruned["bias"] is params["up"]["bias"]
    ([[0.0, 4.0]], True)

    Args:
      pattern: a glob, a tuple of globs, or a predicate; see `wfm_jax.compress.matches`.
      transform: what to do with the matching leaves.

    Raises:
      ValueError: from ``init``, ``update`` or ``apply``, if no leaf matches.
    """

    def init(params, *, key):
        return transform.init(select(params, pattern), key=key)

    def update(params, state, stats=None):
        chosen, state = transform.update(select(params, pattern), state, stats)
        return unflatten(params, chosen), state

    def apply(params, state):
        return unflatten(params, transform.apply(select(params, pattern), state))

    return Transform(init, update, apply)
