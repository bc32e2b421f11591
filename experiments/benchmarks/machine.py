"""What the machine gives a compiled program: the yardsticks of every stage's cost.

Measured with kernels of the same compiler on the same device, all cores: what a peak of a data
sheet would leave out (clock, vector width chosen, memory shared with neighbours) is in them.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from experiments.benchmarks.timing import seconds

_CHAINS, _LENGTH, _EXPONENTIALS = 8, 64, 16


class Machine(NamedTuple):
    """Per second: arithmetic operations, exponentials, and bytes of main memory read or written."""

    operations: float
    exponentials: float
    memory_bytes: float


def measure(big_bytes: int = 2**28, n_values: int = 2**20) -> Machine:
    """The best of five runs of three kernels.

    Args:
        big_bytes: of the array that is read and written; several times the last cache.
        n_values: of the arrays of the arithmetic kernels.
    """
    small = jnp.linspace(0.0, 1.0, n_values)
    # In place: a fresh array of this size would time the operating system's pages.
    negate = jax.jit(jnp.negative, donate_argnums=0)
    big = [jnp.ones(big_bytes // 4)]

    def pass_over_memory() -> None:
        big[0] = jax.block_until_ready(negate(big[0]))

    def compute(kernel: Callable[[jax.Array], jax.Array]) -> Callable[[], object]:
        run = jax.jit(kernel)
        return lambda: jax.block_until_ready(run(small))

    return Machine(
        operations=2.0 * _CHAINS * _LENGTH * n_values / best(compute(_multiply_add)),
        exponentials=_EXPONENTIALS * n_values / best(compute(_exponentials)),
        memory_bytes=2.0 * big_bytes / best(pass_over_memory),
    )


def matrix_operations(size: int = 2048) -> float:
    """Operations per second of a product of two square float32 matrices, best of five."""
    matrix = jnp.ones((size, size)) / size
    product = jax.jit(jnp.matmul)
    return 2.0 * size**3 / best(lambda: jax.block_until_ready(product(matrix, matrix)))


def best(call: Callable[[], object]) -> float:
    """Seconds of the best of five measurements, after a first call that compiles."""
    call()
    return min(seconds(call) for _ in range(5))


def _multiply_add(x: jax.Array) -> jax.Array:
    """Independent chains of dependent multiply-adds: enough to hide their latency."""
    chains = [x + i for i in range(_CHAINS)]
    for _ in range(_LENGTH):
        chains = [0.999 * chain + x for chain in chains]
    return sum(chains[1:], chains[0])


def _exponentials(x: jax.Array) -> jax.Array:
    terms = [jnp.exp(x * (i / _EXPONENTIALS)) for i in range(1, _EXPONENTIALS + 1)]
    return sum(terms[1:], terms[0])
