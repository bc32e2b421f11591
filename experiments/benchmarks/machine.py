"""What the machine gives a compiled program: the yardsticks of every stage's cost.

Measured with kernels of the same compiler on the same device, all cores: what a peak of a data
sheet would leave out (clock, vector width chosen, memory shared with neighbours) is in them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from experiments.benchmarks.timing import seconds

_CHAINS, _LENGTH, _EXPONENTIALS = 8, 64, 16


class Machine(NamedTuple):
    """Per second: arithmetic operations, exponentials, and bytes read or written by a copy."""

    operations: float
    exponentials: float
    copied_bytes: float


def measure(copy_bytes: int = 2**28, n_values: int = 2**20) -> Machine:
    """The best of five runs of three kernels.

    Args:
        copy_bytes: of the copied array; several times the last cache.
        n_values: of the arrays of the arithmetic kernels.
    """
    big, small = jnp.ones(copy_bytes // 4), jnp.linspace(0.0, 1.0, n_values)

    def rate(amount: float, kernel, x: jax.Array) -> float:
        run = jax.jit(kernel)
        jax.block_until_ready(run(x))
        return amount / min(seconds(lambda: jax.block_until_ready(run(x))) for _ in range(5))

    return Machine(
        operations=rate(2.0 * _CHAINS * _LENGTH * n_values, _multiply_add, small),
        exponentials=rate(float(_EXPONENTIALS * n_values), _exponentials, small),
        copied_bytes=rate(2.0 * copy_bytes, lambda x: -x, big),
    )


def _multiply_add(x: jax.Array) -> jax.Array:
    """Independent chains of dependent multiply-adds: enough to hide their latency."""
    chains = [x + i for i in range(_CHAINS)]
    for _ in range(_LENGTH):
        chains = [0.999 * chain + x for chain in chains]
    return sum(chains[1:], chains[0])


def _exponentials(x: jax.Array) -> jax.Array:
    terms = [jnp.exp(x * (i / _EXPONENTIALS)) for i in range(1, _EXPONENTIALS + 1)]
    return sum(terms[1:], terms[0])
