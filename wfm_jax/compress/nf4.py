"""NF4: four bits whose sixteen levels are equally likely for Gaussian weights.

Dettmers et al., "QLoRA: efficient finetuning of quantized LLMs", 2023 (arXiv 2305.14314). Weights
are taken in blocks of 64, in the order in which they lie in memory whatever their axes, and each
block is divided by its largest magnitude. Double quantization stores these, less their mean, in
eight bits (`wfm_jax.compress.dynamic_map`, 256 to a scale): 4.127 bits a weight instead of 4.5.
Codes and levels are those of bitsandbytes.

Codes come one a byte here; packing two into one is the business of whoever writes a file.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from wfm_jax.compress.checks import is_traced
from wfm_jax.compress.dynamic_map import (
    Codes8,
    as_rows,
    dequantize_dynamic,
    nearest_code,
    per_absmax,
    quantize_dynamic,
)
from wfm_jax.compress.paths import unflatten
from wfm_jax.compress.quantize import kernels
from wfm_jax.compress.surrogate import straight_through
from wfm_jax.compress.transform import Transform

_NEGATIVE = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495),
)
_POSITIVE = (
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
NF4_LEVELS = np.array([*_NEGATIVE, 0.0, *_POSITIVE], np.float32)
"""The codebook, ascending: quantiles of the normal distribution, divided by the largest.

Eight of its positive half and seven of its negative, from the quantile 0.9677083 down in equal
steps of probability, and an exact zero between them.
"""


class QuantizedAbsmax(NamedTuple):
    """The blocks' largest magnitudes, themselves quantized.

    Attributes:
      codes: 8-bit codes of what is left after subtracting ``offset``.
      offset: float32 scalar, their mean.
    """

    codes: Codes8
    offset: jax.Array


class NF4(NamedTuple):
    """Weights in NF4. The shapes say how long the blocks are.

    Attributes:
      codes: uint8 of the shape of the weights, 0 to 15: indices into `NF4_LEVELS`.
      absmax: float32 ``[ceil(n / block_size)]``; or the same, double quantized.
    """

    codes: jax.Array
    absmax: jax.Array | QuantizedAbsmax


class NF4State(NamedTuple):
    """What `nf4` has in force.

    Attributes:
      on: boolean scalar; False until an update turned it on.
      absmax: path name -> float32 ``[ceil(n / block_size)]``; or the same, double quantized.
    """

    on: jax.Array
    absmax: dict[str, jax.Array | QuantizedAbsmax]


def nf4_quantize(w: jax.Array, *, block_size: int = 64, double_quant: bool = False) -> NF4:
    """Returns the nearest codes, and the largest magnitude of every block.

    Codes are chosen before the magnitudes are quantized, as bitsandbytes chooses them.

    >>> q = nf4_quantize(jnp.array([[0.5, -2.0], [0.0, 1.0]]))
    >>> q.codes.tolist(), q.absmax.tolist(), nf4_dequantize(q)[0].tolist()
    ([[10, 0], [7, 12]], [2.0], [0.4922246038913727, -2.0])

    Args:
      w: floating-point weights of any shape; rounded to float32 first.
      block_size: number of consecutive weights that share a magnitude, a power of two; the last
        block may be shorter.
      double_quant: whether to quantize the magnitudes too.

    Returns:
      `NF4`; under ``vmap``, a stack of them.

    Raises:
      ValueError: for a block size that is no power of two, or concrete weights that hold NaN.
    """
    absmax = _absmax(w, block_size)
    codes = _codes(w, absmax)
    if not double_quant:
        return NF4(codes, absmax)
    return NF4(codes, _quantize_absmax(absmax))


def nf4_dequantize(q: NF4) -> jax.Array:
    """Returns the weights that ``q`` stands for, float32 of their original shape.

    One ``q``, not a stack of them: use ``vmap``.
    """
    return _weights(q.codes, _plain(q.absmax))


def nf4(on: ArrayLike = True, *, block_size: int = 64, double_quant: bool = False) -> Transform:
    """Puts kernels (floating-point leaves of two or more axes) into NF4 and back.

    ``init`` leaves them alone; ``update`` stores the blocks' magnitudes; ``apply`` snaps to the
    nearest level of the stored blocks, straight through: the gradient is the identity. Restrict it
    with `wfm_jax.compress.matching`.

    QLoRA is a base seen through it and adapters that are trained:

    >>> from wfm_jax.compress import lora_apply, lora_init
    >>> base = {"dense": {"kernel": jax.random.normal(jax.random.key(0), (16, 8))}}
    >>> method = nf4(double_quant=True)
    >>> base, state = method.update(base, method.init(base, key=jax.random.key(1)))
    >>> frozen = method.apply(base, state)
    >>> adapters = lora_init(frozen, "*/kernel", 2, key=jax.random.key(2))
    >>> def loss(factors, x):
    ...     dense = lora_apply(frozen, adapters._replace(factors=factors))["dense"]
    ...     return jnp.sum((x @ dense["kernel"]) ** 2)
    >>> grads = jax.grad(loss)(adapters.factors, jnp.ones(16))
    >>> jax.tree.map(jnp.shape, grads)
    {'dense/kernel': Factors(a=(16, 2), b=(2, 8))}

    Args:
      on: boolean scalar, whether ``update`` turns it on; may be traced, so that a sweep can have
        both.
      block_size: number of consecutive weights that share a magnitude, a power of two.
      double_quant: whether the magnitudes are quantized too.

    Returns:
      A transform with an `NF4State`.

    Raises:
      ValueError: for a block size that is no power of two; from ``update``, for concrete weights
        that hold NaN.
    """
    _check_block_size(block_size)

    def stored(w, path):
        absmax = _absmax(w, block_size, path)
        return _quantize_absmax(absmax) if double_quant else absmax

    def init(params, *, key):
        del key
        like = jax.eval_shape(lambda: {p: stored(w, p) for p, w in kernels(params).items()})
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), like)
        return NF4State(jnp.asarray(False), zeros)

    def update(params, state, stats=None):
        del state, stats
        absmax = {path: stored(w, path) for path, w in kernels(params).items()}
        return params, NF4State(jnp.asarray(on, bool), absmax)

    def apply(params, state):
        snapped = {
            path: _snap(w, _plain(state.absmax[path]), state.on)
            for path, w in kernels(params).items()
        }
        return unflatten(params, snapped)

    return Transform(init, update, apply)


def _snap(w: jax.Array, absmax: jax.Array, on: jax.Array) -> jax.Array:
    values = jax.lax.stop_gradient(w)
    snapped = _weights(_codes(values, absmax), absmax).astype(w.dtype)
    return straight_through(w, jnp.where(on, snapped, w))


def _absmax(w: jax.Array, block_size: int, name: str | None = None) -> jax.Array:
    _check_block_size(block_size)
    absmax = jnp.max(jnp.abs(as_rows(jnp.asarray(w, jnp.float32), block_size)), axis=1)
    if not is_traced(absmax) and bool(jnp.any(jnp.isnan(absmax))):
        raise ValueError(f"{'w' if name is None else f'params[{name!r}]'} holds NaN")
    return absmax


def _codes(w: jax.Array, absmax: jax.Array) -> jax.Array:
    w = jnp.asarray(w)
    rows = as_rows(w.astype(jnp.float32), block_size_of(w.size, absmax.size))
    codes = nearest_code(rows * per_absmax(absmax)[:, None], NF4_LEVELS)
    return codes.reshape(-1)[: w.size].reshape(w.shape)


def _weights(codes: jax.Array, absmax: jax.Array) -> jax.Array:
    rows = jnp.asarray(NF4_LEVELS)[as_rows(codes, block_size_of(codes.size, absmax.size))]
    return (rows * absmax[:, None]).reshape(-1)[: codes.size].reshape(codes.shape)


def _quantize_absmax(absmax: jax.Array) -> QuantizedAbsmax:
    offset = jnp.mean(absmax)
    return QuantizedAbsmax(quantize_dynamic(absmax - offset), offset)


def _plain(absmax: jax.Array | QuantizedAbsmax) -> jax.Array:
    """Returns float32 ``[n_blocks]``."""
    if not isinstance(absmax, QuantizedAbsmax):
        return absmax
    return dequantize_dynamic(absmax.codes) + absmax.offset


def block_size_of(size: int, n_blocks: int) -> int:
    """Returns the power of two that makes ``n_blocks`` of ``size`` weights; there is only one.

    But for a single block, for which the least that holds all weights will do.
    """
    block_size = 1
    while -(-size // block_size) > n_blocks:
        block_size *= 2
    return block_size


def _check_block_size(block_size: int) -> None:
    if block_size < 1 or block_size & (block_size - 1):
        raise ValueError(f"block_size must be a power of two, got {block_size}")
