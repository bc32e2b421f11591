"""Low-rank adapters: fine-tune W + (alpha / rank) A B, where only A and B are trained.

Hu et al., "LoRA: low-rank adaptation of large language models", 2021 (arXiv 2106.09685).
A is random and B is zero, so an adapted model starts as its base. `lora_apply` gives a
whole tree of parameters, so the model needs to know nothing of adapters. The price is one product
A B per kernel and step, whatever the batch.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from wfm_jax.compress.checks import check_number
from wfm_jax.compress.paths import Pattern, flatten, select, unflatten
from wfm_jax.compress.surrogate import straight_through
from wfm_jax.compress.uniform import as_float

Params = Any
"""A pytree of arrays: nested dict, Linen ``FrozenDict``, NNX ``State``, ..."""


class Factors(NamedTuple):
    """One kernel's update, before scaling: the product of its two factors.

    Attributes:
      a: float32 ``[in, rank]``.
      b: float32 ``[rank, out]``.
    """

    a: jax.Array
    b: jax.Array


class Adapters(NamedTuple):
    """What adapts a model. Train `factors`: all of it is trained, and nothing else is.

    Attributes:
      factors: path name -> `Factors`, for every adapted kernel.
      scale: float32 scalar, alpha / rank. No gradient reaches it.
    """

    factors: dict[str, Factors]
    scale: jax.Array


class Merged(NamedTuple):
    """An adapted model without adapters, and the way back.

    Attributes:
      params: the effective weights, a tree like any other.
      replaced: path name -> the base kernel that was there.
    """

    params: Params
    replaced: dict[str, jax.Array]


class AdapterSize(NamedTuple):
    """How small adapters are.

    Attributes:
      parameters: number of trained parameters, all of A and B.
      share: that number over the number of parameters of the base model.
    """

    parameters: int
    share: float


def lora_init(
    params: Params,
    pattern: Pattern,
    rank: int,
    *,
    key: jax.Array,
    alpha: ArrayLike | None = None,
) -> Adapters:
    """Returns adapters that change nothing yet.

    The entries of A have variance 1 / in, so that x A has unit variance where x has; B is zero.
    With them, `lora_apply` gives back the parameters bit for bit.

    To train, differentiate with respect to the factors alone:

    >>> params = {"dense": {"kernel": jnp.ones((8, 4)), "bias": jnp.zeros(4)}}
    >>> adapters = lora_init(params, "*/kernel", 2, key=jax.random.key(0))
    >>> def loss(factors, x):
    ...     dense = lora_apply(params, adapters._replace(factors=factors))["dense"]
    ...     return jnp.sum(x @ dense["kernel"] + dense["bias"])
    >>> grads = jax.grad(loss)(adapters.factors, jnp.ones(8))
    >>> jax.tree.map(jnp.shape, grads)
    {'dense/kernel': Factors(a=(8, 2), b=(2, 4))}

    Args:
      params: any pytree; only shapes and dtypes are read.
      pattern: which kernels: a glob, a tuple of globs, or a predicate; see
        `wfm_jax.compress.matches`. Leaves that match and are no floating-point ``[in, out]``
        (biases, norms) are passed over.
      rank: rank of every update, 1 to min(in, out). Static: it is a shape.
      key: typed key.
      alpha: the update is alpha / rank times A B; ``None`` for alpha = rank. May be traced.

    Returns:
      Adapters; under ``vmap`` over keys or alphas, a stack of them.

    Raises:
      ValueError: if no kernel matches, for a rank that some kernel does not have, or an alpha that
        is not positive.
    """
    if not isinstance(rank, int | np.integer):
        raise ValueError(f"rank must be an integer and static, got {rank!r}")
    if alpha is not None:
        check_number("alpha", alpha, lambda a: 0 < a < float("inf"), "positive")
    chosen = select({p: w for p, w in flatten(params).items() if _is_kernel(w)}, pattern)
    factors = {}
    keys = jax.random.split(key, len(chosen))
    for own_key, (path, w) in zip(keys, chosen.items(), strict=True):
        n_in, n_out = w.shape
        if not 1 <= rank <= min(n_in, n_out):
            raise ValueError(
                f"rank must be 1 to {min(n_in, n_out)} for {path} {list(w.shape)}, got {rank}"
            )
        a = jax.random.normal(own_key, (n_in, rank), jnp.float32) / n_in**0.5
        factors[path] = Factors(a, jnp.zeros((rank, n_out), jnp.float32))
    return Adapters(factors, jnp.asarray(rank if alpha is None else alpha, jnp.float32) / rank)


def lora_apply(params: Params, adapters: Adapters) -> Params:
    """Returns the effective weights, W + scale A B for every adapted kernel.

    The gradient reaches A, B and W; a caller who differentiates with respect to A and B alone pays
    for no other. Where the update is zero, W is returned as it is, bit for bit (the sum alone would
    turn -0 to 0 and flush what is subnormal).

    Args:
      params: the base.
      adapters: of this base; one, not a stack (use ``vmap``).

    Returns:
      A tree of the structure, shapes and dtypes of ``params``; the other leaves are the same
      objects. Sums are taken in float32 (float64 for float64 weights) and rounded to the dtype of
      the kernel: in bfloat16, updates below 1/512 of a weight are lost.

    Raises:
      ValueError: for an adapted path that ``params`` lacks, or has in another shape.
    """
    flat = _adapted(params, adapters)
    return unflatten(params, {path: _effective(w, adapters, path) for path, w in flat.items()})


def lora_merge(params: Params, adapters: Adapters) -> Merged:
    """Puts the adapters into the weights, for good or until `lora_unmerge`.

    >>> params = {"head": {"kernel": jnp.full((2, 2), 0.1)}}
    >>> adapters = lora_init(params, "*", 1, key=jax.random.key(0))
    >>> merged = lora_merge(params, adapters)
    >>> lora_unmerge(merged)["head"]["kernel"] is params["head"]["kernel"]
    True

    The kernels that are replaced are kept, because nothing less is exact. Many W round to the same
    W + D, so no subtraction of D can tell which it was. The rounding error of every sum (two-sum)
    would tell, but takes as many bytes as W, and D = scale A B must come out of a product again, to
    the last bit: compilers round it or fuse it into the sum as they like, differently under
    ``jit``. Who needs no way back drops `Merged.replaced`; ``vmap`` over adapters of one base keeps
    one copy with ``out_axes=Merged(0, None)``.

    Args:
      params: the base.
      adapters: of this base.

    Returns:
      `Merged`, with the parameters of `lora_apply`.

    Raises:
      ValueError: as `lora_apply`.
    """
    return Merged(lora_apply(params, adapters), _adapted(params, adapters))


def lora_unmerge(merged: Merged) -> Params:
    """Returns the parameters from before `lora_merge`, bit for bit.

    In every dtype, under every transformation, on every device: nothing is computed. What
    was done to the merged kernels is undone with the merge; other leaves stay as they are in
    ``merged.params``.

    Args:
      merged: as given by `lora_merge`.
    """
    return unflatten(merged.params, merged.replaced)


def lora_size(params: Params, adapters: Adapters) -> AdapterSize:
    """Returns the number of trained parameters, and its share of those of the base.

    Args:
      params: the base.
      adapters: one, not a stack. Only shapes are read of both.
    """
    parameters = sum(leaf.size for leaf in jax.tree.leaves(adapters.factors))
    return AdapterSize(parameters, parameters / sum(w.size for w in flatten(params).values()))


def _is_kernel(leaf: Any) -> bool:
    return getattr(leaf, "ndim", 0) == 2 and jnp.issubdtype(leaf.dtype, jnp.floating)


def _adapted(params: Params, adapters: Adapters) -> dict[str, jax.Array]:
    """Returns the base kernels that adapters are for, checked against them."""
    flat = flatten(params)
    if unknown := sorted(set(adapters.factors) - set(flat)):
        raise ValueError(f"adapters for paths that params lack: {', '.join(unknown)}")
    for path, (a, b) in adapters.factors.items():
        if (*a.shape[:-1], *b.shape[1:]) != flat[path].shape:
            raise ValueError(
                f"adapters {list(a.shape)} x {list(b.shape)} do not fit {path} "
                f"{list(flat[path].shape)}; a stack of them needs vmap"
            )
    return {path: flat[path] for path in adapters.factors}


def _effective(w: jax.Array, adapters: Adapters, path: str) -> jax.Array:
    a, b = adapters.factors[path]
    update = jax.lax.stop_gradient(adapters.scale) * jnp.matmul(a, b, precision="highest")
    moved = (as_float(w) + update).astype(w.dtype)
    return straight_through(moved, jnp.where(update == 0, w, moved))
