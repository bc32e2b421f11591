"""Gray-mapped square QAM of 3GPP TS 38.211 section 5.1: points, modulation, soft demapping.

Bits alternate between the axes: b0, b2, ... drive the in-phase level, b1, b3, ... the quadrature
level. On an axis, the bits c0 c1 ... c_{k-1} select the integer level

    pam(c0 c1 ...) = (1 - 2 c0) * (2^(k-1) - pam(c1 ...)),    pam(c) = 1 - 2c,

so bit 0 is the positive side. Levels are divided by sqrt(2 (4^k - 1) / 3), which makes the mean
symbol energy one. Because the axes are independent, the exact log-likelihood ratio of an in-phase
bit depends on the real part alone: demapping costs O(sqrt(M)) per symbol instead of O(M).

LLRs are ln P(bit=1) / P(bit=0): logits, so that ``sigmoid(llr)`` is the bit's probability. This is
Sionna's sign; MATLAB's is the opposite.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

SUPPORTED_BITS_PER_SYMBOL = (2, 4, 6, 8, 10)


def check_bits_per_symbol(bits_per_symbol: int) -> int:
    """Returns the argument, or raises ValueError where it names no square QAM of 4-1024 points."""
    if bits_per_symbol not in SUPPORTED_BITS_PER_SYMBOL:
        raise ValueError(
            f"bits_per_symbol must be one of {SUPPORTED_BITS_PER_SYMBOL} (square QAM of 4 to 1024 "
            f"points), got {bits_per_symbol!r}"
        )
    return int(bits_per_symbol)


@functools.cache
def axis_levels(bits_per_symbol: int) -> tuple[np.ndarray, np.ndarray]:
    """Levels of one axis and their labels.

    Returns:
        ``levels`` float32[P] in the order of their MSB-first labels, P = 2^(bits_per_symbol/2),
        scaled for unit symbol energy; ``labels`` int32[P, bits_per_symbol/2] of {0, 1}.
    """
    k = check_bits_per_symbol(bits_per_symbol) // 2
    labels = (np.arange(2**k)[:, None] >> np.arange(k)[::-1]) & 1
    levels = 1 - 2 * labels[:, k - 1]
    for i in range(k - 2, -1, -1):
        levels = (1 - 2 * labels[:, i]) * (2 ** (k - 1 - i) - levels)
    return (levels / _norm(bits_per_symbol)).astype(np.float32), labels.astype(np.int32)


def _norm(bits_per_symbol: int) -> float:
    return float(np.sqrt(2 * (2**bits_per_symbol - 1) / 3))


def constellation(bits_per_symbol: int) -> jax.Array:
    """The constellation as complex64[2**bits_per_symbol]; the index is the MSB-first label.

    >>> constellation(2)  # 0 is positive, the first bit in phase; unit energy
    Array([ 0.70710677+0.70710677j,  0.70710677-0.70710677j,
           -0.70710677+0.70710677j, -0.70710677-0.70710677j], dtype=complex64)

    Raises:
        ValueError: no square QAM of 4 to 1024 points has this many bits.
    """
    m = check_bits_per_symbol(bits_per_symbol)
    labels = (np.arange(2**m)[:, None] >> np.arange(m)[::-1]) & 1
    return modulate(jnp.asarray(labels))


def modulate(bits: jax.Array) -> jax.Array:
    """Maps bits {0,1}[..., m] to unit-energy symbols complex64[...] of 2^m-QAM.

    >>> symbols = modulate(jnp.array([[0, 0, 0, 0], [1, 1, 1, 1]]))  # two of 16-QAM
    >>> bool(jnp.allclose(symbols * 10**0.5, jnp.array([1 + 1j, -3 - 3j])))
    True

    Raises:
        ValueError: the last axis is no supported number of bits per symbol.
    """
    bits = jnp.asarray(bits)
    if bits.ndim == 0:
        raise ValueError("bits needs a last axis of bits_per_symbol entries, got a scalar")
    m = check_bits_per_symbol(bits.shape[-1])
    signs = 1.0 - 2.0 * bits.astype(jnp.float32)
    in_phase, quadrature = signs[..., 0::2], signs[..., 1::2]

    def pam(sign: jax.Array) -> jax.Array:
        k = m // 2
        level = sign[..., k - 1]
        for i in range(k - 2, -1, -1):
            level = sign[..., i] * (2.0 ** (k - 1 - i) - level)
        return level / _norm(m)

    return jax.lax.complex(pam(in_phase), pam(quadrature))


def demap(
    y: jax.Array, n0: jax.Array | float, bits_per_symbol: int, method: str = "exact"
) -> jax.Array:
    """LLRs of the bits of equalised symbols in complex white noise.

    The relative error is below 1e-6 at every SNR: the metric of a level is the sum of the steps
    from the best level to it, each the log-ratio of two neighbours,

        ln p(y | b + d) - ln p(y | b - d) = 4 d (y - b) / n0,    b the boundary, d half the spacing,

    so no two large squares are subtracted. Levels are unrolled: each is an operation on all
    symbols, which a compiler vectorises, where a short last axis of levels would not be.

    >>> llr = demap(jnp.array(0.9 + 0.1j), n0=0.5, bits_per_symbol=2)
    >>> [f"{p:.2f}" for p in jax.nn.sigmoid(llr)]  # both bits are more likely 0, one hardly
    ['0.01', '0.36']

    Args:
        y: complex64[...], symbol plus noise.
        n0: variance of the complex noise, real, broadcast against ``y``.
        bits_per_symbol: m of the 2^m-QAM.
        method: "exact" (log-sum-exp over the levels of an axis) or "maxlog".

    Returns:
        float32[..., m], ln P(bit=1)/P(bit=0); NaN where ``n0`` is negative or NaN.

    Raises:
        ValueError: unknown ``method``, unsupported ``bits_per_symbol``, ``y`` not complex, or
            ``n0`` complex or of a shape that does not broadcast to ``y``'s.
    """
    check_method(method)
    m = check_bits_per_symbol(bits_per_symbol)
    y = check_received(y)
    return _demap(y, check_noise(n0, y), m, method)


def decide(y: jax.Array, bits_per_symbol: int) -> jax.Array:
    """Bits of the nearest constellation point: the hard demapper.

    >>> decide(jnp.array([0.9 + 0.1j, -1.0 - 1.0j]), 2).tolist()
    [[0, 0], [1, 1]]

    Args:
        y: complex64[...], equalised symbols.
        bits_per_symbol: m of the 2^m-QAM.

    Returns:
        int8[..., m] of {0, 1}.

    Raises:
        ValueError: unsupported ``bits_per_symbol`` or ``y`` not complex.
    """
    m = check_bits_per_symbol(bits_per_symbol)
    y = check_received(y)

    def axis_bits(level: jax.Array) -> list[jax.Array]:
        bits = []
        for i in range(m // 2):  # undo the recursion of pam: sign, fold, sign, fold, ...
            bits.append((level < 0).astype(jnp.int8))
            level = 2.0 ** (m // 2 - 1 - i) - jnp.abs(level)
        return bits

    return _interleave(axis_bits(y.real * _norm(m)), axis_bits(y.imag * _norm(m)))


def check_method(method: str) -> None:
    """ValueError unless the method is "exact" or "maxlog"."""
    if method not in ("exact", "maxlog"):
        raise ValueError(f'method must be "exact" or "maxlog", got {method!r}')


def check_received(y: jax.Array) -> jax.Array:
    """Received symbols as complex64 of their shape; ValueError where they are real."""
    y = jnp.asarray(y)
    if not jnp.issubdtype(y.dtype, jnp.complexfloating):
        raise ValueError(f"y must be complex, got {y.dtype}")
    return y.astype(jnp.complex64)


def check_noise(n0: jax.Array | float, y: jax.Array) -> jax.Array:
    """Noise variance as float32 of a shape that broadcasts against ``y``, with as many axes;
    ValueError where it does not fit."""
    n0 = jnp.asarray(n0)
    if jnp.issubdtype(n0.dtype, jnp.complexfloating):
        raise ValueError(f"n0 must be real, got {n0.dtype}")
    if n0.ndim > y.ndim or any(
        a not in (1, b) for a, b in zip(n0.shape[::-1], y.shape[::-1], strict=False)
    ):
        raise ValueError(f"n0 must broadcast against y of shape {y.shape}, got shape {n0.shape}")
    return n0.astype(jnp.float32).reshape((1,) * (y.ndim - n0.ndim) + n0.shape)


@functools.partial(jax.jit, static_argnames=("m", "method"))
def _demap(y: jax.Array, n0: jax.Array, m: int, method: str) -> jax.Array:
    def llrs(y: jax.Array, n0: jax.Array) -> jax.Array:
        return _interleave(_axis_llrs(y.real, n0, m, method), _axis_llrs(y.imag, n0, m, method))

    def no_llrs(y: jax.Array, n0: jax.Array) -> jax.Array:
        return jnp.full((*y.shape, m), jnp.nan)

    # XLA for CPUs drops optimization barriers and would compute y anew, unvectorised, for each bit
    # (25 times slower behind a noise generator); what enters a branch is computed once, before.
    def llrs_apart(y: jax.Array, n0: jax.Array) -> jax.Array:
        return jax.lax.cond(jnp.any(n0 >= 0.0), llrs, no_llrs, y, n0)

    n0 = jnp.where(n0 >= 0.0, n0, jnp.nan)
    return jax.lax.platform_dependent(y, n0, cpu=llrs_apart, default=llrs)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def _axis_llrs(part: jax.Array, n0: jax.Array, m: int, method: str) -> list[jax.Array]:
    """LLRs of the bits of one axis, MSB first; float32[...] each, the shape of ``part``."""
    metrics = _axis_metrics(part, n0, m)
    if m == 2:
        return [metrics[1] - metrics[0]]

    def value(members: list[int]) -> jax.Array:
        top, weights = _weigh([metrics[p] for p in members], method)
        return top if method == "maxlog" else top + jnp.log(_sum(weights))

    return [value(one) - value(zero) for one, zero in _label_sets(m)]


@_axis_llrs.defjvp
def _axis_slopes(m, method, primals, tangents):
    """d LLR = 2/n0 (E1[a] - E0[a]) dy - 1/n0 (E1[metric] - E0[metric]) dn0.

    E1 and E0 are means over the levels a whose bit is 1 and 0, given the symbol. Differentiating
    the sums themselves gives the same numbers, but takes a compiler ten times longer.
    """
    part, n0 = primals
    metrics, levels = _axis_metrics(part, n0, m), axis_levels(m)[0]

    def means(members: list[int]) -> tuple[jax.Array, jax.Array]:
        _, weights = _weigh([metrics[p] for p in members], method)
        total = _sum(weights)
        level = _sum([w * levels[p] for w, p in zip(weights, members, strict=True)])
        metric = _sum([w * metrics[p] for w, p in zip(weights, members, strict=True)])
        return level / total, metric / total

    llr_tangents = []
    for one, zero in _label_sets(m):
        (level_1, metric_1), (level_0, metric_0) = means(one), means(zero)
        by_part, by_noise = 2.0 * (level_1 - level_0) / n0, (metric_0 - metric_1) / n0
        llr_tangents.append(by_part * tangents[0] + by_noise * tangents[1])
    return _axis_llrs(part, n0, m, method), llr_tangents


def _axis_metrics(part: jax.Array, n0: jax.Array, m: int) -> list[jax.Array]:
    """ln p(part | level) of each level in the order of labels, up to a constant: the best is 0."""
    half_spacing, n_levels = 1 / _norm(m), 2 ** (m // 2)
    boundaries = np.arange(2 - n_levels, n_levels, 2) * half_spacing
    high = boundaries.astype(np.float32)
    low = (boundaries - high).astype(np.float32)  # what float32 leaves: 4e-4 nats at 40 dB
    slope = np.float32(4 * half_spacing) / n0
    steps = [slope * (part - b) - slope * rest for b, rest in zip(high, low, strict=True)]
    # Rising steps lead up to the best level, falling steps away from it.
    below, above = [jnp.zeros_like(part)], [jnp.zeros_like(part)]
    for step in steps:
        below.append(below[-1] + jnp.minimum(step, 0.0))
    for step in reversed(steps):
        above.append(above[-1] - jnp.maximum(step, 0.0))
    ascending = [a + b for a, b in zip(below, reversed(above), strict=True)]
    return [ascending[rank] for rank in np.argsort(np.argsort(axis_levels(m)[0]))]


def _label_sets(m: int) -> list[tuple[list[int], list[int]]]:
    """For each bit of an axis, the labels where it is 1 and those where it is 0."""
    labels = axis_levels(m)[1]
    return [(np.flatnonzero(b == 1).tolist(), np.flatnonzero(b == 0).tolist()) for b in labels.T]


def _weigh(metrics: list[jax.Array], method: str) -> tuple[jax.Array, list[jax.Array]]:
    """The largest metric, and how much each counts beside it."""
    top = functools.reduce(jnp.maximum, metrics)
    if method == "exact":
        return top, [jnp.exp(metric - top) for metric in metrics]
    return top, [(metric == top).astype(jnp.float32) for metric in metrics]


def _sum(terms: list[jax.Array]) -> jax.Array:
    return functools.reduce(jnp.add, terms)


def _interleave(in_phase: list[jax.Array], quadrature: list[jax.Array]) -> jax.Array:
    """The axes' bits, k arrays [...] each, to [..., 2k]: i0 q0 i1 q1 ..."""
    return jnp.stack([x for pair in zip(in_phase, quadrature, strict=True) for x in pair], axis=-1)
